"""The rows of the blob index, as packs and the parcels of workers give them, on their way into parts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.format.packs import MAX_FRAME_RAW
from mlflow_archive.kinds import TABLES
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.growing import OpenableMembers
from mlflow_archive.writer.coded import coded, plain, sort_rows
from mlflow_archive.writer.merge import Piece, memory_piece, staged_piece
from mlflow_archive.writer.packs import PlacedLabel, WrittenPack, scan_pack
from mlflow_archive.writer.scratch import Scratch
from mlflow_archive.writer.staged import StagedFile, StagedWriter, read_block
from mlflow_archive.writer.staging import Staging

BLOBS: Final = TABLES["blobs"]
_BATCH: Final = 200_000


def index_pieces(
    files: Files, staging: Staging, place: OpenableMembers, packs: Sequence[WrittenPack], scratch: Scratch
) -> list[Piece]:
    """Return the rows of the blob index for all blobs that ``scratch`` knows to be used, as pieces to merge.

    Blobs in the packs that nothing refers to (left by an interruption) are not indexed. More extents than fit in
    memory comfortably are staged.
    """
    pieces: list[Piece] = []
    for rows in tables_of_packs(place, {pack.name: pack.name for pack in packs}, scratch.is_used):
        if rows.num_rows < _BATCH and not pieces:
            return [memory_piece(sort_rows(coded(rows, BLOBS), BLOBS), BLOBS)]  # coded, as those of workers come
        file = stage_rows(files, staging, [rows], durable=False)
        pieces += [staged_piece(file.path, block, BLOBS) for block in file.blocks]
    return pieces


def stage_rows(files: Files, staging: Staging, tables: Iterable[pa.Table], *, durable: bool) -> StagedFile:
    """Write rows of the blob index into a file of the staging folder."""
    with closing(StagedWriter(files.create(staging.next_path()))) as writer:
        for rows in tables:
            writer.add(sort_rows(coded(rows, BLOBS), BLOBS), BLOBS)
        return writer.finish(durable=durable)


def staged_pieces(files: Sequence[StagedFile], own: Collection[str], scratch: Scratch) -> list[Piece]:
    """Return the rows of the blob index that are staged, of all used blobs; of two parcels the first counts.

    Each parcel has the blobs whole that its worker says it has, in one pack or cut over several. Of packs that are this
    writer's ``own``, by name, all rows count: a blob may begin in one, and have been written once more after an
    interruption.
    """
    blocks = [(file, block) for file in files for block in file.blocks if block.table == BLOBS.name]
    for file, block in blocks:
        rows = plain(read_block(file.path, block, BLOBS), BLOBS).to_pylist()
        scratch.add_places((row["digest"], file.path.name) for row in rows if row["pack"] not in own)

    def keep(parcel: str, rows: pa.Table) -> pa.Table:
        pairs = zip(rows["digest"].to_pylist(), rows["pack"].to_pylist(), strict=True)
        counts = [
            scratch.is_used(digest) and (pack in own or scratch.place_of(digest) == parcel) for digest, pack in pairs
        ]
        return rows.filter(pa.array(counts, pa.bool_()))

    return [staged_piece(file.path, block, BLOBS, partial(keep, file.path.name)) for file, block in blocks]


def blobs_in_one_frame(file: StagedFile) -> Iterator[bytes]:
    """Yield the digests of blobs that a staged file of rows says to be stored; those that are cut may lack frames."""
    for block in file.blocks:
        if block.table == BLOBS.name:
            rows = plain(read_block(file.path, block, BLOBS), BLOBS)
            first = pc.and_(pc.equal(rows["raw_offset"], 0), pc.less(rows["raw_size"], MAX_FRAME_RAW))
            yield from map(bytes.fromhex, rows.filter(first)["digest"].to_pylist())


def tables_of_packs(
    place: OpenableMembers, packs: dict[str, str], counts: Callable[[str], bool] | None = None
) -> Iterator[pa.Table]:
    """Yield the extents in packs as rows of the blob index, many at a time, of blobs (hex) that count.

    ``packs`` has their names in the archive by those that they have.
    """
    rows: list[tuple[str, int, int, str, int, int, int]] = []
    for name, archive_name in packs.items():
        with place.opened(name) as stored:
            for labels in scan_pack(stored):
                for placed in labels:
                    rows += [row for row in extent_rows(archive_name, placed) if counts is None or counts(row[0])]
                if len(rows) >= _BATCH:
                    yield extent_table(rows)
                    rows = []
    if rows:
        yield extent_table(rows)


def extent_rows(pack: str, placed: PlacedLabel) -> Iterator[tuple[str, int, int, str, int, int, int]]:
    """Yield the rows of the blob index for the extents of a frame."""
    offset = 0
    for extent in placed.label.extents:
        size, frame_size = extent.size, placed.label.frame_size
        yield extent.digest.hex(), extent.raw_offset, size, pack, placed.frame_offset, frame_size, offset
        offset += size


def extent_table(rows: list[tuple[str, int, int, str, int, int, int]]) -> pa.Table:
    """Return rows of the blob index as a table."""
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), BLOBS.schema, strict=True)],
        schema=BLOBS.schema,
    )
