"""What mutmut found out about a package: a score, and the mutants that no test found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

from tests.mutants.drawing import interval
from tests.mutants.equivalents import is_equivalent
from tests.mutants.records import change_codes, codes_of

_FOUND: Final = ("killed", "timeout", "segfault")
_NO_SURVIVORS: Final = (*_FOUND, "caught by type check", "not checked")


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
        statuses = self.statuses
        found = sum(statuses[status] for status in _FOUND)
        counted = found + len(self.survivors)
        least, most = interval(found, counted)
        return (
            f"{found / max(1, counted):.1%} of {counted}, of all {least:.1%} to {most:.1%} with 95 % if drawn "
            f"({statuses['timeout']} by time-out); left out: {self.equivalent} equivalent, "
            f"{statuses['caught by type check']} refused by mypy, {statuses['not checked']} not run yet"
        )


def mutants_of(folder: Path) -> Iterator[Mutant]:
    """Yield the mutants that are kept below the folder of a package."""
    for source, codes in codes_of(folder):
        for name, code in codes.items():
            yield Mutant(name=name, status=status_by_exit_code[code], path=source)


def score_of(mutants: Iterable[Mutant]) -> Score:
    """Return the score of mutants below the folder in which the process is."""
    statuses: Counter[str] = Counter()
    survivors, equivalent = [], 0
    for mutant in mutants:
        if mutant.status in _NO_SURVIVORS:
            statuses[mutant.status] += 1
        elif is_equivalent(mutant.function, *mutant.change()):
            equivalent += 1
        else:
            survivors.append(mutant)
    return Score(statuses=statuses, equivalent=equivalent, survivors=tuple(survivors))


def forget_survivors(folder: Path) -> None:
    """Have the survivors be tried again."""
    change_codes(folder, lambda name, code: code if status_by_exit_code[code] in _NO_SURVIVORS else None)
