"""The members of an archive in a bucket or on a web server."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final

from mlflow_archive.errors import DamagedError, MlflowArchiveError, NotAnArchiveError
from mlflow_archive.format.layout import MANIFEST, SINGLE_FILE_SUFFIX, is_member_name
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.storage.members import MemberFile
from mlflow_archive.storage.remote.connecting import connect
from mlflow_archive.storage.remote.object_bytes import KeptRanges, ObjectBytes, open_object
from mlflow_archive.storage.remote.store import NoObjectError, RemoteStore
from mlflow_archive.storage.single_file import SingleFileMembers

_TAIL: Final = 256 * 1024
"""Bytes at the end of a single file that come first: most directories are smaller."""


class BucketMembers:
    """The directory form in a bucket: each member is an object. Nothing is listed unless ``sizes`` is called."""

    distant = True

    def __init__(self, store: RemoteStore) -> None:
        self._store = store
        self._ranges = KeptRanges()
        self._sizes: dict[str, int] = {}
        self._open: dict[str, MemberFile] = {}
        self._closed = False

    @property
    def path(self) -> RemotePlace:
        """Where it lies."""
        return self._store.place

    def believe(self, sizes: Mapping[str, int]) -> None:
        """Take sizes as the manifest states them, which saves asking; the first read of a member proves its own."""
        self._sizes = dict(sizes)

    def sizes(self) -> dict[str, int]:
        return self._listed

    @cached_property
    def _listed(self) -> dict[str, int]:
        return self._store.sizes()

    def open(self, name: str) -> MemberFile:
        if self._closed:
            raise MlflowArchiveError(f"{self.path} is closed; open it again")
        if name not in self._open:
            if not is_member_name(name):
                raise DamagedError(f"{name!r} is no member name", code="E015", member=name)
            file = self._object(name)
            self._open[name] = MemberFile(name, file, 0, file.size)
        return self._open[name]

    def _object(self, name: str) -> ObjectBytes:
        if name in self._sizes:
            size = self._sizes[name]
            return ObjectBytes(self._store, name, size, ranges=self._ranges, origin="the manifest states")
        try:
            return open_object(self._store, name, self._ranges)
        except NoObjectError as error:
            raise DamagedError(f"{name} is not in {self.path}", code="E010", member=name) from error

    def close(self) -> None:
        self._closed = True
        self._open.clear()
        self._ranges.close()


class DistantFileMembers(SingleFileMembers):
    """The members of one file in a bucket or on a web server.

    Opening a member does not compare its local header, which would take a request: the directory says where it lies.
    """

    distant = True

    def __init__(self, store: RemoteStore, name: str, place: RemotePlace) -> None:
        self._place = place
        self._ranges = KeptRanges()
        file = open_object(store, name, self._ranges)
        file.anticipate([(max(0, file.size - _TAIL), _TAIL)])
        self._take(file, file.size)
        self._closing = self._ranges.close

    @property
    def path(self) -> RemotePlace:
        """Where it lies."""
        return self._place

    def open(self, name: str) -> MemberFile:
        return self._member(name)


def open_remote(place: RemotePlace) -> BucketMembers | DistantFileMembers:
    """Open what lies at a place: one file if its name ends in .mlfa, else the directory form; or else the other.

    Raises NotAnArchiveError where neither is there, DamagedError for a file that is cut off, RemotePlaceError,
    MissingExtraError.
    """
    forms = (_file, _directory) if place.name.endswith(SINGLE_FILE_SUFFIX) else (_directory, _file)
    for form in forms if place.is_bucket else (_file,):
        try:
            return form(place)
        except NoObjectError:
            continue
    missing = f"no such object, and no {MANIFEST} below it" if place.is_bucket else "no such file on the server (404)"
    raise NotAnArchiveError(f"E001: {place} is no archive: there is {missing}")


def _file(place: RemotePlace) -> DistantFileMembers:
    store, name = connect(place, parent=True)
    if not name:  # the root of a bucket or server; asked for, it answers with a listing
        raise NoObjectError(f"{place} names no object")
    return DistantFileMembers(store, name, place)


def _directory(place: RemotePlace) -> BucketMembers:
    store, _ = connect(place)
    members = BucketMembers(store)
    try:
        members.open(MANIFEST)
    except DamagedError:
        # An export that was cut off after its commit has the copy, and not yet this.
        if not store.sizes("manifests"):
            raise NoObjectError(f"{place} holds no {MANIFEST}") from None
    return members
