"""Where records are read from. A new source gets every command at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
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
        All other payloads are plain data, which can be sent to another process.

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


class SharedSource(Source, Protocol):
    """A source whose shards can be read by others of their own, each opened at the same place in another process."""

    @property
    def has_moment(self) -> bool:
        """Whether the others see what this one saw when it was opened, whatever is written meanwhile."""

    def lend(self, folder: Path | None = None) -> object:
        """Return what the others must know of the plan, once its first shard has come: plain data, no credentials.

        ``folder`` is one that all of them can open, for what they need a file of.
        """

    def borrow(self, lent: object) -> None:
        """Get ready to read shards of the plan of another source, in place of ``facts`` and ``plan``.

        Called before the first shard, and again where the plan has more to lend. Raises what ``facts`` does.
        """

    def ready(self, shard: Shard) -> Shard:
        """Return a shard with all that it takes to read it elsewhere; asked when the stages before are done."""

    def take_findings(self) -> object:
        """Return, as plain data, what was met in reading that the source which plans must know; each thing once."""

    def add_findings(self, findings: object) -> None:
        """Take what another source met while it read shards of this one's plan."""
