"""What flows: chunks of whole entities with their artifacts, the shards they come in, and gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO

import pyarrow as pa

from mlflow_archive.errors import ItemError
from mlflow_archive.kinds import RUN, TABLES

Known = Callable[[str, str], str | None]
"""(entity kind, id) -> the fingerprint the sink already holds for it, or None.

It is a ``format.fingerprint.Fingerprint`` where the sink knows its ``contents``.
"""


def nothing_known(kind: str, entity_id: str) -> None:
    """A ``Known`` for sinks that hold nothing yet."""


class ArtifactUnreadableError(ItemError):
    """An artifact is declared but its bytes cannot be had. ``code`` is a gap code of spec/problems.md."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class ArtifactElsewhereError(ArtifactUnreadableError):
    """Its bytes can be had once what holds them is at hand, such as the base of a delta."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFile:
    """One artifact on its way. ``size`` is what the source announces, in bytes, or None where it says nothing.

    ``mark`` is a text that changes when the bytes do, such as an ETag or the time of the last change; None where the
    source has none.

    ``open`` gives the complete bytes as a seekable binary stream, retried and checked against ``size`` by the
    source; it raises ArtifactUnreadableError and nothing else for a file that cannot be had. It may be called
    again, from any thread. A small file may lie in memory, a large one never does.
    """

    owner_kind: str
    owner_id: str
    path: str
    size: int | None
    open: Callable[[], AbstractContextManager[BinaryIO]]
    mark: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Arrow tables of some whole entities with their artifact list.

    ``tables`` maps names of ``kinds.TABLES`` to tables of exactly that schema, rows in any order; a table
    that is absent has no rows. (Only a source that was told so gives texts of ``metrics`` dictionary-encoded.)
    The rows of ``artifacts`` come from the list ``artifacts`` (the sink knows size and digest only after reading), so
    that table is never in ``tables``. With ``complete=False`` the next chunk of the same shard goes on with the same
    entity; its fingerprint comes in the last one. ``unknown_tables`` are whole tables of MLflow's database that this
    version does not know, by their names there: for archives and databases alone.
    """

    tables: Mapping[str, pa.Table]
    artifacts: Sequence[ArtifactFile] = ()
    complete: bool = True
    unknown_tables: Mapping[str, pa.Table] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A piece of a source that can be read on its own.

    Shards of a later ``stage`` start only when all of the earlier stages are done: parents before children.
    ``weight`` is the expected number of objects of ``kind``, for progress, 0 where that is not known; ``payload``
    belongs to the source that made it. One that ``stays`` is read by that source alone.
    """

    name: str
    stage: int = 0
    kind: str = RUN
    weight: int = 0
    payload: object = None
    stays: bool = False

    @property
    def travels(self) -> bool:
        """Whether it can be read by another source of the same place, in another process."""
        return not (self.stays or isinstance(self.payload, Chunk) or callable(self.payload))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something that exists or is declared at the source and could not be carried; a row of the table ``gaps``."""

    owner_kind: str
    owner_id: str
    path: str
    code: str
    reason: str

    def row(self) -> dict[str, str]:
        """Return the row; what is not proper text, such as half a surrogate pair, is written as an escape."""
        return {name: getattr(self, name).encode("utf-8", "backslashreplace").decode() for name in self.__slots__}


def gap_table(gaps: Iterable[Gap]) -> pa.Table:
    """Return the table ``gaps`` of some gaps."""
    return pa.Table.from_pylist([gap.row() for gap in gaps], schema=TABLES["gaps"].schema)


def gap_shards(name: str, gaps: Sequence[Gap]) -> Iterator[Shard]:
    """Yield a shard of gaps, if there are any, for the first stage."""
    if gaps:
        yield Shard(name=name, payload=Chunk(tables={"gaps": gap_table(gaps)}))
