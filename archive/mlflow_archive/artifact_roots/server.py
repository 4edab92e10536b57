"""Artifact files behind a server's API: the proxy of an MLflow server (``http(s):``), files of Databricks (``dbfs:``).

Both list a folder in the same shape and give a file by its path. What is asked is what MLflow's
``HttpArtifactRepository`` and ``DbfsRestArtifactRepository`` ask.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from shutil import copyfileobj
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from mlflow_archive.artifact_roots.proxy import (
    IN_MEMORY,
    PROXY_LIST,
    ListedEntry,
    download_whole,
    entries_in,
    quoted,
    survives,
    whole_list,
)
from mlflow_archive.artifact_roots.store import (
    RemoteFile,
    Unkept,
    UnreachableError,
    UnusablePlaces,
    too_deep,
    unkept_name,
)
from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import ArtifactUnreadableError
from mlflow_archive.format.gaps import ARTIFACT_LISTING, ARTIFACT_MISSING, ARTIFACT_UNREADABLE
from mlflow_archive.format.location import without_password

if TYPE_CHECKING:
    from mlflow_archive.http.session import TrackingSession

SCHEMES: Final = ("http", "https", "dbfs")

_DBFS_LIST: Final = "/api/2.0/dbfs/list"
_DBFS_FILES: Final = "/dbfs"
_NOT_IN_DBFS: Final = ("Volumes", "databricks/mlflow-tracking", "databricks/mlflow-registry", "databricks/mlflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A root on a server: where folders are listed, what stands before the path of a file, and the root's own path."""

    session: TrackingSession
    list_path: str
    files: str
    root: str
    is_dbfs: bool

    def path_of(self, path: str) -> str:
        return f"{self.root}/{path}".strip("/")

    def request(self, path: str) -> str:
        """Return the request for a file."""
        return f"{self.files}/{quoted(self.path_of(path))}"

    def entries(self, folder: str) -> list[ListedEntry]:
        """Return what lies in a folder, with names for paths; nothing where there is none. Raises ServerError."""
        path = self.path_of(folder)
        try:
            answer = whole_list(self.session, self.list_path, {"path": f"/{path}" if self.is_dbfs else path})
        except ServerError as error:
            if error.status == HTTPStatus.NOT_FOUND and error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return []
            raise
        return [entry._replace(path=entry.path.rstrip("/").rpartition("/")[2]) for entry in entries_in(answer)]


@dataclass(slots=True)
class Servers:
    """Files of MLflow servers and of one workspace of Databricks; a session each, used by all threads.

    ``tracking`` is the session with the server that is read, None for that of MLFLOW_TRACKING_URI. Its credentials go
    to no other host.
    """

    tracking: TrackingSession | None = None
    _sessions: dict[str, TrackingSession] = field(default_factory=dict)
    _unusable: UnusablePlaces = field(default_factory=UnusablePlaces)
    _lock: Lock = field(default_factory=Lock)

    def list(self, uri: str) -> Iterator[RemoteFile | Unkept]:
        place = self._place(uri)
        with self._unreachable(uri):
            entries = list(_walk(place, "", 0))
        yield from sorted(entries, key=lambda entry: entry.path)

    @contextmanager
    def open(self, uri: str, file: RemoteFile) -> Iterator[BinaryIO]:
        """Download a file completely, then give it."""
        place = self._place(uri)
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as spool:
            target = cast(BinaryIO, spool)
            try:
                received = download_whole(place.session, place.request(file.path), None, target, file.size)
            except (ServerError, OSError) as error:
                is_gone = isinstance(error, ServerError) and error.status == HTTPStatus.NOT_FOUND
                code = ARTIFACT_MISSING if is_gone else ARTIFACT_UNREADABLE
                raise ArtifactUnreadableError(f"{file.path} cannot be read: {error}", code=code) from error
            file.check_size(received)
            target.seek(0)
            yield target

    def holds(self, uri: str) -> bool:
        place = self._place(uri)
        with self._unreachable(uri):
            if place.entries(""):
                return True
            folder, _, name = place.root.rpartition("/")
            above = replace(place, root=folder)
            return bool(name) and any(entry.path == name and not entry.is_folder for entry in above.entries(""))

    def remove(self, uri: str, path: str) -> None:
        place = self._writable(uri)
        with _refused():
            place.session.delete(place.request(path))

    def write(self, uri: str, path: str, stream: BinaryIO) -> None:
        place = self._writable(uri)
        if not survives(place.path_of(path)):
            raise OSError(f"MLflow's server decodes the name {path!r} to that of another file")
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as spool:  # to be sent again where it is cut off
            target = cast(BinaryIO, spool)
            copyfileobj(stream, target)
            size = target.tell()
            target.seek(0)
            with _refused():
                place.session.put(place.request(path), target, size=size)

    def _writable(self, uri: str) -> _Place:
        place = self._place(uri)
        if place.is_dbfs:
            raise UnreachableError(f"{uri} is read only: import into the workspace itself, or give another root")
        return place

    def _place(self, uri: str) -> _Place:
        """Return where a URI leads. Raises UnreachableError."""
        if uri.lower().startswith("dbfs:"):
            return self._dbfs(uri)
        address, endpoint, root = uri.partition(PROXY_LIST)
        if not endpoint or (root and not root.startswith("/")):
            raise UnreachableError(
                f"{without_password(uri)} is no artifact root of MLflow, as http://HOST{PROXY_LIST}/… is; "
                "say where its files are now: --artifact-map FROM=TO"
            )
        session = self._session(address)
        return _Place(session=session, list_path=PROXY_LIST, files=PROXY_LIST, root=root.strip("/"), is_dbfs=False)

    def _dbfs(self, uri: str) -> _Place:
        path = uri.partition(":")[2]
        if path.startswith("//"):
            authority, _, path = path[2:].partition("/")
            if authority not in ("", "databricks"):
                raise UnreachableError(
                    f"{uri}: profiles of Databricks are not read; name the workspace by MLFLOW_TRACKING_URI and say "
                    f"--artifact-map dbfs://{authority}=dbfs:"
                )
        if not is_in_dbfs(uri):
            raise UnreachableError(
                f"{uri} cannot be read through the API of files; copy it and say --artifact-map FROM=TO"
            )
        session = self.tracking or self._session("")
        return _Place(session=session, list_path=_DBFS_LIST, files=_DBFS_FILES, root=path.strip("/"), is_dbfs=True)

    def _session(self, address: str) -> TrackingSession:
        """Return the session with a server, by default with that of MLFLOW_TRACKING_URI. Raises UnreachableError."""
        default = os.environ.get("MLFLOW_TRACKING_URI", "")
        with self._lock:
            if address not in self._sessions:
                try:
                    self._sessions[address] = self._open_session(address, default)
                except ServerError as error:
                    raise UnreachableError(f"{without_password(address or default)}: {error}") from error
            return self._sessions[address]

    def _open_session(self, address: str, default: str) -> TrackingSession:
        is_server = default.lower().startswith(("http://", "https://"))
        if not address and not is_server:
            raise UnreachableError("dbfs: locations lie in a workspace; name it: MLFLOW_TRACKING_URI=https://WORKSPACE")
        from mlflow_archive.http.session import TrackingSession  # noqa: PLC0415 - most artifacts lie elsewhere

        own = self.tracking or (TrackingSession(default) if is_server else None)
        if own is None:
            return TrackingSession(address, is_stranger=True)
        return own.towards(address) if address else own

    @contextmanager
    def _unreachable(self, uri: str) -> Iterator[None]:
        """Say of what a server refuses that it cannot be reached, and of one that does not answer that once only."""
        place = without_password(uri)
        host = place.partition("://")[2].partition("/")[0]
        self._unusable.check(host)
        try:
            yield
        except ServerError as error:
            reason = f"{place} cannot be listed: {error}"
            if error.status is None:
                raise self._unusable.add(host, reason=reason) from error
            raise UnreachableError(reason) from error
        except ArtifactUnreadableError as error:
            raise UnreachableError(f"{place} cannot be listed: {error}") from error


def is_in_dbfs(uri: str) -> bool:
    """Return whether Databricks' API of files gives what a URI names: no volumes, and nothing that MLflow keeps there.

    >>> [is_in_dbfs(uri) for uri in ("dbfs:/mnt/x", "dbfs:/Volumes/a/b/c", "dbfs:/databricks/mlflow-tracking/1/r")]
    [True, False, False]
    """
    scheme, _, path = uri.partition(":")
    root = path[2:].partition("/")[2] if path.startswith("//") else path
    inside = root.strip("/") + "/"
    return scheme.lower() == "dbfs" and not any(inside.startswith(f"{folder}/") for folder in _NOT_IN_DBFS)


def _walk(place: _Place, folder: str, depth: int) -> Iterator[RemoteFile | Unkept]:
    if unlisted := too_deep(folder, depth):
        yield unlisted
        return
    try:
        entries = place.entries(folder)
    except (ServerError, ArtifactUnreadableError) as error:
        if not folder or (isinstance(error, ServerError) and error.status is None):
            raise
        yield Unkept(path=folder, code=ARTIFACT_LISTING, reason=f"the folder cannot be listed: {error}")
        return
    for entry in entries:
        path = f"{folder}/{entry.path}".lstrip("/")
        if unkept := unkept_name(path, entry.path):
            yield unkept
        elif not place.is_dbfs and not survives(path):
            reason = f"MLflow's server decodes the name {path!r} to that of another file; use --artifact-map"
            yield Unkept(path=path, code=ARTIFACT_UNREADABLE, reason=reason)
        elif entry.is_folder:
            yield from _walk(place, path, depth + 1)
        else:
            yield RemoteFile(path=path, key=place.path_of(path), size=entry.size)


@contextmanager
def _refused() -> Iterator[None]:
    """Raise for what a server says the errors of a store."""
    try:
        yield
    except ServerError as error:
        if error.status is None:
            raise UnreachableError(str(error)) from error
        raise OSError(str(error)) from error
