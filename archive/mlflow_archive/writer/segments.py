"""What one thread has written since it last sealed: rows in memory, then staged parts, then a journal line."""

from __future__ import annotations

import time
from typing import Final

import pyarrow as pa

from mlflow_archive.format.tables import TABLES
from mlflow_archive.storage.files import Files
from mlflow_archive.writer.merge import Piece, memory_piece
from mlflow_archive.writer.packs import PackWriter
from mlflow_archive.writer.parts import part_writer, sort_rows
from mlflow_archive.writer.staging import StagedPart, Staging

BUFFER_BYTES: Final = 48 * 1024 * 1024  # of all threads together
SEAL_SECONDS: Final = 15.0


class Segment:
    """Rows of one thread; used by that thread alone until it is taken over for the merge."""

    def __init__(self, files: Files, staging: Staging, packs: PackWriter, *, seal_seconds: float, jobs: int) -> None:
        self._files, self._staging, self._packs = files, staging, packs
        self._seal_seconds = seal_seconds
        self._limit = BUFFER_BYTES // jobs
        self._rows: dict[str, list[pa.Table]] = {}
        self._bytes = 0
        self._parts: list[StagedPart] = []
        self._sealed_at = time.monotonic()

    def add(self, table: str, rows: pa.Table) -> None:
        """Take rows of a table; writes them to staged parts when enough have come together."""
        if not rows.num_rows:
            return
        self._rows.setdefault(table, []).append(rows)
        self._bytes += rows.nbytes
        if self._bytes > self._limit:
            self._flush()

    def _flush(self) -> None:
        for name, tables in self._rows.items():
            table = TABLES[name]
            path = self._staging.next_path(name)
            with part_writer(self._files, path, table, level=1, staged=True) as part:
                part.write(sort_rows(pa.concat_tables(tables), table))
                part.finish()
            self._parts.append(StagedPart(table=name, path=path))
        self._rows, self._bytes = {}, 0

    def entity_complete(self) -> None:
        """Called between entities, the only place where sealing is allowed; seals when it is time."""
        if time.monotonic() - self._sealed_at >= self._seal_seconds:
            self.seal()

    def seal(self) -> None:
        """Make all of it durable and note it in the journal; blobs first, as rows refer to them."""
        if self._rows or self._parts:
            self._flush()
            self._staging.seal(self._parts, self._packs.sync())
            self._parts = []
        self._sealed_at = time.monotonic()

    def take(self) -> tuple[list[StagedPart], dict[str, list[Piece]]]:
        """Hand over what is not sealed: staged parts, and rows still in memory."""
        pieces = {
            name: [memory_piece(sort_rows(pa.concat_tables(tables), TABLES[name]), TABLES[name])]
            for name, tables in self._rows.items()
        }
        parts, self._parts, self._rows, self._bytes = self._parts, [], {}, 0
        return parts, pieces
