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


class UnknownFields:
    """Counts the values in such fields for one plan of a source; used by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[tuple[str, str], tuple[int, str]] = {}

    def add(self, kind: str, owner_id: str, fields: Iterable[str]) -> None:
        """Add the fields of an object, each as often as it is there; of ids the first in order is the example."""
        for field in fields:
            with self._lock:
                count, example = self._counts.get((kind, field), (0, owner_id))
                self._counts[kind, field] = count + 1, min(example, owner_id)

    def add_all(self, gaps: GapList) -> None:
        """Add those of the owner of some gaps."""
        self.add(gaps.owner_kind, gaps.owner_id, gaps.unread)

    def shard(self, stage: int) -> Shard:
        """Return the shard that tells of them, for a stage behind all others."""
        return Shard(name="fields that this version does not know", stage=stage, payload=self.chunks)

    def chunks(self) -> Iterator[Chunk]:
        """Yield a chunk of the gaps, if there are any."""
        gaps = []
        for (kind, field), (count, example) in sorted(self._counts.items()):
            times = "once" if count == 1 else f"{count} times"
            noun = kind.replace("_", " ")
            reason = f"this version knows no such field; it has a value {times}, such as in {noun} {example}"
            gaps.append(Gap(owner_kind=SOURCE, owner_id=kind, path=field, code=UNKNOWN_FIELD, reason=reason))
        if gaps:
            yield Chunk(tables={"gaps": gap_table(gaps)})
