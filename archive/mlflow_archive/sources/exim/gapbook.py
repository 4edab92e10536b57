"""The gaps that are known before an object is read, by the object they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mlflow_archive.sources.reading.gaplist import GapList

FOLDER: Final = "folder"
"""Owner kind of gaps that concern no object; their owner is a place below the exported folder."""


class GapBook:
    """Gaps by kind and id of their owner. The gaps of an object that is read come with it, the others by themselves."""

    def __init__(self) -> None:
        self._lists: dict[tuple[str, str], GapList] = {}
        self._experiments: dict[tuple[str, str], str] = {}

    def add(
        self, kind: str, owner_id: str, code: str, reason: str, *, path: str = "", experiment_id: str | None = None
    ) -> None:
        """Add a gap; an object's second one at the same place with the same code adds to the reason of the first.

        ``experiment_id`` is that of the experiment in which the object lies, where that is known.
        """
        gaps = self.of(kind, owner_id)
        earlier = gaps.by_place.get((path, code))
        if earlier is None or reason not in earlier.reason:
            gaps.add(path, code, reason)
        if experiment_id is not None:
            self._experiments.setdefault((kind, owner_id), experiment_id)

    def experiment_of(self, kind: str, owner_id: str) -> str | None:
        """Return the experiment in which the owner of a gap lies, None where that is not known."""
        return self._experiments.get((kind, owner_id))

    def has(self, kind: str, owner_id: str) -> bool:
        """Return whether an object has a gap."""
        return (kind, owner_id) in self._lists

    def of(self, kind: str, owner_id: str) -> GapList:
        """Return the gaps of an object, for more to be added."""
        return self._lists.setdefault((kind, owner_id), GapList(owner_kind=kind, owner_id=owner_id))

    def copy_of(self, kind: str, owner_id: str) -> GapList:
        """Return the gaps of an object as a list of its own, so that reading it twice does not add them twice."""
        gaps = self._lists.get((kind, owner_id))
        return GapList(owner_kind=kind, owner_id=owner_id, by_place=dict(gaps.by_place) if gaps else {})

    def owners(self) -> Iterator[tuple[str, str]]:
        """Yield (kind, id) of every owner, sorted."""
        yield from sorted(self._lists)
