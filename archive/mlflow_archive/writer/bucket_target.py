"""Where an export into a bucket is written: into a private folder first, whose members are then put there.

Parts and packs have the token of their writer in their names, so that no two writers write one key. Nothing that is
there counts before the commit (``bucket_commit``); what is put and not committed is removed, by its writer, or by a
later one once it is a day old.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from mlflow_archive.errors import RemotePlaceError, TargetError
from mlflow_archive.format.layout import CHECKSUMS, MANIFEST, README, manifest_name, manifest_number
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.format.manifest import Manifest, archive_id, decode, encode
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.members import HASH_BLOCK
from mlflow_archive.storage.private_folder import PrivateFolder
from mlflow_archive.storage.remote.connecting import connect
from mlflow_archive.storage.remote.store import NoObjectError, ObjectEntry
from mlflow_archive.writer.bucket_commit import LostRaceError, commit_copy, complete, whole
from mlflow_archive.writer.packs import WrittenPack
from mlflow_archive.writer.parcel import Parcel, own_name, remote_rows
from mlflow_archive.writer.staging import Staging
from mlflow_archive.writer.target import ArchiveTarget

_TOGETHER: Final = 4
_LEFT_BEHIND: Final = timedelta(hours=24)
"""The age from which what no manifest names is taken for left behind."""

_LONGEST_SECONDS: Final = 20 * 3600
"""How long may lie between the first upload of an export and its commit, so that nobody takes it for left behind."""

_FOLDERS: Final = ("packs/", "tables/", "manifests/")
_FILES: Final = (README, CHECKSUMS, MANIFEST)


class BucketTarget(ArchiveTarget):
    """The directory form in a bucket. What an export before left uncompleted is completed first, if ``completes``."""

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
        self._arrived: set[str] = set()
        self._has_workers = False
        self._uploaded: list[str] = []
        self._committed = False
        self._folder = PrivateFolder()
        try:
            super().__init__(self._folder.path / "export", append=append, files=files, of_base=of_base)
        except BaseException:
            self._folder.cleanup()
            raise

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

    def check_current(self, staging: Staging) -> None:
        """Do nothing: the commit is refused if another process has committed meanwhile."""

    def placed(self, packs: Sequence[WrittenPack]) -> list[WrittenPack]:
        """Give the packs the names that they have in the bucket, which the blob index names."""
        renamed = [replace(pack, name=own_name(pack.name, self.token)) for pack in packs]
        for pack, after in zip(packs, renamed, strict=True):
            self._files.publish(self.root / pack.name, self.root / after.name)
        return renamed

    def take(self, parcel: Parcel, staging: Staging) -> Path | None:
        """Note the packs that a worker put into the bucket, and fetch its rows from there."""
        if not parcel.blocks:
            return None
        for pack in parcel.packs:
            if (size := self._store.size(pack.name)) != pack.size:
                raise TargetError(f"{self._store.place}/{pack.name} has {size} bytes, expected {pack.size}")
            self._arrived.add(pack.name)
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
        """Put all new members into the bucket, then the manifest's copy, which is the commit, and what follows from it.

        Raises LostRaceError where another writer was first, TargetError, RemotePlaceError.
        """
        paths = [path for path in new if path not in self._arrived]
        uploads = {path: own_name(path, self.token) if path.startswith("tables/") else path for path in paths}
        members = [replace(m, path=uploads.get(m.path, m.path)) for m in manifest.members]
        manifest = replace(manifest, members=tuple(sorted(members, key=lambda member: member.path)))
        data = encode(manifest)
        started = time.monotonic()
        self._upload(uploads)
        self._check_uploaded(manifest, {*uploads.values(), *self._arrived})
        if time.monotonic() - started > _LONGEST_SECONDS:
            raise TargetError(
                f"{self._store.place}: the upload took over {_LONGEST_SECONDS // 3600} hours, and others may take it "
                "for left behind; nothing was committed. Export less at a time: --append adds the rest"
            )
        self._commit(manifest, data)
        try:
            complete(self._store, manifest, data)
            self._remove_parcels(keep={member.path for member in manifest.members})
            self._remove_left_behind(manifest)
        except RemotePlaceError as error:
            message = f"export {manifest.export_number} is committed, and the next export with --append completes it"
            raise RemotePlaceError(f"{message}: {error}") from error
        return archive_id(data)

    def _upload(self, names: dict[str, str]) -> None:
        self._uploaded += names.values()
        _together(lambda name: self._store.put(names[name], self.root / name), list(names))

    def _check_uploaded(self, manifest: Manifest, names: set[str]) -> None:
        """Make sure that all of it is there, with the sizes that the manifest states."""
        sizes = self._store.sizes()
        for member in manifest.members:
            if member.path in names and sizes.get(member.path) != member.size:
                size = sizes.get(member.path, "no")
                message = f"{self._store.place}/{member.path} has {size} bytes, expected {member.size}"
                raise TargetError(f"{message}; nothing is committed")

    def _commit(self, manifest: Manifest, data: bytes) -> None:
        self._committed = True  # or it is not known: then nothing is removed
        try:
            commit_copy(self._store, manifest, data)
        except LostRaceError:
            self._committed = False
            raise

    def _remove_left_behind(self, manifest: Manifest) -> None:
        """Remove parts and packs that no manifest names, of this writer or a day old by the clock of the bucket."""
        entries = self._store.entries()
        newest = max((number for entry in entries if (number := manifest_number(entry.name)) is not None), default=0)
        if newest != manifest.export_number:
            return  # a later writer does it, who knows what it has put
        named = {member.path for member in manifest.members}
        oldest = max(entry.modified for entry in entries) - _LEFT_BEHIND

        def is_left(entry: ObjectEntry) -> bool:
            return entry.name.startswith(("packs/", "tables/")) and entry.name not in named and entry.modified < oldest

        self._store.delete([entry.name for entry in entries if is_left(entry)])

    def close(self) -> None:
        """Close the archive that is added to; what was put and not committed goes."""
        super().close()
        self._folder.cleanup()
        if not self._committed:
            with suppress(RemotePlaceError):  # the error before says more, and a later writer removes it
                self._store.delete(self._uploaded)
                self._remove_parcels(keep=set())

    def _remove_parcels(self, keep: Collection[str]) -> None:
        """Remove what workers put there and nobody took; what one that was given up puts later, a later writer does."""
        if self._has_workers:
            names = [*self._store.sizes("packs"), *self._store.sizes("tables")]
            self._store.delete([name for name in names if f"-{self.token}" in name and name not in keep])


class BucketFileTarget(ArchiveTarget):
    """A single file in a bucket, put there whole: the last of several writers wins."""

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
