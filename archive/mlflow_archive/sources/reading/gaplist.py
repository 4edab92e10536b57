"""The gaps of one owner, one for each place and code, as the table ``gaps`` has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.gaps import EXPERIMENT_UNREADABLE, FIELD_UNREADABLE, OBJECT_UNREADABLE, RUN_UNREADABLE
from mlflow_archive.kinds import EXPERIMENT, RUN

OnBad = Callable[[str, str], None]
"""Called with the field or key that cannot be read, and why."""

_UNREADABLE: Final = {RUN: RUN_UNREADABLE, EXPERIMENT: EXPERIMENT_UNREADABLE}


def unreadable(kind: str) -> str:
    """Return the code of the gap of an object of a kind that cannot be read at all."""
    return _UNREADABLE.get(kind, OBJECT_UNREADABLE)


@dataclass(slots=True, kw_only=True)
class GapList:
    """Collects gaps of one owner; a second one at the same place with the same code adds to the reason of the first."""

    owner_kind: str
    owner_id: str
    by_place: dict[tuple[str, str], Gap] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    """The fields of the owner that hold something and that nobody asked for: no gaps of it, but of the source."""

    def add(self, path: str, code: str, reason: str) -> None:
        """Add a gap of this owner."""
        if earlier := self.by_place.get((path, code)):
            reason = f"{earlier.reason}; {reason}"
        self.by_place[path, code] = Gap(
            owner_kind=self.owner_kind, owner_id=self.owner_id, path=path, code=code, reason=reason
        )

    def under(self, folder: str, code: str = FIELD_UNREADABLE) -> OnBad:
        """Return a function that adds a gap for a key in a folder, or for a field where ``folder`` is empty."""

        def add(key: str, reason: str) -> None:
            self.add("/".join(part for part in (folder, key) if part), code, reason)

        return add

    def __bool__(self) -> bool:
        return bool(self.by_place)


@dataclass(slots=True, kw_only=True)
class Problems:
    """Counts the problems of a file or list and keeps the first; ``units`` is what has them, such as lines."""

    units: str
    count: int = 0
    first: str = ""

    def add(self, problem: str, count: int = 1) -> None:
        """Add a problem that so many of the units have."""
        self.count += count
        self.first = self.first or problem

    @property
    def text(self) -> str:
        """The first problem, and how many there are."""
        return self.first if self.count == 1 else f"{self.first}; {self.count} {self.units} in all"
