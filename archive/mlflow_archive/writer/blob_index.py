"""Make the table ``blobs`` from the labels in the packs, the only place where it is known which blob lies where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import pyarrow as pa

from mlflow_archive.kinds import TABLES
from mlflow_archive.storage.files import Files
from mlflow_archive.writer.coded import sort_rows
from mlflow_archive.writer.merge import Piece, memory_piece, staged_piece
from mlflow_archive.writer.packs import PlacedLabel, WrittenPack, scan_pack
from mlflow_archive.writer.scratch import Scratch
from mlflow_archive.writer.staged import StagedWriter
from mlflow_archive.writer.staging import Staging

_BATCH: Final = 200_000


def index_pieces(
    files: Files, staging: Staging, root: Path, packs: Sequence[WrittenPack], scratch: Scratch
) -> list[Piece]:
    """Return the rows of the blob index for all blobs that ``scratch`` knows to be used, as pieces to merge.

    Blobs in the packs that nothing refers to (left by an interruption) are not indexed. More extents than fit in
    memory comfortably are staged.
    """
    table = TABLES["blobs"]
    pieces: list[Piece] = []
    for rows in _batches(root, packs, scratch):
        ordered = sort_rows(rows, table)
        if rows.num_rows < _BATCH and not pieces:
            return [memory_piece(ordered, table)] if rows.num_rows else []
        with closing(StagedWriter(files.create(staging.next_path()))) as writer:
            writer.add(ordered, table)
            file = writer.finish(durable=False)
        pieces += [staged_piece(file.path, block, table) for block in file.blocks]
    return pieces


def _batches(root: Path, packs: Sequence[WrittenPack], scratch: Scratch) -> Iterator[pa.Table]:
    rows: list[tuple[str, int, int, str, int, int, int]] = []
    for pack in packs:
        for labels in scan_pack(root / pack.name):
            for placed in labels:
                rows += [row for row in _rows(pack.name, placed) if scratch.is_used(row[0])]
            if len(rows) >= _BATCH:
                yield _table(rows)
                rows = []
    if rows:
        yield _table(rows)


def _rows(pack: str, placed: PlacedLabel) -> Iterator[tuple[str, int, int, str, int, int, int]]:
    offset = 0
    for extent in placed.label.extents:
        size, frame_size = extent.size, placed.label.frame_size
        yield extent.digest.hex(), extent.raw_offset, size, pack, placed.frame_offset, frame_size, offset
        offset += size


def _table(rows: list[tuple[str, int, int, str, int, int, int]]) -> pa.Table:
    schema = TABLES["blobs"].schema
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)],
        schema=schema,
    )
