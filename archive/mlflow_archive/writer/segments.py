"""What one thread has written since it last sealed: rows in memory, then blocks in a file, then a journal line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa

from mlflow_archive.kinds import TABLES
from mlflow_archive.storage.files import Files
from mlflow_archive.writer.coded import coded, sort_rows
from mlflow_archive.writer.merge import Piece, memory_piece
from mlflow_archive.writer.packs import PackWriter
from mlflow_archive.writer.staged import StagedFile, StagedWriter

BUFFER_BYTES: Final = 48 * 1024 * 1024  # of all threads together
SEAL_SECONDS: Final = 15.0


class SegmentPlace(Protocol):
    """Where the files of segments lie, and what is done when one is sealed."""

    def next_path(self) -> Path:
        """Return a new path for a file of rows."""

    def seal(self, file: StagedFile, pack_sizes: list[int]) -> None:
        """Note a file whose bytes are durable, and the packs up to these sizes."""


class Segment:
    """Rows of one thread; used by that thread alone until it is taken over for the merge."""

    def __init__(
        self, files: Files, staging: SegmentPlace, packs: PackWriter, *, seal_seconds: float, jobs: int
    ) -> None:
        self._files, self._staging, self._packs = files, staging, packs
        self._seal_seconds = seal_seconds
        self._limit = BUFFER_BYTES // jobs
        self._rows: dict[str, list[pa.Table]] = {}
        self._bytes = 0
        self._writer: StagedWriter | None = None
        self._cut = False
        self._sealed_at = time.monotonic()

    def add(self, table: str, rows: pa.Table) -> None:
        """Take rows of a table; writes them to a file when enough have come together."""
        if not rows.num_rows:
            return
        rows = coded(rows, TABLES[table])
        self._rows.setdefault(table, []).append(rows)
        self._bytes += rows.nbytes
        if self._bytes > self._limit:
            self._flush()
            self._cut = True

    def _flush(self) -> None:
        for name in list(self._rows):
            if self._writer is None:
                self._writer = StagedWriter(self._files.create(self._staging.next_path()))
            rows = sort_rows(pa.concat_tables(self._rows.pop(name)), TABLES[name])
            self._writer.add(rows, TABLES[name])
        self._bytes = 0

    def entity_complete(self) -> None:
        """Called between entities, the only place where sealing is allowed; seals when it is time.

        What is left of an entity that was cut, and much in all, is written here: a run of blocks that holds no piece of
        another shard need not be sorted again with what other threads have read.
        """
        if time.monotonic() - self._sealed_at >= self._seal_seconds:
            self.seal()
        elif self._cut or self._bytes > self._limit // 2:
            self._flush()
        self._cut = False

    def seal(self) -> None:
        """Make all of it durable and note it in the journal; blobs first, as rows refer to them."""
        self._flush()
        if self._writer is not None:
            writer, self._writer = self._writer, None
            try:
                self._staging.seal(writer.finish(durable=True), self._packs.sync())
            finally:
                writer.close()
        self._sealed_at = time.monotonic()

    def take(self) -> tuple[list[StagedFile], dict[str, list[Piece]]]:
        """Hand over what is not sealed: a file, and rows still in memory."""
        pieces = {
            name: [memory_piece(sort_rows(pa.concat_tables(tables), TABLES[name]), TABLES[name])]
            for name, tables in self._rows.items()
        }
        self._rows, self._bytes = {}, 0
        files = [] if self._writer is None else [self._writer.finish(durable=False)]
        self._writer = None
        return files, pieces

    def close(self) -> None:
        """Let go of the file."""
        if self._writer is not None:
            self._writer.close()
