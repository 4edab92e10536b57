"""Blobs of damaged packs, stored anew: each that comes out with its digest, from the archive or another one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import Table
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.repairing.holdings import Holdings
from mlflow_archive.storage.growing import GrowingFiles
from mlflow_archive.verification.packs import raw_digest
from mlflow_archive.writer.blob_rows import index_pieces
from mlflow_archive.writer.destination import Destination
from mlflow_archive.writer.merge import Piece
from mlflow_archive.writer.packs import FrameBuilder, PackWriter
from mlflow_archive.writer.scratch import Scratch
from mlflow_archive.writer.side_by_side import PartsWriter

LEVEL = 3


class SalvagedBlobs:
    """Stores blobs in packs of a new export below ``place.new_members``.

    ``restored_digests`` are the digests that lie there then, ``lost_digests`` those that artifacts name and nobody has.
    """

    def __init__(self, archives: Sequence[Archive], place: Destination, export: int, *, jobs: int) -> None:
        self._blobs = [Blobs(archive) for archive in archives]
        self._place, self._export, self._jobs = place, export, jobs
        self.restored_digests: set[str] = set()
        self.lost_digests: set[str] = set()
        self.pieces: list[Piece] = []

    def store(self, digests: Collection[str]) -> list[Member]:
        """Store blobs, as far as they come out; return the packs."""
        files = self._place.files
        place = GrowingFiles(files, self._place.new_members)
        with closing(Scratch()) as scratch:
            packs = PackWriter(place, self._export, scratch, level=LEVEL, jobs=self._jobs)
            try:
                frames = FrameBuilder(packs, scratch)
                for digest in sorted(digests):
                    (self.restored_digests if self._stored(digest, packs, frames) else self.lost_digests).add(digest)
                frames.flush()
                written = packs.finish()
            finally:
                packs.close()
            scratch.add_used(self.restored_digests)
            self.pieces = index_pieces(files, self._place.staging, place, written, scratch)
        return [
            Member(path=pack.name, kind="pack", export=self._export, size=pack.size, sha256=pack.sha256)
            for pack in written
        ]

    def _stored(self, digest: str, packs: PackWriter, frames: FrameBuilder) -> bool:
        for stored_blobs in self._blobs:
            try:
                with stored_blobs.open(digest) as stream:
                    stored, _ = packs.add(stream, frames)
            except DamagedError:
                continue
            if stored == digest:
                return True
        return False


def digests_to_store(
    archive: Archive, holdings: Holdings, proved: Mapping[bytes, int], bad_packs: Collection[str]
) -> set[str]:
    """Return the digests that artifacts name and that no sound pack has whole."""
    used: set[str] = set()
    for member in archive.parts("artifacts"):
        for rows in holdings.groups(member):
            used.update(rows["digest"].to_pylist())
    unproved = {digest for digest in used if raw_digest(digest) not in proved}
    return unproved | (used & _digests_in(archive, holdings, bad_packs) if bad_packs else set())


def _digests_in(archive: Archive, holdings: Holdings, packs: Collection[str]) -> set[str]:
    """Return the digests of which the blob index says that they lie in some packs."""
    digests: set[str] = set()
    for member in archive.parts("blobs"):
        for rows in holdings.groups(member):
            places = zip(rows["digest"].to_pylist(), rows["pack"].to_pylist(), strict=True)
            digests.update(digest for digest, pack in places if pack in packs)
    return digests


def written_parts(
    place: Destination, export: int, pieces: Mapping[str, Sequence[Piece]], *, jobs: int
) -> Iterator[tuple[Table, Member]]:
    """Write the parts of a new export below ``place.new_members``; yield table and entry of each."""
    writer = PartsWriter(files=place.files, root=place.new_members, export=export, level=LEVEL, jobs=jobs)
    for table, name, part in writer.write(pieces):
        yield table, part.member(name, table, export)
