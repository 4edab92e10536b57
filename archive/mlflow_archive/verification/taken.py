"""Before something is taken out of an archive into a server or database: is what is taken what was committed?

The checks are those of ``verify``, over the members that are read for a selection only, and without decoding blobs:
their frames and digests are checked when they are read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import zstandard

from mlflow_archive.errors import DamagedError, ElsewhereError
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import AFTER_RUNS, BY_ROW, EXPERIMENT, IDENTITIES, LOGGED_MODEL, RUN, TABLES, is_identity
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.blobs import Blobs, StoredExtent
from mlflow_archive.reader.selecting import ArchiveSelection
from mlflow_archive.reader.stored.joined import place_of
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.verification.report import Level, VerifyReport
from mlflow_archive.verification.tables import check_tables

_FRAME_HEADER = 18  # of zstd, at most
_AT_ONCE = 10_000
_COMPLETED = (RUN, LOGGED_MODEL)
"""Kinds of objects that are marked until all their files are written."""


def check_taken(
    archive: Archive, selection: Selection | None = None, *, jobs: int = 2, progress: Progress | None = None
) -> None:
    """Check the members that are read for a selection, their rows, and where the blobs of its artifacts lie.

    Raises DamagedError for the first problem that ``verify`` calls an error, SelectionError, ElsewhereError for a
    delta that has artifacts whose bytes lie in the base, and would not be brought later.
    """
    selection, progress = selection or Selection(), progress or Quiet()
    ids = _selected_ids(archive, selection)
    parts = [member for name in TABLES for member in archive.parts(name) if _is_read(member, ids)]
    _check_hashes(archive, parts, jobs, progress)
    report = VerifyReport(level=Level.FULL, archive_id=archive.id)
    check_tables(archive, report, set(), jobs=jobs, only={member.path for member in parts})
    _raise_first(report)
    packs = _check_artifacts(archive, selection, ids)
    _check_hashes(archive, [member for member in archive.manifest.members if member.path in packs], jobs, progress)


def _selected_ids(archive: Archive, selection: Selection) -> pa.StringArray | None:
    """Return the ids of all that is selected, sorted; None where that is everything."""
    if selection.everything:
        return None
    selected = ArchiveSelection(archive, selection)
    arrays = [selected.ids(kind) for kind in (EXPERIMENT, RUN, *AFTER_RUNS)]
    return pa.chunked_array(arrays, pa.string()).unique().sort()


def _is_read(member: Member, ids: pa.StringArray | None) -> bool:
    """Return whether rows of a part are read. Those that say what there is are read whole, for any selection."""
    table = TABLES[member.table or ""]
    if ids is None or is_identity(table) or table.entity in (None, BY_ROW) or member.key_min is None:
        return True
    at = bisect_left(ids, member.key_min, key=lambda value: value.as_py())
    return at < len(ids) and ids[at].as_py() <= (member.key_max or ids[at].as_py())


def _check_hashes(archive: Archive, members: list[Member], jobs: int, progress: Progress) -> None:
    progress.expect("bytes", sum(member.size for member in members))

    def check(member: Member) -> None:
        if (sha256 := archive.open_member(member).sha256()) != member.sha256:
            message = f"{member.path}: its SHA-256 is {sha256}, the manifest states {member.sha256}"
            place = place_of(archive.members, member.path)
            raise DamagedError(message, code="E012", member=member.path).of(place)
        progress.advance("bytes", member.size)

    with ThreadPoolExecutor(jobs, thread_name_prefix="check") as pool:
        for _ in pool.map(check, sorted(members, key=lambda member: -member.size)):
            pass


def _check_artifacts(archive: Archive, selection: Selection, ids: pa.StringArray | None) -> set[str]:
    """Check that the blobs of the selected artifacts are there in the size stated; return the packs they lie in."""
    blobs, packs = Blobs(archive), _Packs(archive)
    for rows in _artifacts(archive, selection, ids):
        pieces = blobs.pieces({row["digest"] for row in rows})
        for row in rows:
            blob = pieces.get(row["digest"])
            artifact = f"{row['owner_kind']} {row['owner_id']}, artifact {row['path']!r}"
            if not blob and archive.manifest.delta is not None:
                _check_waits(row["owner_kind"], artifact, blobs.missing(row["digest"]))
                continue
            if not blob:
                raise DamagedError(f"{artifact}: its blob {row['digest']} is not in the archive", code="E050")
            size = sum(piece.raw_size for piece in blob)
            if size != row["size"]:
                message = f"{artifact}: it states {row['size']} bytes, its blob has {size}"
                raise DamagedError(message, code="E052")
        for piece in (piece for blob in pieces.values() for piece in blob):
            packs.check(piece)
    return packs.names


def _artifacts(archive: Archive, selection: Selection, ids: pa.StringArray | None) -> Iterator[list[dict[str, Any]]]:
    """Yield the selected artifacts, some at a time."""
    if not selection.artifacts:
        return
    by_id = pa.array([kind for kind, table in IDENTITIES.items() if len(table.owner) == 1], pa.string())
    for batch in archive.batches("artifacts"):
        rows = batch
        if ids is not None:
            others = pc.invert(pc.is_in(batch["owner_kind"], value_set=by_id))
            rows = batch.filter(pc.or_(pc.is_in(batch["owner_id"], value_set=ids), others))
        for start in range(0, rows.num_rows, _AT_ONCE):
            some = rows.slice(start, _AT_ONCE).to_pylist()
            yield [row for row in some if selection.wants_artifact(row["path"], row["size"])]


def _check_waits(kind: str, artifact: str, error: DamagedError | ElsewhereError) -> None:
    """Raise the error, unless an object of this kind is left incomplete without a file, and completed once it is there.

    Of all others nothing would bring the file when the base is at hand later.
    """
    if kind not in _COMPLETED:
        raise ElsewhereError(f"{artifact}: {error}")


class _Packs:
    """Checks that extents lie in their packs and frames; ``names`` are the packs of those that were checked."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._members = {member.path: member for member in archive.manifest.members if member.kind == "pack"}
        self._frames: dict[tuple[str, int], int] = {}
        self.names: set[str] = set()

    def check(self, piece: StoredExtent) -> None:
        """Raise DamagedError for an extent that points outside of its pack or frame (E044), or a frame without size."""
        member = self._members.get(piece.pack)
        if member is None:
            raise DamagedError(f"pack {piece.pack} is not listed in the manifest", code="E044", member=piece.pack)
        self.names.add(piece.pack)
        end = piece.offset_in_frame + piece.raw_size
        inside = piece.frame_offset >= 0 and 0 < piece.frame_size <= member.size - piece.frame_offset
        if not inside or piece.offset_in_frame < 0 or end > self._frame_size(member, piece):
            message = f"{piece.pack}: an extent lies outside of the frame at byte {piece.frame_offset}"
            raise DamagedError(message, code="E044", member=piece.pack)

    def _frame_size(self, member: Member, piece: StoredExtent) -> int:
        """Return how many bytes a frame holds when it is decoded, as its header states."""
        place = piece.pack, piece.frame_offset
        if place not in self._frames:
            header = self._archive.open_member(member).read_at(piece.frame_offset, min(_FRAME_HEADER, piece.frame_size))
            where = f"{piece.pack} at byte {piece.frame_offset}"
            try:
                size = int(zstandard.get_frame_parameters(header).content_size)
            except zstandard.ZstdError as error:
                raise DamagedError(f"{where}: no zstd frame: {error}", code="E044", member=piece.pack) from error
            if size == zstandard.CONTENTSIZE_UNKNOWN:
                raise DamagedError(f"{where}: the frame states no size", code="E045", member=piece.pack)
            self._frames[place] = size
        return self._frames[place]


def _raise_first(report: VerifyReport) -> None:
    for problem in report.problems:
        if problem.severity == "error":
            raise DamagedError(problem.message, code=problem.code, member=problem.member or None)
