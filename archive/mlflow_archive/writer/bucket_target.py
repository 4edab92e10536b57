"""Where an export into a bucket is written: packs go there as they fill, parts at its end.

Parts and packs have the token of their writer in their names, so that no two writers write one key. Nothing that is
there counts before the commit (``bucket_commit``); what is put and not committed is removed, by its writer, or by a
later one once it is a day old.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa

from mlflow_archive.errors import RemotePlaceError, TargetError
from mlflow_archive.format.layout import CHECKSUMS, MANIFEST, README, manifest_name, manifest_number
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.format.manifest import Manifest, archive_id, decode, encode
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.growing import GrowingFiles
from mlflow_archive.storage.members import HASH_BLOCK
from mlflow_archive.storage.private_folder import KeptFolder, PrivateFolder
from mlflow_archive.storage.remote.connecting import connect
from mlflow_archive.storage.remote.store import NoObjectError, ObjectEntry
from mlflow_archive.writer.blob_rows import stage_rows
from mlflow_archive.writer.bucket_commit import LostRaceError, commit_copy, complete, whole
from mlflow_archive.writer.packs import WrittenPack
from mlflow_archive.writer.packs_there import LONGEST, PacksThere
from mlflow_archive.writer.parcel import Parcel, own_name, remote_rows
from mlflow_archive.writer.sent_packs import PackSender
from mlflow_archive.writer.staging import SentPack, Staging
from mlflow_archive.writer.target import ArchiveTarget

_TOGETHER: Final = 4
_LEFT_BEHIND: Final = timedelta(hours=24)
"""The age from which what no manifest names is taken for left behind."""

_FOLDERS: Final = ("packs/", "tables/", "manifests/")
_FILES: Final = (README, CHECKSUMS, MANIFEST)


class BucketTarget(ArchiveTarget):
    """The directory form in a bucket. What an export before left uncompleted is completed first, if ``completes``.

    Rows are staged, and parts made, in a folder of this machine, with the journal by which a killed export goes on.
    """

    needs = "the rows of the export, sorted, and two packs of 1 GiB at a time are kept"

    def __init__(
        self,
        place: RemotePlace,
        *,
        append: bool,
        files: Files,
        of_base: str | os.PathLike[str] | None = None,
        completes: bool = True,
    ) -> None:
        self._store, _ = connect(place)
        self._completes = completes
        self._packs_there = PacksThere(self._store)
        self._uploaded: list[str] = []
        self._has_workers = False
        self._committed = False
        self._over = False
        self._folder = KeptFolder(str(place))
        super().__init__(self._folder.path / "export", append=append, files=files, of_base=of_base)

    def _existing(self) -> Archive | None:
        names = list(self._store.sizes())
        copies = [number for name in names if (number := manifest_number(name)) is not None]
        if copies and self._completes:
            self._complete_newest(max(copies))
        elif not copies and MANIFEST not in names:
            if strangers := [name for name in names if not name.startswith(_FOLDERS) and name not in _FILES]:
                message = f"{self._store.place} holds {strangers[0]} and no archive; choose another name"
                raise TargetError(message)
            return None
        return open_archive(self._store.place)

    def _complete_newest(self, number: int) -> None:
        copy = whole(self._store, manifest_name(number))
        if copy is not None:
            complete(self._store, decode(copy.data, where=manifest_name(number)), copy.data)

    def make_root(self) -> None:
        """Make the folder of this machine, and hold it."""
        self._folder.open()
        super().make_root()

    def check_current(self, staging: Staging) -> None:
        """Do nothing: the commit is refused if another process has committed meanwhile."""

    def sender(self, staging: Staging) -> PackSender:
        """Return what puts packs into the bucket as they fill."""

        def note(pack: WrittenPack, extents: Iterable[pa.Table]) -> None:
            self._packs_there.note([pack.name])
            staging.note_sent(SentPack(pack, stage_rows(self._files, staging, extents, durable=True)))

        return PackSender(self._store, GrowingFiles(self._files, self.root), name_there=self._named, noted=note)

    def _named(self, written: str) -> str:
        """Return the name of a part or pack in the bucket, where it will be put; it is removed by that, if need be."""
        self._uploaded.append(own_name(written, self.token))
        return self._uploaded[-1]

    def holds(self, packs: Sequence[WrittenPack]) -> bool:
        """Return whether packs are in the bucket with the bytes that were put there; all of them are read for that."""
        return self._packs_there.hold(packs)

    def take(self, parcel: Parcel, staging: Staging) -> Path | None:
        """Note the packs that a worker put into the bucket, and fetch its rows from there."""
        if not parcel.blocks:
            return None
        for pack in parcel.packs:
            if (size := self._store.size(pack.name)) != pack.size:
                raise TargetError(f"{self._store.place}/{pack.name} has {size} bytes, expected {pack.size}")
        self._packs_there.note([pack.name for pack in parcel.packs])
        name, path = remote_rows(self.export_number, parcel.token), staging.folder / parcel.token
        size = self._store.size(name)
        with closing(self._files.create(path)) as output:
            for position in range(0, size, HASH_BLOCK):
                output.write(self._store.get(name, position, min(HASH_BLOCK, size - position)).data)
        return path

    def forget(self, parcel: Parcel, staging: Staging) -> None:
        """Remove the rows of a parcel that was taken from the bucket."""
        if parcel.blocks:
            self._store.delete([remote_rows(self.export_number, parcel.token)])

    def writing_folder(self, staging: Staging) -> None:
        """Return None: workers put their parcels into the bucket."""
        self._has_workers = True

    def commit(self, manifest: Manifest, new: Iterable[str]) -> str:
        """Put all new parts into the bucket, then the manifest's copy, which is the commit, and what follows from it.

        Raises LostRaceError where another writer was first, TargetError, RemotePlaceError.
        """
        uploads = {path: self._named(path) for path in new if path.startswith("tables/")}
        members = [replace(m, path=uploads.get(m.path, m.path)) for m in manifest.members]
        manifest = replace(manifest, members=tuple(sorted(members, key=lambda member: member.path)))
        data = encode(manifest)
        self._packs_there.renew()
        _together(lambda name: self._store.put(uploads[name], self.root / name), list(uploads))
        self._check_there(manifest)
        self._commit(manifest, data)
        try:
            complete(self._store, manifest, data)
            self._remove_left_behind(manifest)
        except RemotePlaceError as error:
            message = f"export {manifest.export_number} is committed, and the next export with --append completes it"
            raise RemotePlaceError(f"{message}: {error}") from error
        return archive_id(data)

    def _check_there(self, manifest: Manifest) -> None:
        """Make sure that all of it is there, of the size that the manifest states, and not old by the store's clock."""
        entries = {entry.name: entry for entry in self._store.entries()}
        newest = max((entry.modified for entry in entries.values()), default=None)
        for member in manifest.members:
            if member.export != manifest.export_number or not member.path.startswith(("packs/", "tables/")):
                continue
            entry = entries.get(member.path)
            if entry is None or entry.size != member.size:
                size = "no" if entry is None else entry.size
                message = f"{self._store.place}/{member.path} has {size} bytes, expected {member.size}"
                raise TargetError(f"{message}; nothing is committed")
            if newest is not None and newest - entry.modified > LONGEST:
                raise TargetError(
                    f"{self._store.place}/{member.path} has been there for over {LONGEST}, and others may take it for "
                    "left behind; nothing was committed. Run the same command again, or export less at a time: "
                    "--append adds the rest"
                )

    def _commit(self, manifest: Manifest, data: bytes) -> None:
        self._committed = True  # or it is not known: then nothing is removed
        try:
            commit_copy(self._store, manifest, data)
        except LostRaceError:
            self._committed, self._over = False, True
            raise

    def _remove_left_behind(self, manifest: Manifest) -> None:
        """Remove parts and packs that no manifest names, of this writer or a day old by the clock of the bucket."""
        entries = self._store.entries()
        newest = max((number for entry in entries if (number := manifest_number(entry.name)) is not None), default=0)
        named = {member.path for member in manifest.members}
        oldest = max(entry.modified for entry in entries) - _LEFT_BEHIND

        def is_left(entry: ObjectEntry) -> bool:
            # Of a later writer nothing is known here: that removes what is old itself.
            of_nobody = newest == manifest.export_number and entry.modified < oldest
            return (
                entry.name.startswith(("packs/", "tables/"))
                and entry.name not in named
                and (of_nobody or self._is_own(entry.name))
            )

        self._store.delete([entry.name for entry in entries if is_left(entry)])

    def clean_up(self, staging: Staging) -> None:
        """Remove what is on this machine; what was put and not committed goes when this is closed."""
        super().clean_up(staging)
        self._over = True

    def close(self) -> None:
        """Close the archive that is added to; what was put and not committed goes, but for packs of a next try."""
        super().close()
        try:
            if not self._committed:
                with suppress(RemotePlaceError):  # the error before says more, and a later writer removes it
                    self._remove_own(("packs/", "tables/") if self._over else ("tables/",))
        finally:
            if self._over:
                self._folder.remove()
            self._folder.close()

    def _remove_own(self, folders: tuple[str, ...]) -> None:
        """Remove what this process and its workers put there; what one that was given up puts later, a later writer."""
        names = [*self._uploaded]
        if self._has_workers:
            names += [*self._store.sizes("packs"), *self._store.sizes("tables")]
        self._store.delete([name for name in dict.fromkeys(names) if self._is_own(name) and name.startswith(folders)])

    def _is_own(self, name: str) -> bool:
        return f"-{self.token}" in name


class BucketFileTarget(ArchiveTarget):
    """A single file in a bucket, put there whole: the last of several writers wins."""

    needs = "the whole export is made, before it is put into the bucket,"

    def __init__(
        self, place: RemotePlace, *, append: bool, files: Files, of_base: str | os.PathLike[str] | None = None
    ) -> None:
        self._store, self._name = connect(place, parent=True)
        self._refuse(place, append=append)
        self._folder = PrivateFolder()
        try:
            super().__init__(self._folder.path / place.name, append=append, files=files, of_base=of_base)
        except BaseException:
            self._folder.cleanup()
            raise

    def _refuse(self, place: RemotePlace, *, append: bool) -> None:
        try:
            self._store.size(self._name)
        except NoObjectError:
            return
        if append:
            raise TargetError(
                f"{place}: nothing can be added to a single file in a bucket; export with --append to a name that "
                "does not end in .mlfa, or to a copy on this machine"
            )
        with open_archive(place) as archive:
            raise self._taken(archive)

    def commit(self, manifest: Manifest, new: Iterable[str]) -> str:
        """Write the file, then put it into the bucket in one upload, which is the commit."""
        written = super().commit(manifest, new)
        self._store.put(self._name, self.path)
        return written

    def close(self) -> None:
        """Remove the file on this machine."""
        super().close()
        self._folder.cleanup()


def _together(action: Callable[[str], None], names: Sequence[str]) -> None:
    with ThreadPoolExecutor(_TOGETHER, thread_name_prefix="upload") as pool:
        futures = [pool.submit(action, name) for name in names]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
