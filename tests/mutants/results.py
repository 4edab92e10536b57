"""What mutmut found out about a package: a score, and the mutants that no test found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

from tests.mutants.equivalents import is_equivalent

_NO_SURVIVORS: Final = ("killed", "timeout", "caught by type check", "not checked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A small fault of a function, and what became of it when tests ran on it (``status``, in mutmut's words)."""

    name: str
    status: str
    path: Path

    @property
    def function(self) -> str:
        """Module and function, such as ``format.manifest.decode`` or ``storage.files.OutputFile.write``."""
        plain = (
            self.name.partition("__mutmut_")[0].removeprefix("mlflow_archive.").replace(".xǁ", ".").replace("ǁ", ".")
        )
        return plain.replace(".x_", ".")

    def change(self) -> tuple[str, str]:
        """Return the lines that the mutant takes away, and those that it has instead."""
        lines: list[str] = get_diff_for_mutant(self.name, path=self.path).split("\n")[2:]
        removed, added = ("\n".join(line[1:].strip() for line in lines if line[:1] == sign) for sign in "-+")
        return removed, added


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Mutants by what became of them, but for those that types rule out or that are ``equivalent``."""

    statuses: Counter[str]
    equivalent: int
    survivors: tuple[Mutant, ...]

    def __str__(self) -> str:
        found = self.statuses["killed"] + self.statuses["timeout"]
        counted = found + len(self.survivors)
        return (
            f"{100 * found / max(1, counted):.1f} % of {counted} ({self.statuses['timeout']} by time-out); left out: "
            f"{self.equivalent} equivalent, {self.statuses['caught by type check']} refused by mypy, "
            f"{self.statuses['not checked']} not run yet"
        )


def mutants_of(folder: Path) -> Iterator[Mutant]:
    """Yield the mutants that mutmut keeps below the folder in which it ran."""
    for path in _records(folder):
        source = path.relative_to(folder / "mutants").with_suffix("")
        for name, code in json.loads(path.read_text("utf-8"))["exit_code_by_key"].items():
            yield Mutant(name=name, status=status_by_exit_code[code], path=source)


def score_of(folder: Path) -> Score:
    """Return the score of the mutants below a folder, the one in which the process is."""
    statuses: Counter[str] = Counter()
    survivors, equivalent = [], 0
    for mutant in mutants_of(folder):
        if mutant.status in _NO_SURVIVORS:
            statuses[mutant.status] += 1
        elif is_equivalent(mutant.function, *mutant.change()):
            equivalent += 1
        else:
            survivors.append(mutant)
    return Score(statuses=statuses, equivalent=equivalent, survivors=tuple(survivors))


def forget_survivors(folder: Path) -> None:
    """Have mutmut try the survivors again in its next run."""
    for path in _records(folder):
        record = json.loads(path.read_text("utf-8"))
        codes = record["exit_code_by_key"]
        record["exit_code_by_key"] = {
            name: code if status_by_exit_code[code] in _NO_SURVIVORS else None for name, code in codes.items()
        }
        path.write_text(json.dumps(record, indent=4), encoding="utf-8")


def _records(folder: Path) -> list[Path]:
    return sorted((folder / "mutants").rglob("*.py.meta"))
