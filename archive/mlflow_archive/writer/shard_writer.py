"""What a worker does with the shards that it is given: write them as a parcel (see ``parcel``)."""

from __future__ import annotations

import math
import secrets
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa

from mlflow_archive.errors import TargetError
from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.format.fingerprint import fingerprints_of
from mlflow_archive.format.layout import pack_name
from mlflow_archive.format.location import local_path
from mlflow_archive.format.packs import MAX_FRAME_RAW
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.growing import GrowingFiles
from mlflow_archive.storage.private_folder import PrivateFolder
from mlflow_archive.writer.base import ArchiveBase, Base, is_of_no_object
from mlflow_archive.writer.chunks import ChunkWriter
from mlflow_archive.writer.coded import plain
from mlflow_archive.writer.finishing import extent_rows, extent_table
from mlflow_archive.writer.index import open_base
from mlflow_archive.writer.packs import PackWriter, WrittenPack, scan_pack
from mlflow_archive.writer.parcel import (
    ROWS,
    TOKEN_BYTES,
    Parcel,
    WritingPlan,
    arrived_pack_name,
    remote_rows,
)
from mlflow_archive.writer.scratch import Scratch
from mlflow_archive.writer.segments import Segment
from mlflow_archive.writer.staged import StagedFile, read_block

MOST_GAPS: Final = 10_000
_MOST_NOTES: Final = 20


class ShardWriter:
    """Writes what one worker is given of an export; used by one thread. Raises TargetError, ArchiveError."""

    def __init__(self, plan: WritingPlan) -> None:
        self._plan, self._files = plan, Files()
        self._scratch = Scratch()
        self._base: Base | None = None
        try:
            if plan.base is not None:
                self._base = _open_base(plan)
                self._scratch.add_blobs(self._base.digests())
                if not plan.recheck:
                    self._scratch.add_known(self._base.fingerprints())
            for path, blocks in plan.staged:
                for block in blocks:
                    rows = plain(read_block(path, block, TABLES["fingerprints"]), TABLES["fingerprints"])
                    self._scratch.add_known(fingerprints_of(rows))
        except BaseException:
            self.close()
            raise

    @property
    def known(self) -> Known:
        """What the archive holds already."""
        return self._scratch.known

    def write(self, chunks: Iterable[Chunk], stored: Iterable[bytes], heard: Heard) -> Parcel:
        """Write chunks; blobs that are ``stored`` in other parcels are not written again."""
        token = self._plan.token + secrets.token_hex(TOKEN_BYTES)
        with self._folder(token) as folder:
            writing = _Writing(self._files, folder, self._plan, _Blobs(self._scratch, stored), self._base, heard)
            with writing.closing():
                for chunk in chunks:
                    writing.chunks.write(chunk)
                packs = writing.finish(token)
            if self._plan.staging is None:
                self._send(token, folder, packs, writing.sealed)
        return Parcel(
            token=token,
            blocks=writing.sealed.blocks if writing.sealed else (),
            packs=tuple(packs),
            large=frozenset(writing.large),
            counts=dict(heard.counts),
            notes=tuple(heard.notes),
            gaps=tuple(writing.gaps),
        )

    @contextmanager
    def _folder(self, token: str) -> Iterator[Path]:
        if self._plan.staging is None:
            with PrivateFolder() as private:
                yield private.path
            return
        if not self._plan.staging.is_dir():  # the export has ended, and nobody wants this
            raise TargetError(
                f"{self._plan.staging} is not there: the export has ended, or this machine does not see it"
            )
        folder = self._plan.staging / token
        self._files.make_directory(folder)
        yield folder

    def _send(self, token: str, folder: Path, packs: Sequence[WrittenPack], rows: StagedFile | None) -> None:
        """Put what was written into the bucket, each under a name that nobody else has."""
        from mlflow_archive.storage.remote.connecting import connect  # noqa: PLC0415 - brought by an extra

        place = self._plan.place
        assert not isinstance(place, Path)  # noqa: S101 - for the type checker
        store, _ = connect(place)
        for number, pack in enumerate(packs):
            store.put(pack.name, folder / pack_name(self._plan.export, number))
        if rows is not None:
            store.put(remote_rows(self._plan.export, token), rows.path)

    def close(self) -> None:
        """Release the base."""
        with ExitStack() as stack:
            stack.callback(self._scratch.close)
            if self._base is not None:
                stack.callback(self._base.close)


class Heard:
    """A Progress that keeps what it hears, for whoever gives out the work."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []
        self._lock = threading.Lock()

    def expect(self, unit: str, amount: int) -> None: ...

    def advance(self, unit: str, amount: int) -> None:
        with self._lock:
            self.counts[unit] += amount

    def note(self, message: str) -> None:
        with self._lock:
            if len(self.notes) < _MOST_NOTES:
                self.notes.append(message)

    def begin(self) -> None:
        """Forget what was heard before."""
        with self._lock:
            self.counts.clear()
            self.notes.clear()


class _Blobs:
    """The blobs that a parcel need not write: those of the base, those stored in others, and its own so far.

    What the same worker wrote before is not among them by itself: that parcel may never have been taken.
    """

    def __init__(self, base: Scratch, stored: Iterable[bytes]) -> None:
        self._base, self._stored = base, set(stored)
        self.own: set[bytes] = set()

    def add_blobs(self, digests: Iterable[bytes]) -> None:
        self.own.update(digests)

    def has_blob(self, digest: bytes) -> bool:
        return digest in self.own or digest in self._stored or self._base.has_blob(digest)


class _Writing:
    """A parcel on its way."""

    def __init__(
        self, files: Files, folder: Path, plan: WritingPlan, blobs: _Blobs, base: Base | None, heard: Heard
    ) -> None:
        self._folder, self._export, self._blobs = folder, plan.export, blobs
        self._place = GrowingFiles(files, folder)
        self._packs = PackWriter(self._place, plan.export, blobs, level=plan.level, jobs=1)
        self._segment = Segment(files, self, self._packs, seal_seconds=math.inf, jobs=1)
        self.chunks = ChunkWriter(self._segment, self._packs, blobs, base=base, came=self._came, progress=heard)
        self.sealed: StagedFile | None = None
        self.gaps: list[Gap] = []
        self.large: set[bytes] = set()

    def next_path(self) -> Path:
        return self._folder / ROWS

    def seal(self, file: StagedFile, pack_sizes: list[int]) -> None:
        self.sealed = file

    def _came(self, tables: Mapping[str, pa.Table], gaps: Sequence[Gap]) -> None:
        room = MOST_GAPS - len(self.gaps)
        self.gaps += [gap for at, gap in enumerate(gaps) if at < room or is_of_no_object(gap)]

    def finish(self, token: str) -> list[WrittenPack]:
        """Make all of it durable; return the packs under the names that they get."""
        written = self._packs.finish()
        packs = []
        for number, pack in enumerate(written):
            name = arrived_pack_name(self._export, token, number)
            packs.append(WrittenPack(name=name, size=pack.size, sha256=pack.sha256))
            self._index(pack.name, name)
        self._segment.seal()
        return packs

    def _index(self, written: str, name: str) -> None:
        """Add the extents of a pack to the rows, but for blobs that did not become whole."""
        with self._place.opened(written) as stored:
            for labels in scan_pack(stored):
                rows = [
                    row
                    for placed in labels
                    for row in extent_rows(name, placed)
                    if bytes.fromhex(row[0]) in self._blobs.own
                ]
                self.large.update(bytes.fromhex(row[0]) for row in rows if row[1] >= MAX_FRAME_RAW)
                if rows:
                    self._segment.add("blobs", extent_table(rows))

    @contextmanager
    def closing(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.callback(self._segment.close)
            stack.callback(self._packs.close)
            yield


def _open_base(plan: WritingPlan) -> Base:
    """Open the archive that is added to, or that of which a delta is written."""
    assert plan.base is not None  # noqa: S101 - for the type checker
    if plan.base == plan.place:
        return ArchiveBase(open_archive(plan.base))
    return open_base(local_path(plan.base))
