"""How a trial ended, and the table of many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tests.campaigns.command import HUNG, Ended
from tests.campaigns.faults import Fault


class Outcome(StrEnum):
    """How a trial ended, from best to worst."""

    COMPLETE = "complete"
    """Exit code 0, and everything is there."""
    SAID = "said"
    """Exit code 3 or 13: what is missing is named, and the same command without faults mends it."""
    FAILED = "failed"
    """Any other exit code, such as that of a traceback."""
    HUNG = "hung"
    """It had to be stopped."""
    WRONG = "WRONG"
    """Something is missing or altered without a word, there twice, or not to be mended by running it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One try: what it was about, how it ended, and why, if not well; numbers, and the faults that its requests had."""

    name: str
    outcome: Outcome
    reason: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[Fault] = field(default_factory=Counter)


def outcome_of(ended: Ended) -> Outcome:
    """Return what an exit code claims."""
    if ended.code == HUNG:
        return Outcome.HUNG
    if ended.code == 0:
        return Outcome.COMPLETE
    return Outcome.SAID if ended.code in (3, 13) and "Traceback" not in ended.stderr else Outcome.FAILED


def table(trials: Iterable[Trial]) -> list[str]:
    """Return the lines of a table with a line for each name: how many trials ended how, and what they counted."""
    rows: dict[str, list[Trial]] = {}
    for trial in trials:
        rows.setdefault(trial.name, []).append(trial)
    columns = list(dict.fromkeys(column for own in rows.values() for trial in own for column in trial.counts))
    lines = [["", "trials", *(outcome.value for outcome in Outcome), *columns]]
    for name, own in rows.items():
        outcomes = Counter(trial.outcome for trial in own)
        sums = sum((trial.counts for trial in own), Counter[str]())
        numbers = [len(own), *(outcomes[outcome] for outcome in Outcome), *(sums[column] for column in columns)]
        lines.append([name, *map(str, numbers)])
    return _aligned(lines)


def faults_met(trials: Iterable[Trial]) -> list[str]:
    """Return a line that says how many requests of all trials had each kind of fault; none where there were none."""
    numbers = sum((trial.faults for trial in trials), Counter[Fault]())
    return [f"spoilt: {', '.join(f'{fault} {numbers[fault]}' for fault in Fault)}"] if numbers else []


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    ]


def reasons(trials: Iterable[Trial]) -> list[str]:
    """Return a line for each reason why trials ended badly, with how often."""
    numbers = Counter((trial.name, trial.outcome, trial.reason) for trial in trials if trial.reason)
    return [f"{number} x {name}, {outcome}: {reason}" for (name, outcome, reason), number in numbers.most_common()]
