"""What a worker does with the shards that it is given: write them as a parcel (see ``parcel``)."""

from __future__ import annotations

import math
import secrets
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import TargetError
from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.format.fingerprint import fingerprints_of
from mlflow_archive.format.location import local_path
from mlflow_archive.format.packs import MAX_FRAME_RAW
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.growing import GrowingFiles
from mlflow_archive.storage.private_folder import PrivateFolder
from mlflow_archive.storage.remote.store import RemoteStore
from mlflow_archive.writer.base import ArchiveBase, Base, is_of_no_object
from mlflow_archive.writer.blob_rows import tables_of_packs
from mlflow_archive.writer.chunks import ChunkWriter
from mlflow_archive.writer.coded import plain
from mlflow_archive.writer.index import open_base
from mlflow_archive.writer.packs import PackWriter, WrittenPack
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
from mlflow_archive.writer.sent_packs import PackSender
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
            writing = _Writing(self._files, folder, self._plan, _Blobs(self._scratch, stored), self._base, heard, token)
            with writing.closing():
                for chunk in chunks:
                    writing.chunks.write(chunk)
                writing.finish()
        return Parcel(
            token=token,
            blocks=writing.sealed.blocks if writing.sealed else (),
            packs=tuple(writing.packs),
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
    """A parcel on its way. Of one for a bucket the packs go there as they fill, and the rows at the end.

    ``packs`` are those that are whole, under the names that they get.
    """

    def __init__(
        self, files: Files, folder: Path, plan: WritingPlan, blobs: _Blobs, base: Base | None, heard: Heard, token: str
    ) -> None:
        self._folder, self._export, self._blobs, self._token = folder, plan.export, blobs, token
        self._store = None if plan.staging is not None else _store(plan)
        self._place = GrowingFiles(files, folder)
        sender = None
        if self._store is not None:
            sender = PackSender(self._store, self._place, name_there=self._named, noted=self._note)
        self._packs = PackWriter(self._place, plan.export, blobs, level=plan.level, jobs=1, sender=sender)
        self._segment = Segment(files, self, self._packs, seal_seconds=math.inf, jobs=1)
        self.chunks = ChunkWriter(self._segment, self._packs, blobs, base=base, came=self._came, progress=heard)
        self.sealed: StagedFile | None = None
        self.packs: list[WrittenPack] = []
        self._extents: list[pa.Table] = []
        self.gaps: list[Gap] = []
        self.large: set[bytes] = set()

    def next_path(self) -> Path:
        return self._folder / ROWS

    def seal(self, file: StagedFile, pack_sizes: list[int]) -> None:
        self.sealed = file

    def _came(self, tables: Mapping[str, pa.Table], gaps: Sequence[Gap]) -> None:
        room = MOST_GAPS - len(self.gaps)
        self.gaps += [gap for at, gap in enumerate(gaps) if at < room or is_of_no_object(gap)]

    def _named(self, written: str) -> str:
        """Return the name that the next pack gets."""
        return arrived_pack_name(self._export, self._token, len(self.packs))

    def _note(self, pack: WrittenPack, extents: Iterable[pa.Table]) -> None:
        self._extents += extents
        self.packs.append(pack)

    def finish(self) -> None:
        """Make all of it durable, or have it in the bucket."""
        for pack in self._packs.finish():
            arrived = replace(pack, name=self._named(pack.name))
            self._note(arrived, tables_of_packs(self._place, {pack.name: arrived.name}))
        for extents in self._extents:
            self._index(extents)
        self._segment.seal()
        if self._store is not None and self.sealed is not None:
            self._store.put(remote_rows(self._export, self._token), self.sealed.path)

    def _index(self, extents: pa.Table) -> None:
        """Add extents to the rows, but for blobs that did not become whole."""
        whole = [bytes.fromhex(digest) in self._blobs.own for digest in extents["digest"].to_pylist()]
        rows = extents.filter(pa.array(whole, pa.bool_()))
        cut = rows.filter(pc.greater_equal(rows["raw_offset"], MAX_FRAME_RAW))
        self.large.update(map(bytes.fromhex, cut["digest"].to_pylist()))
        self._segment.add("blobs", rows)

    @contextmanager
    def closing(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.callback(self._segment.close)
            stack.callback(self._packs.close)
            yield


def _store(plan: WritingPlan) -> RemoteStore:
    """Return the bucket into which a parcel is put."""
    from mlflow_archive.storage.remote.connecting import connect  # noqa: PLC0415 - brought by an extra

    assert not isinstance(plan.place, Path)  # noqa: S101 - for the type checker
    return connect(plan.place)[0]


def _open_base(plan: WritingPlan) -> Base:
    """Open the archive that is added to, or that of which a delta is written."""
    assert plan.base is not None  # noqa: S101 - for the type checker
    if plan.base == plan.place:
        return ArchiveBase(open_archive(plan.base))
    return open_base(local_path(plan.base))
