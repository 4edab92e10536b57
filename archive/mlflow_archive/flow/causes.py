"""Gaps that have one cause: the same sentence about one object and another."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mlflow_archive.flow.chunk import Gap

_OWN_OF_ONE: Final = re.compile(r"'[^']*'|\S*[/\\]\S*|\b\w*\d\w*\b")


@dataclass(frozen=True, slots=True)
class Cause:
    """Gaps of one cause, by kind, id and path of the object."""

    gaps: tuple[Gap, ...]

    @property
    def first(self) -> Gap:
        """One of them, whose reason stands for all."""
        return self.gaps[0]


def causes(gaps: Iterable[Gap]) -> list[Cause]:
    """Return gaps by cause, that of most gaps first."""
    alike: dict[tuple[str, str, str], list[Gap]] = {}
    for gap in sorted(gaps, key=lambda gap: (gap.owner_kind, gap.owner_id, gap.path)):
        alike.setdefault((gap.code, gap.owner_kind, _sentence(gap)), []).append(gap)
    return [Cause(tuple(group)) for group in sorted(alike.values(), key=len, reverse=True)]


def _sentence(gap: Gap) -> str:
    """Return a reason without what is only true of one object: ids, paths, names in quotes, numbers."""
    reason = gap.reason
    for own in sorted(filter(None, (gap.owner_id, gap.path)), key=len, reverse=True):
        reason = reason.replace(own, "*")
    return _OWN_OF_ONE.sub("*", reason)
