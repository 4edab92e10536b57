"""What objects of a source hold in fields that this version does not know: one gap a kind and field, with its number.

A gap of each object would change fingerprints, and come a million times from a later MLflow. So the source counts
while it reads, and tells at the very end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import Lock

from mlflow_archive.flow.chunk import Chunk, Gap, Shard, gap_table
from mlflow_archive.format.gaps import SOURCE, UNKNOWN_FIELD
from mlflow_archive.sources.reading.gaplist import GapList

Counts = dict[tuple[str, str], tuple[int, str]]
"""(kind, field) -> how often it was met, and the first example."""


class UnknownFields:
    """Counts the values in such fields for one plan of a source; used by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counts = {}

    def add(self, kind: str, owner_id: str, fields: Iterable[str], *, example: str = "") -> None:
        """Add the fields of an object, each as often as it is there.

        ``example`` is what a person finds it by, by default its kind and id; the first in order is told.
        """
        example = example or f"{kind.replace('_', ' ')} {owner_id}"
        for field in fields:
            with self._lock:
                count, first = self._counts.get((kind, field), (0, example))
                self._counts[kind, field] = count + 1, min(first, example)

    def add_all(self, gaps: GapList) -> None:
        """Add those of the owner of some gaps."""
        self.add(gaps.owner_kind, gaps.owner_id, gaps.unread)

    def take(self) -> Counts:
        """Return what was counted since the last call, for ``add_counts``."""
        with self._lock:
            counts, self._counts = self._counts, {}
        return counts

    def add_counts(self, counts: Counts) -> None:
        """Add what was counted elsewhere."""
        with self._lock:
            for place, (number, example) in counts.items():
                count, first = self._counts.get(place, (0, example))
                self._counts[place] = count + number, min(first, example)

    def shard(self, stage: int) -> Shard:
        """Return the shard that tells of them, for a stage behind all others."""
        return Shard(name="fields that this version does not know", stage=stage, payload=self.chunks)

    def chunks(self) -> Iterator[Chunk]:
        """Yield a chunk of the gaps, if there are any."""
        gaps = []
        for (kind, field), (count, example) in sorted(self._counts.items()):
            times = "once" if count == 1 else f"{count} times"
            reason = f"this version knows no such field; this export met a value {times}, such as in {example}"
            gaps.append(Gap(owner_kind=SOURCE, owner_id=kind, path=field, code=UNKNOWN_FIELD, reason=reason))
        if gaps:
            yield Chunk(tables={"gaps": gap_table(gaps)})
