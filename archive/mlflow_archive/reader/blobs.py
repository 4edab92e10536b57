"""Read blobs: look up their extents, decode frames, check every byte against the digest."""

from __future__ import annotations

import hashlib
import io
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import BinaryIO, cast

from mlflow_archive.errors import DamagedError, ElsewhereError
from mlflow_archive.format.packs import MAX_FRAME_RAW, MAX_FRAME_SIZE, decode_frame
from mlflow_archive.reader.archive import Archive
from mlflow_archive.storage.members import MemberFile
from mlflow_archive.storage.seekable import Positioned

_CACHED_FRAMES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredExtent:
    """A row of the blob index."""

    raw_offset: int
    raw_size: int
    pack: str
    frame_offset: int
    frame_size: int
    offset_in_frame: int


class Blobs:
    """The blobs of an archive; keeps a few decoded frames (at most 32 MiB), as small blobs share them."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._packs = {member.path: member for member in archive.manifest.members if member.kind == "pack"}
        self._frames: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = Lock()

    def pieces(self, digests: Collection[str]) -> dict[str, list[StoredExtent]]:
        """Look up the extents of blobs, each list in raw order and without gap.

        A digest that the index does not have is absent. Raises DamagedError (E043) for extents that do not fit.
        """
        rows = self._archive.table("blobs", owners=digests).sort_by(
            [("digest", "ascending"), ("raw_offset", "ascending")]
        )
        extents: dict[str, list[StoredExtent]] = {}
        for row in rows.to_pylist():
            pieces = extents.setdefault(row.pop("digest"), [])
            piece = StoredExtent(**row)
            if pieces and piece.raw_offset == pieces[-1].raw_offset:
                continue  # the same blob once more, in a later export or written by two threads at once
            pieces.append(piece)
        for digest, pieces in extents.items():
            _check_order(digest, pieces)
        return extents

    def open(self, digest: str, pieces: list[StoredExtent] | None = None) -> BinaryIO:
        """Open a blob as a seekable binary stream.

        The digest is checked before the first byte is given out for blobs up to 4 MiB, for larger ones when they
        are read to the end. Raises DamagedError: E050 if the archive does not hold the blob, E040 to E045;
        ElsewhereError if a delta does not hold it.
        """
        if pieces is None:
            pieces = self.pieces([digest]).get(digest)
        if not pieces:
            raise self.missing(digest)
        stream = _BlobStream(self, digest, pieces)
        if stream.size > MAX_FRAME_RAW:
            return cast("BinaryIO", io.BufferedReader(stream, 1024 * 1024))
        return io.BytesIO(stream.readall())

    def missing(self, digest: str) -> DamagedError | ElsewhereError:
        """Return what to raise for a blob that the index does not have: of a delta it lies in the base."""
        delta = self._archive.manifest.delta
        if delta is None:
            return DamagedError(f"blob {digest} is not in the archive", code="E050")
        return ElsewhereError(
            f"blob {digest} lies in the base, archive {delta.base}: give it with --base, or join both"
        )

    def file_of(self, pieces: Sequence[StoredExtent]) -> MemberFile:
        """Return the pack of some extents, for a reader who reads their frames in order."""
        file = self._pack(pieces[0])
        first = min(piece.frame_offset for piece in pieces)
        end = max(piece.frame_offset + piece.frame_size for piece in pieces)
        size = sum({piece.frame_offset: piece.frame_size for piece in pieces}.values())
        is_dense = first >= 0 and end <= file.size and size > (end - first) // 2
        return file.in_order(first, end - first) if is_dense else file

    def piece(self, piece: StoredExtent, file: MemberFile | None = None) -> bytes:
        """Return the raw bytes of an extent; ``file`` is its pack, where it is open in a way of its own."""
        frame = self._frame(piece, file)
        if piece.offset_in_frame < 0 or piece.offset_in_frame + piece.raw_size > len(frame):
            message = f"{piece.pack}: an extent lies outside of its frame at byte {piece.frame_offset}"
            raise DamagedError(message, code="E044", member=piece.pack)
        return frame[piece.offset_in_frame : piece.offset_in_frame + piece.raw_size]

    def _pack(self, piece: StoredExtent) -> MemberFile:
        member = self._packs.get(piece.pack)
        if member is None:
            raise DamagedError(f"pack {piece.pack} is not listed in the manifest", code="E044", member=piece.pack)
        return self._archive.open_member(member)

    def _frame(self, piece: StoredExtent, file: MemberFile | None) -> bytes:
        key = (piece.pack, piece.frame_offset)
        with self._lock:
            if key in self._frames:
                self._frames.move_to_end(key)
                return self._frames[key]
        file = file or self._pack(piece)
        if not 0 < piece.frame_size <= MAX_FRAME_SIZE or not 0 <= piece.frame_offset <= file.size - piece.frame_size:
            message = f"{piece.pack}: no frame of {piece.frame_size} bytes can lie at byte {piece.frame_offset}"
            raise DamagedError(message, code="E044", member=piece.pack)
        data = file.read_at(piece.frame_offset, piece.frame_size)
        frame = decode_frame(data, None, where=f"{piece.pack} at byte {piece.frame_offset}")
        with self._lock:
            self._frames[key] = frame
            while len(self._frames) > _CACHED_FRAMES:
                self._frames.popitem(last=False)
        return frame


def _check_order(digest: str, pieces: list[StoredExtent]) -> None:
    """Raise DamagedError: E043 for extents that do not follow each other or lie in one place, E044 for one too large.

    A blob of few bytes could be as large as it likes if one frame were taken again and again.
    """
    position, places = 0, set()
    for piece in pieces:
        if piece.raw_size > MAX_FRAME_RAW:
            message = f"{piece.pack}: no frame holds {piece.raw_size} bytes, as an extent of blob {digest} states"
            raise DamagedError(message, code="E044", member=piece.pack)
        if piece.raw_offset != position or piece.raw_size < 0:
            message = f"blob {digest}: its extents leave a gap or overlap at byte {position}"
            raise DamagedError(message, code="E043")
        position += piece.raw_size
        places.add((piece.pack, piece.frame_offset, piece.offset_in_frame))
    if len(places) < len(pieces):
        message = f"blob {digest}: {len(pieces)} extents lie in {len(places)} places of the packs, expected as many"
        raise DamagedError(message, code="E043")


class _BlobStream(Positioned):
    def __init__(self, blobs: Blobs, digest: str, pieces: list[StoredExtent]) -> None:
        super().__init__(pieces[-1].raw_offset + pieces[-1].raw_size)
        self._blobs = blobs
        self._digest = digest
        self._pieces = pieces
        self._files: dict[str, MemberFile] = {}
        self._hashed = 0
        self._hash = hashlib.sha256()

    def readall(self) -> bytes:
        parts = []
        while part := self._next(MAX_FRAME_RAW):
            parts.append(part)
        if not self.size:
            self._check(b"")
        return b"".join(parts)

    def _next(self, limit: int) -> bytes:
        if self._position >= self.size:
            return b""
        piece = self._pieces[bisect_right(self._pieces, self._position, key=lambda piece: piece.raw_offset) - 1]
        inside = self._position - piece.raw_offset
        data = self._blobs.piece(piece, self._file(piece))[inside : inside + limit]
        self._check(data)
        self._position += len(data)
        return data

    def _file(self, piece: StoredExtent) -> MemberFile | None:
        """Return the pack of an extent as it is read in order; None for a blob of one frame."""
        if len(self._pieces) > 1 and piece.pack not in self._files:
            pieces = [extent for extent in self._pieces if extent.pack == piece.pack]
            self._files[piece.pack] = self._blobs.file_of(pieces)
        return self._files.get(piece.pack)

    def _check(self, data: bytes) -> None:
        """Hash what is read in order; a reader who jumps about has the checksum of each frame only."""
        if self._hashed != self._position:
            return
        self._hash.update(data)
        self._hashed += len(data)
        if self._hashed == self.size and self._hash.hexdigest() != self._digest:
            message = f"blob {self._digest}: its bytes have SHA-256 {self._hash.hexdigest()}"
            raise DamagedError(message, code="E042")
