"""The blob index of an export, rebuilt from the labels in its packs (spec/format.md, section 10)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import Archive
from mlflow_archive.repairing.units import label_at, label_length, next_label
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.members import MemberFile
from mlflow_archive.writer.blob_rows import extent_rows, extent_table
from mlflow_archive.writer.coded import sort_rows
from mlflow_archive.writer.packs import PlacedLabel
from mlflow_archive.writer.parts import WrittenPart, part_writer

BLOBS: Final = TABLES["blobs"]
LEVELS: Final = (3, 1, *range(4, 20), 2)
"""Of zstd, the usual ones first: with the right one the part is what it was, byte for byte."""
_ROWS_AT_ONCE: Final = 200_000


def rebuild_index(archive: Archive, export: int) -> pa.Table:
    """Return the rows of the blob index of an export as its labels and artifacts say, sorted.

    What of a pack is damaged is left out, and so are blobs that none of its artifacts names, where these can be read.
    """
    used = used_digests(archive, export)
    tables = [BLOBS.schema.empty_table()]
    for member in archive.manifest.members:
        if member.kind == "pack" and member.export == export:
            with suppress(DamagedError):
                tables += _extents(archive.open_member(member), used)
    return sort_rows(pa.concat_tables(tables), BLOBS)


def used_digests(archive: Archive, export: int) -> Collection[str] | None:
    """Return the digests that the artifacts of an export name, None where some of them cannot be read."""
    digests: set[str] = set()
    try:
        for member in archive.parts("artifacts"):
            if member.export == export:
                for rows in archive.open_part(member).groups(None, ["digest"]):
                    digests.update(rows["digest"].to_pylist())
    except DamagedError:
        return None
    return digests


def _extents(pack: MemberFile, used: Collection[str] | None) -> Iterator[pa.Table]:
    rows: list[tuple[str, int, int, str, int, int, int]] = []
    for placed in sound_labels(pack):
        rows += [row for row in extent_rows(pack.name, placed) if used is None or row[0] in used]
        if len(rows) >= _ROWS_AT_ONCE:
            yield extent_table(rows)
            rows = []
    if rows:
        yield extent_table(rows)


def sound_labels(pack: MemberFile) -> Iterator[PlacedLabel]:
    """Yield the labels of a pack; behind a damaged one go on with the next that is sound."""
    position: int | None = 0
    while position is not None and position < pack.size:
        label = label_at(pack, position)
        if label is None:
            position = next_label(pack, position + 1)
            continue
        start = position + label_length(label)
        if start + label.frame_size <= pack.size:
            yield PlacedLabel(label=label, frame_offset=start)
        position = start + label.frame_size


def write_index(files: Files, path: Path, rows: pa.Table, member: Member) -> WrittenPart:
    """Write the part of the index that a member was: with its very bytes, if that can be."""
    keys = rows[BLOBS.key[0]]
    within = pc.and_(pc.greater_equal(keys, member.key_min or ""), pc.less_equal(keys, member.key_max or ""))
    selected = rows.filter(within)
    written = _write(files, path, selected, LEVELS[0])
    for level in LEVELS[1:] if selected.num_rows == member.rows else ():
        if written.sha256 == member.sha256:
            return written
        written = _write(files, path, selected, level)
    return written


def _write(files: Files, path: Path, rows: pa.Table, level: int) -> WrittenPart:
    with part_writer(files, path, BLOBS, level=level) as part:
        part.write(rows)
        return part.finish()
