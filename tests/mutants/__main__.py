"""``python -m tests.mutants PACKAGE [--again]``: try the mutants of a package, then print score and survivors.

What was tried is kept below ``build/mutants/PACKAGE``, so that a run that was stopped goes on, and only functions that
changed are tried anew; ``--again`` tries the survivors once more, as after new tests.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.mutants.drawing import draw
from tests.mutants.packages import PACKAGES, Package
from tests.mutants.results import Mutant, Score, forget_survivors, mutants_of, score_of
from tests.support.left_behind import REPOSITORY
from tests.support.session_folder import open_session_folder

PLACE: Final = REPOSITORY / "build" / "mutants"

_PYTEST: Final = (
    *("-p", "no:left-behind", "-p", "no:cacheprovider"),
    *("--timeout", "60"),  # wall: of tests that wait for what does not come
    *("--hypothesis-profile", "few-examples"),
    *("-m", "not server and not slow"),
)
_MYPY: Final = (
    *(sys.executable, "-m", "tests.mutants.mypy_once"),
    *("mypy", "--output=json", "--no-warn-unused-ignores", "--no-warn-unreachable"),
    "--disable-error-code=no-redef",  # of copies of one ``__init__``
    "--disable-error-code=no-any-return",  # of functions that call each other in a circle: decorated, they have no type
)


def main() -> None:
    """Make mutants, try those that are drawn, print what was found out."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("--draw", type=int, help="only so many mutants, drawn from all")
    parser.add_argument("--seed", default="1", help="another draw")
    parser.add_argument("--again", action="store_true", help="try survivors once more")
    parser.add_argument("--results", action="store_true", help="try none, only print what is known")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    package = PACKAGES[options.package]
    folder = prepare(options.package, package)
    os.chdir(folder)
    if not options.results:
        run(folder, "making", str(options.jobs), PYTHONPATH=str(REPOSITORY))
        if options.again:
            forget_survivors(folder)
    drawn = drawn_of(folder, options.draw, options.seed)
    if not options.results:
        with open_session_folder():
            attempt(folder, package, [mutant.name for mutant in drawn if mutant.status == "not checked"], options.jobs)
        drawn = drawn_of(folder, options.draw, options.seed)
    report(folder.name, score_of(drawn))


def prepare(name: str, package: Package) -> Path:
    """Make the folder in which mutmut works: links to code and tests, and its options."""
    folder = PLACE / name
    for place in ("src", "mutants/src"):  # Python looks only once whether what PYTHONPATH names is there
        (folder / place).mkdir(parents=True, exist_ok=True)
    for link, target in (
        ("src/mlflow_archive", "archive/mlflow_archive"),
        ("tests", "tests"),
        ("spec", "spec"),
        ("demo", "demo"),
        ("bench", "bench"),
    ):
        if not (folder / link).is_symlink():
            (folder / link).symlink_to(REPOSITORY / target)
    options = {
        "source_paths": ["src/mlflow_archive"],
        "only_mutate": [f"src/mlflow_archive/{path}" for path in package.code],
        "also_copy": ["spec", "demo", "bench"],
        "type_check_command": [*_MYPY, f"--cache-dir={PLACE / '.mypy_cache'}", *_checked(package)],
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in options.items()]
    # With mutmut's own types, or every function that it decorates would be untyped.
    project = (REPOSITORY / "pyproject.toml").read_text("utf-8").replace('"mutmut.*", ', "")
    (folder / "pyproject.toml").write_text("\n".join([project, "[tool.mutmut]", *lines, ""]), encoding="utf-8")
    return folder


def _checked(package: Package) -> list[str]:
    """Return what mypy looks at: the mutated modules."""
    root = REPOSITORY / "archive" / "mlflow_archive"
    paths = {path.relative_to(root) for pattern in package.code for path in root.glob(pattern.replace("*", "**/*.py"))}
    return sorted(f"src/mlflow_archive/{path}" for path in paths)


def drawn_of(folder: Path, number: int | None, seed: str) -> list[Mutant]:
    """Return the mutants that are looked at: all, or a draw of those that mypy lets pass."""
    mutants = {mutant.name: mutant for mutant in mutants_of(folder)}
    if number is None:
        return list(mutants.values())
    names = [name for name, mutant in mutants.items() if mutant.status != "caught by type check"]
    return [mutants[name] for name in draw(names, number, seed)]


def attempt(folder: Path, package: Package, names: list[str], jobs: int) -> None:
    """Run tests on the mutants that are named."""
    tests = [f"tests/{path}" for path in package.tests] + [f"--deselect=tests/{name}" for name in package.left_out]
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"mutants": names, "jobs": jobs, "pytest": [*_PYTEST, *tests]}), "utf-8")
    run(folder, "trying", str(settings), PYTHONPATH=f"{folder}/mutants/src{os.pathsep}{folder}/mutants")


def run(folder: Path, module: str, *arguments: str, **environment: str) -> None:
    """Run a module of this package on the copies that mutmut makes of code and tests, also in processes of tests."""
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MYPYPATH": "src",
        # To look for plugins, and for all that is left in memory in the end, takes longer than most tests.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": "_hypothesis_pytestplugin,pytest_timeout",
        "PYTEST_ADDOPTS": "-p no:unraisableexception",
    }
    command = [sys.executable, "-P", "-m", f"tests.mutants.{module}", *arguments]
    subprocess.run(command, cwd=folder, env=os.environ | environment, check=True)


def report(name: str, score: Score) -> None:
    """Print the score, and each survivor as its function with the lines before and after."""
    for mutant in score.survivors:
        removed, added = mutant.change()
        print(f"{mutant.function} ({mutant.name.rpartition('_')[2]}, {mutant.status})\n  - {removed}\n  + {added}")
    print(f"{name}: {score}")


if __name__ == "__main__":
    main()
