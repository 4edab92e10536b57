"""Two recordings side by side."""

from __future__ import annotations

import difflib
import filecmp
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_SUFFIX: Final = ".calls.jsonl"
_SHOWN: Final = 20


@dataclass
class Differences:
    """``equal`` does not count the order of calls, which is listed."""

    equal: bool = True
    lines: list[str] = field(default_factory=list)

    def differ(self, *lines: str) -> None:
        self.equal = False
        self.lines += lines


def differences(before: Path, after: Path) -> Differences:
    """Compare file by file: exports and what the command said by their text, calls as multisets of each kind."""
    report = Differences()
    paths = sorted({path.relative_to(root) for root in (before, after) for path in root.rglob("*") if path.is_file()})
    same = 0
    for path in paths:
        sides = before / path, after / path
        if missing := [root for root in (before, after) if not (root / path).exists()]:
            report.differ(f"{path}: is not in {missing[0]}")
        elif path.name.endswith(_SUFFIX):
            old, new = (side.read_text("utf-8").splitlines() for side in sides)
            _compare_calls(path, old, new, report)
        elif filecmp.cmp(*sides, shallow=False):
            same += 1
        else:
            old, new = (side.read_text("utf-8").splitlines() for side in sides)
            lines = difflib.unified_diff(old, new, "before", "after", n=0, lineterm="")
            report.differ(f"{path}: differs", *(f"    {line[:400]}" for line in itertools.islice(lines, _SHOWN)))
    report.lines.append(f"{same} of {len(paths)} files are equal byte by byte, calls apart.")
    return report


def _compare_calls(path: Path, before: Sequence[str], after: Sequence[str], report: Differences) -> None:
    counts = Counter(before), Counter(after)
    if counts[0] != counts[1]:
        for kind in sorted({json.loads(call)["kind"] for call in (counts[0] - counts[1]) + (counts[1] - counts[0])}):
            _compare_kind(path, kind, counts[0], counts[1], report)
    elif before != after:
        report.lines.append(f"{path}: {len(before)} calls are the same, in another order:")
        report.lines += _order(_kinds(before), _kinds(after)) or ["    within kinds only"]
    else:
        report.lines.append(f"{path}: {len(before)} calls are the same, in the same order.")


def _compare_kind(path: Path, kind: str, before: Counter[str], after: Counter[str], report: Differences) -> None:
    def of_kind(calls: Counter[str]) -> list[str]:
        return [call for call in calls.elements() if json.loads(call)["kind"] == kind]

    fewer, more = of_kind(before - after), of_kind(after - before)
    report.differ(f"{path}: {kind}: {len(of_kind(before))} calls before, {len(of_kind(after))} after")
    report.lines += [f"    - {call[:600]}" for call in fewer[:_SHOWN]] + [
        f"    + {call[:600]}" for call in more[:_SHOWN]
    ]


def _kinds(calls: Sequence[str]) -> list[str]:
    return [json.loads(call)["kind"] for call in calls]


def _order(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Return how runs of calls of one kind have moved, as a diff."""
    old, new = ([f"{kind} x{len(list(calls))}" for kind, calls in itertools.groupby(side)] for side in (before, after))
    return [f"    {line}" for line in difflib.unified_diff(old, new, "before", "after", n=0, lineterm="")]
