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
from typing import Any, Final

from tests.mutants.packages import PACKAGES, Package
from tests.mutants.results import forget_survivors, score_of
from tests.support.left_behind import REPOSITORY
from tests.support.session_folder import open_session_folder

PLACE: Final = REPOSITORY / "build" / "mutants"

_PYTEST: Final = (
    *("-p", "no:left-behind", "-p", "no:cacheprovider"),
    *("--hypothesis-profile", "few-examples"),
    *("-m", "not server and not slow"),
)
_MYPY: Final = (
    *(sys.executable, "-m", "tests.mutants.mypy_once"),
    *("mypy", "--output=json", "--no-warn-unused-ignores", "--no-warn-unreachable"),
    "--disable-error-code=no-redef",  # of copies of one ``__init__``
)


def main() -> int:
    """Run mutmut, print what it found out, and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("--again", action="store_true", help="try survivors once more")
    parser.add_argument("--results", action="store_true", help="try none, only print what is known")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    folder = prepare(options.package, PACKAGES[options.package])
    os.chdir(folder)
    code = 0
    if not options.results:
        if options.again:
            forget_survivors(folder)
        with open_session_folder():
            code = run(folder, options.jobs)
    report(folder)
    return code


def prepare(name: str, package: Package) -> Path:
    """Make the folder in which mutmut works: links to code and tests, and its options."""
    folder = PLACE / name
    for place in ("src", "mutants/src"):  # Python looks only once whether what PYTHONPATH names is there
        (folder / place).mkdir(parents=True, exist_ok=True)
    for link, target in (("src/mlflow_archive", "archive/mlflow_archive"), ("tests", "tests"), ("spec", "spec")):
        if not (folder / link).is_symlink():
            (folder / link).symlink_to(REPOSITORY / target)
    options = {
        "source_paths": ["src/mlflow_archive"],
        "only_mutate": [f"src/mlflow_archive/{path}" for path in package.code],
        "also_copy": ["spec"],
        "pytest_add_cli_args": list(_PYTEST),
        "pytest_add_cli_args_test_selection": [f"tests/{path}" for path in package.tests],
        "type_check_command": [*_MYPY, f"--cache-dir={PLACE / '.mypy_cache'}", *_checked(package)],
        "timeout_multiplier": 6.0,
        "timeout_constant": 2.0,
        "use_git_change_detection": False,
        "on_dependency_change": "ignore",
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


def run(folder: Path, jobs: int) -> int:
    """Run mutmut on the copy that it makes of code and tests, also in processes that tests start."""
    binaries = Path(sys.executable).parent
    environment: dict[str, Any] = {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "mutants" / "src"),
        "MYPYPATH": "src",
        # To look for plugins, and for all that is left in memory in the end, takes longer than most tests.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": "_hypothesis_pytestplugin,pytest_timeout",
        "PYTEST_ADDOPTS": "-p no:unraisableexception",
    }
    command = [str(binaries / "mutmut"), "run", f"--max-children={jobs}"]
    return subprocess.run(command, cwd=folder, env=os.environ | environment, check=False).returncode


def report(folder: Path) -> None:
    """Print the score, and each survivor as its function with the lines before and after."""
    for mutant in (score := score_of(folder)).survivors:
        removed, added = mutant.change()
        print(f"{mutant.function} ({mutant.name.rpartition('_')[2]}, {mutant.status})\n  - {removed}\n  + {added}")
    print(f"{folder.name}: {score}")


if __name__ == "__main__":
    sys.exit(main())
