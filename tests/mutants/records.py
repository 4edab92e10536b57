"""What became of each mutant, as mutmut keeps it: a file for each module, beside its mutants."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

REFUSED: Final = 37
"""What mutmut writes down for a mutant that types rule out."""

NO_TESTS: Final = 33
"""What mutmut writes down for a mutant of a function that no test reaches."""


def codes_of(folder: Path) -> Iterator[tuple[Path, dict[str, int | None]]]:
    """Yield each module of a package, and by name what became of its mutants: an exit code, or none."""
    for path in _records(folder):
        yield path.relative_to(folder / "mutants").with_suffix(""), _read(path)["exit_code_by_key"]


def change_codes(folder: Path, code_now: Callable[[str, int | None], int | None]) -> None:
    """Write down for each mutant what a function of its name and of what is written down says."""
    for path in _records(folder):
        record = _read(path)
        codes = record["exit_code_by_key"]
        record["exit_code_by_key"] = {name: code_now(name, code) for name, code in codes.items()}
        path.write_text(json.dumps(record, indent=4), encoding="utf-8")


def write_code(folder: Path, name: str, code: int) -> None:
    """Write down what became of one mutant."""
    path = folder / "mutants" / "src" / Path(*name.rpartition(".")[0].split(".")).with_suffix(".py.meta")
    record = _read(path)
    record["exit_code_by_key"][name] = code
    path.write_text(json.dumps(record, indent=4), encoding="utf-8")


def _records(folder: Path) -> list[Path]:
    return sorted((folder / "mutants").rglob("*.py.meta"))


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return record
