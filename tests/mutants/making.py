"""``python -m tests.mutants.making JOBS``: make the mutants of a package, and note which of them mypy refuses.

Runs in the folder of a package, whose ``pyproject.toml`` mutmut reads as soon as it is imported.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from mutmut.__main__ import create_mutants
from mutmut.configuration import config
from mutmut.mutation.data import MutantLineSpans
from mutmut.type_checking import run_type_checker
from mutmut.utils.file_utils import change_cwd, copy_also_copy_files, copy_src_dir, walk_mutatable_files
from mutmut.utils.format_utils import get_mutant_name

from tests.mutants.records import REFUSED, change_codes


def main(jobs: int) -> None:
    """Make mutants anew of the modules that changed; those of other functions keep what became of them."""
    modules = {Path("mutants").joinpath(path) for path in walk_mutatable_files()}
    for path in filter(is_cut_short, modules):
        path.unlink()
    for record in Path("mutants").rglob("*.py.meta"):  # of modules that the package does not name any more
        if record.with_suffix("") not in modules:
            record.unlink()
    with redirect_stdout(StringIO()):  # of the names of all files
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(jobs)
    refused = set(refused_by_mypy())

    def code_now(name: str, code: int | None) -> int | None:
        return REFUSED if name in refused else None if code == REFUSED else code

    change_codes(Path(), code_now)


def is_cut_short(mutated: Path) -> bool:
    """Return whether whoever wrote a module with its mutants did not come to note where each lies."""
    spans = mutated.with_name(f"{mutated.name}.spans")
    return mutated.exists() and not (spans.exists() and spans.stat().st_mtime >= mutated.stat().st_mtime)


def refused_by_mypy() -> Iterator[str]:
    """Yield the mutants with errors of types; where each one's lines are, mutmut has noted (to parse takes minutes)."""
    with change_cwd("mutants"):
        errors = run_type_checker(config().type_check_command)
    lines: defaultdict[Path, set[int]] = defaultdict(set)
    for error in errors:
        lines[error.file_path.relative_to(Path("mutants").absolute())].add(error.line_number)
    for path, wrong in lines.items():
        for function, span in MutantLineSpans.load(path).span_by_function_name.items():
            if not wrong.isdisjoint(range(span.start, span.end + 1)):
                if function.endswith("_orig"):
                    raise ValueError(f"mypy finds an error in {function} of {path}, in which nothing is changed")
                yield get_mutant_name(path, function)


if __name__ == "__main__":
    main(int(sys.argv[1]))
