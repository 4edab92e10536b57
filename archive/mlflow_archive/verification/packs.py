"""Level full, packs: every frame decodes, every blob has its digest, the blob index is true."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
import zstandard

from mlflow_archive.errors import DamagedError
from mlflow_archive.flow.pieces import in_pieces
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.format.blob_index import TOGETHER_BYTES, IndexedExtent, disagreement, labelled
from mlflow_archive.format.manifest import Member
from mlflow_archive.format.packs import (
    LABEL_PREFIX_SIZE,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    Extent,
    decode_frame,
    decode_label,
    label_size,
)
from mlflow_archive.format.problems import Problem
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.storage.members import HASH_BLOCK, MemberFile
from mlflow_archive.verification.report import Found, VerifyReport
from mlflow_archive.verification.sharing_out import SharedChecks


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameAt:
    """A frame found in a pack. ``extents`` is None where its label is damaged."""

    offset: int
    size: int
    extents: tuple[Extent, ...] | None


@dataclass(slots=True, kw_only=True)
class PacksFound(Found):
    """What the check of some packs found, as :class:`PackCheck` has it."""

    good: dict[bytes, int] = field(default_factory=dict)
    doubted: set[bytes] = field(default_factory=set)


def check_all_packs(
    archive: Archive, report: VerifyReport, progress: Progress, jobs: int, shared: SharedChecks | None = None
) -> dict[bytes, int]:
    """Check all packs, with ``jobs`` threads that decode, or by workers; return each proved blob with its size.

    Workers do not prove blobs that are cut and lie in packs of several: these are left to :func:`blobs_come_out`.
    """
    packs = sorted((member for member in archive.manifest.members if member.kind == "pack"), key=lambda m: m.path)
    progress.expect("bytes", sum(member.size for member in packs))
    check = PackCheck(archive, report, progress)
    if shared is None:
        check.run(packs, jobs)
    else:
        for findings in shared.run(check_packs, packs):
            report.take(findings)
            check.good |= findings.good
            check.doubted |= findings.doubted
    check.check_extents({member.path for member in packs})
    return {digest: size for digest, size in check.good.items() if digest not in check.doubted}


def check_packs(archive: Archive, packs: Sequence[Member]) -> PacksFound:
    """Check some packs: what a worker does."""
    findings = PacksFound()
    check = PackCheck(archive, findings, Quiet())
    check.run(packs, 1)
    findings.good, findings.doubted = check.good, check.doubted
    return findings


class PackCheck:
    """Checks packs of an archive; afterwards ``good`` maps the digests (32 bytes) that were proved to their sizes.

    ``doubted`` are those of which the index names more than was proved. Whether such a blob comes out, also one that is
    among the good, is for a reader to say, as readers choose among the extents that the index names.
    """

    def __init__(self, archive: Archive, report: Found, progress: Progress) -> None:
        self._archive, self._report, self._progress = archive, report, progress
        self.good: dict[bytes, int] = {}
        self.doubted: set[bytes] = set()
        self._cut: dict[bytes, tuple[hashlib._Hash, int]] = {}

    def run(self, packs: Sequence[Member], jobs: int) -> None:
        """Check packs in order, with ``jobs`` threads that decode."""
        with ThreadPoolExecutor(jobs, thread_name_prefix="verify") as pool:
            for together in in_pieces(packs, lambda pack: pack.size, TOGETHER_BYTES):
                indexes = self._indexes({member.path for member in together})
                for member in together:
                    self._check_pack(member, indexes[member.path], pool, jobs)
        self.doubted |= self._cut.keys()

    def check_extents(self, packs: set[str]) -> None:
        """Check that extents name listed packs and that those of a cut blob follow one another."""
        cut: set[str] = set()
        for rows in self._index_rows():
            for pack in sorted(set(rows["pack"].unique().to_pylist()) - packs):
                self._report.add("E044", "", f"the blob index names the pack {pack}, which the manifest does not list")
            cut.update(rows.filter(pc.not_equal(rows["raw_offset"], 0))["digest"].unique().to_pylist())
        extents: dict[str, dict[tuple[str, int, int], tuple[int, int]]] = {digest: {} for digest in cut}
        for rows in self._index_rows() if cut else ():
            for row in rows.filter(pc.is_in(rows["digest"], value_set=pa.array(sorted(cut)))).to_pylist():
                place, span = (
                    (row["pack"], row["frame_offset"], row["offset_in_frame"]),
                    (row["raw_offset"], row["raw_size"]),
                )
                if extents[row["digest"]].setdefault(place, span) != span:
                    message = f"blob {row['digest']}: two extents lie in one place, at byte {place[1]} of {place[0]}"
                    self._report.add("E043", "", message)
        for digest, spans in sorted(extents.items()):
            self._check_order(digest, sorted(set(spans.values())))

    def _check_order(self, digest: str, spans: list[tuple[int, int]]) -> None:
        position = 0
        for offset, size in spans:
            if offset != position or size < 1:
                self._report.add("E043", "", f"blob {digest}: its extents leave a gap or overlap at byte {position}")
                return
            position += size

    def _index_rows(self) -> Iterator[pa.Table]:
        """Yield the rows of the blob index that can be read; the check of the tables reports the others."""
        for member in self._archive.parts("blobs"):
            try:
                part = self._archive.open_part(member)
                groups = part.row_groups()
            except DamagedError:
                continue
            for group in groups:
                try:
                    yield part.read(group.index)
                except DamagedError:
                    continue

    def _indexes(self, packs: set[str]) -> dict[str, dict[int, list[IndexedExtent]]]:
        """Return the blob index of some packs by frame offset, as far as it can be read."""
        by_pack: dict[str, dict[int, list[IndexedExtent]]] = {pack: defaultdict(list) for pack in packs}
        names = pa.array(sorted(packs), pa.string())
        for rows in self._index_rows():
            for row in rows.filter(pc.is_in(rows["pack"], value_set=names)).to_pylist():
                by_pack[row.pop("pack")][row.pop("frame_offset")].append(IndexedExtent(**row))
        return by_pack

    def _check_pack(
        self, member: Member, index: dict[int, list[IndexedExtent]], pool: ThreadPoolExecutor, jobs: int
    ) -> None:
        try:
            file = self._archive.open_member(member)
        except DamagedError:
            self._doubt(index.values())
            return  # the listing has reported it
        visited: set[int] = set()
        frames = _walk(file, sorted(index))
        while batch := list(islice(frames, 4 * jobs)):
            for frame, raw in zip(batch, pool.map(lambda frame: _decode(file, frame), batch), strict=True):
                if isinstance(frame, Problem):
                    self._report.extend([frame])
                    continue
                visited.add(frame.offset)
                self._progress.advance("bytes", frame.size)
                self._check_index(file, frame, index.get(frame.offset, []))
                if isinstance(raw, DamagedError):
                    self._report.add_error(raw, file.name)
                    self._doubt([index.get(frame.offset, [])])
                elif raw is not None:
                    self._prove(file, frame, index.get(frame.offset, []), raw)
        for offset in sorted(index.keys() - visited):
            self._report.add("E044", file.name, f"the blob index names a frame at byte {offset}, where there is none")
            self._doubt([index[offset]])

    def _doubt(self, indexed: Iterable[list[IndexedExtent]]) -> None:
        self.doubted.update(raw_digest(row.digest) for rows in indexed for row in rows)

    def _check_index(self, file: MemberFile, frame: FrameAt, indexed: list[IndexedExtent]) -> None:
        if frame.extents is None:
            return
        known = set(labelled(frame.extents, frame.size))
        for row in indexed:
            if row not in known:
                self._report.add("E041", file.name, disagreement(frame.offset, row.digest))

    def _prove(self, file: MemberFile, frame: FrameAt, indexed: list[IndexedExtent], raw: bytes) -> None:
        """Hash the blobs of a frame that the index names, as the index places them."""
        for row in indexed:
            digest = raw_digest(row.digest)
            data = raw[row.offset_in_frame : row.offset_in_frame + row.raw_size]
            if len(data) != row.raw_size or row.offset_in_frame < 0:
                message = f"an extent of blob {row.digest} lies outside of the frame at byte {frame.offset}"
                self._report.add("E044", file.name, message)
                self.doubted.add(digest)
                continue
            if row.raw_offset == 0 and hashlib.sha256(data).digest() == digest:
                self.good[digest] = len(data)
                continue
            begun = self._cut.pop(digest, None)
            if begun is None and row.raw_offset == 0:
                begun = hashlib.sha256(), 0
            if begun is None or begun[1] != row.raw_offset:
                self.doubted.add(digest)
                continue
            hashed, position = begun
            hashed.update(data)
            if hashed.digest() == digest:
                self.good[digest] = position + len(data)
            else:
                self._cut[digest] = (hashed, position + len(data))


def blobs_come_out(archive: Archive, digests: Sequence[str]) -> dict[bytes, int]:
    """Read blobs as a reader does: packs may hold their extents in another order than the raw bytes have.

    Return those that come out, with their sizes.
    """
    good: dict[bytes, int] = {}
    for digest in digests:
        size = 0
        try:
            with Blobs(archive).open(digest) as stream:
                while block := stream.read(HASH_BLOCK):
                    size += len(block)
        except DamagedError:
            continue
        good[raw_digest(digest)] = size
    return good


def raw_digest(text: str) -> bytes:
    """Return the bytes of a digest in hex; empty for text that is not a digest, which equals that of no blob."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _walk(file: MemberFile, indexed: list[int]) -> Iterator[FrameAt | Problem]:
    """Yield frames from label to label; behind a damaged label, a problem, go on with the next of the blob index."""
    position = 0
    while position < file.size:
        try:
            length = label_size(file.read_at(position, min(LABEL_PREFIX_SIZE, file.size - position)))
            label = decode_label(file.read_at(position, length))
            start, size = position + length, label.frame_size
            file.check_range(start, size)
            yield FrameAt(offset=start, size=size, extents=label.extents)
            position = start + size
        except (ValueError, DamagedError) as error:
            yield Problem(code="E041", member=file.name, message=f"at byte {position}: {error}")
            following = next((offset for offset in indexed if position < offset < file.size), None)
            if following is None:
                return
            frame_size = _frame_size(file, following)
            if frame_size is None:
                position = following
                continue
            yield FrameAt(offset=following, size=frame_size, extents=None)
            position = following + frame_size


def _decode(file: MemberFile, frame: FrameAt | Problem) -> bytes | DamagedError | None:
    """Return the raw bytes of a frame, or why there are none; it is called by several threads."""
    if isinstance(frame, Problem):
        return None
    try:
        data = file.read_at(frame.offset, frame.size)
        size = None if frame.extents is None else sum(extent.size for extent in frame.extents)
        return decode_frame(data, size, where=f"{file.name} at byte {frame.offset}")
    except DamagedError as error:
        return error


def _frame_size(file: MemberFile, offset: int) -> int | None:
    """Return the size of the zstd frame at an offset by decoding it; None if there is none."""
    data = file.read_at(offset, min(MAX_FRAME_SIZE, file.size - offset))
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()
    try:
        decoder.decompress(data)
    except zstandard.ZstdError:
        return None
    return len(data) - len(decoder.unused_data) if decoder.eof else None
