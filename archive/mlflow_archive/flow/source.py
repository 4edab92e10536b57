"""Where records are read from. A new source gets every command at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mlflow_archive.flow.chunk import Chunk, Known, Shard
from mlflow_archive.flow.report import Progress
from mlflow_archive.selecting.selection import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """Where data comes from. ``uri`` never holds credentials. Unknown values are None.

    ``newer_schema`` is True where the source is of a version that this program does not know, else None.
    """

    kind: str
    uri: str
    mlflow_version: str | None = None
    schema_revision: str | None = None
    newer_schema: bool | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """Where records are read from. Raises ServerError, StoreError or ArchiveError when it cannot be read at all."""

    def facts(self) -> SourceFacts:
        """Return where this data comes from; called once, before ``plan``; the first contact with the source."""

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        """Yield shards that together hold what is selected, each entity in one shard, stages ascending.

        What an object refers to comes in an earlier stage: ``Kind.refers`` says what that is, and ``kinds.KINDS`` is in
        such an order. Only datasets may come in one chunk with their experiment or the runs that took them. Gaps come
        with any kind.

        A shard whose payload is a chunk, or a function without parameters that yields some, is these, and is not read.

        Lazy: shards are read while planning goes on. Raises SelectionError for a pattern that matches nothing,
        before the first shard.
        """

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        """Yield the chunks of a shard; called from several threads, each shard once, by one thread.

        Entities whose fingerprint equals what ``known`` says are left out. What cannot be read becomes rows of
        ``gaps``; an exception means that nothing more of this source can be read.
        """

    def close(self) -> None:
        """Release connections; called once, also after an error."""
