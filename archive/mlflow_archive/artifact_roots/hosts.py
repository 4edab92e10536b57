"""Artifact files in folders of other machines: SFTP and FTP.

Through paramiko and the standard library, and not through fsspec, which knows no host by its key, leaves out folders
that it may not list, and takes them for empty over FTP (decision 0041).
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from threading import Lock
from typing import BinaryIO, Final, Protocol, cast
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4
from weakref import finalize

from mlflow_archive.artifact_roots.entry import FILE, FOLDER, FolderEntry
from mlflow_archive.artifact_roots.ftp import connect_ftp
from mlflow_archive.artifact_roots.local import PART
from mlflow_archive.artifact_roots.sftp import connect_sftp
from mlflow_archive.artifact_roots.store import (
    RemoteFile,
    Unkept,
    UnreachableError,
    UnusablePlaces,
    too_deep,
    unkept_name,
)
from mlflow_archive.flow.chunk import ArtifactUnreadableError
from mlflow_archive.format.gaps import ARTIFACT_LISTING, ARTIFACT_MISSING, ARTIFACT_UNREADABLE
from mlflow_archive.format.location import without_password

_IN_MEMORY: Final = 4 << 20


class Connection(Protocol):
    """One log-in, used by one thread at a time. Any error may be raised; FileNotFoundError where nothing is there."""

    def entries(self, folder: str) -> list[FolderEntry]:
        """Return what lies in a folder. Raises FileNotFoundError where there is none."""

    def is_folder(self, path: str) -> bool:
        """Return whether a folder is at a path. What lies in it is not looked at: others may be writing there."""

    def fetch(self, path: str, target: BinaryIO) -> None:
        """Write the bytes of a file to a stream."""

    def store(self, stream: BinaryIO, path: str) -> None:
        """Write the bytes of a stream to a file."""

    def rename(self, path: str, target: str) -> None:
        """Give a file another name, in place of what is there."""

    def remove(self, path: str) -> None:
        """Remove a file."""

    def make_folder(self, path: str) -> None:
        """Make a folder; those above are there. Raises an error where it exists."""

    def remove_folder(self, path: str) -> None:
        """Remove a folder that is empty."""

    def is_alive(self) -> bool:
        """Return whether the connection can go on after an error."""

    def close(self) -> None:
        """End the connection."""


CONNECTIONS: Final[dict[str, Callable[[SplitResult], Connection]]] = {"sftp": connect_sftp, "ftp": connect_ftp}
"""Scheme to what logs in; it raises UnreachableError or any error of its library."""


@dataclass(slots=True, weakref_slot=True)
class Hosts:
    """Connections to other machines, each in use by one thread; one that failed is not used again.

    They are closed when this is no longer used, or at the end of the process.
    """

    _idle: dict[tuple[str, str], list[Connection]] = field(default_factory=lambda: defaultdict(list))
    _unusable: UnusablePlaces = field(default_factory=UnusablePlaces)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        finalize(self, _close, self._idle)

    def list(self, uri: str) -> Iterator[RemoteFile | Unkept]:
        with _unreachable(uri), self._connected(uri) as connection:
            entries = list(_walk(connection, _root(uri), "", 0))
        yield from sorted(entries, key=lambda entry: entry.path)

    @contextmanager
    def open(self, uri: str, file: RemoteFile) -> Iterator[BinaryIO]:
        """Fetch a file as a whole, then give it: a half-read transfer would keep its connection."""
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
            target = cast(BinaryIO, spool)
            try:
                with self._connected(uri) as connection:
                    connection.fetch(file.key, target)
            except FileNotFoundError as error:
                message = f"{file.path} was there when it was listed and is gone"
                raise ArtifactUnreadableError(message, code=ARTIFACT_MISSING) from error
            except Exception as error:  # what the libraries raise has no common base
                message = f"{file.path} cannot be read: {error or type(error).__name__}"
                raise ArtifactUnreadableError(message, code=ARTIFACT_UNREADABLE) from error
            file.check_size(spool.tell())
            spool.seek(0)
            yield target

    def holds(self, uri: str) -> bool:
        root = _root(uri)
        with _unreachable(uri), self._connected(uri) as connection:
            if next(_walk(connection, root, "", 0), None) is not None:
                return True
            folder, _, name = root.rpartition("/")
            try:
                entries = connection.entries(folder or "/")
            except FileNotFoundError:
                return False
            return any(entry.name == name and entry.kind != FOLDER for entry in entries)

    def remove(self, uri: str, path: str) -> None:
        root, folder = _root(uri), path.rpartition("/")[0]
        with _refused(), self._connected(uri) as connection:
            connection.remove(f"{root}/{path}")
        with suppress(Exception), self._connected(uri) as connection:
            while folder:  # up to the first that is not empty
                connection.remove_folder(f"{root}/{folder}")
                folder = folder.rpartition("/")[0]

    def write(self, uri: str, path: str, stream: BinaryIO) -> None:
        target = f"{_root(uri)}/{path}"
        folder = target.rpartition("/")[0]
        part = f"{folder}/{PART}{uuid4().hex}"
        try:
            with _refused(), self._connected(uri) as connection:
                _make_folders(connection, folder)
                connection.store(stream, part)
                connection.rename(part, target)
        except BaseException:
            with suppress(Exception), self._connected(uri) as connection:
                connection.remove(part)
            raise

    @contextmanager
    def _connected(self, uri: str) -> Iterator[Connection]:
        """Log in, or use a log-in that is free. Raises UnreachableError."""
        parts = urlsplit(uri)
        key = parts.scheme.lower(), parts.netloc
        self._unusable.check(*key)
        with self._lock:
            connection = self._idle[key].pop() if self._idle[key] else None
        if connection is None:
            connection = self._log_in(uri, parts)
        try:
            yield connection
        except BaseException:
            with suppress(Exception):
                connection.close()
            raise
        with self._lock:
            self._idle[key].append(connection)

    def _log_in(self, uri: str, parts: SplitResult) -> Connection:
        key = scheme, _ = parts.scheme.lower(), parts.netloc
        place = f"{scheme}://{without_password(uri).partition('://')[2].partition('/')[0]}"
        if not _has_port(parts):
            raise self._unusable.add(*key, reason=f"{place}: what follows the host is no port")
        try:
            return CONNECTIONS[scheme](parts)
        except UnreachableError as error:
            reason = f"{place} cannot be used: {error}"
        except Exception as error:  # what the libraries raise has no common base
            reason = f"{place} cannot be reached, or refuses: {error or type(error).__name__}"
        raise self._unusable.add(*key, reason=reason)


def _close(idle: Mapping[tuple[str, str], Iterable[Connection]]) -> None:
    for connection in chain.from_iterable(idle.values()):
        with suppress(Exception):
            connection.close()


def _has_port(parts: SplitResult) -> bool:
    """Return whether host and port are such; what is taken for a port may be a part of a password."""
    try:
        return parts.port is None or bool(parts.hostname)
    except ValueError:
        return False


def _root(uri: str) -> str:
    """Return the folder that a URI names as MLflow reads it, nothing decoded; empty for the top."""
    return f"/{uri.partition('://')[2].partition('/')[2].strip('/')}".rstrip("/")


def _walk(connection: Connection, root: str, folder: str, depth: int) -> Iterator[RemoteFile | Unkept]:
    """Yield what lies below a folder of a root; nothing where there is no root."""
    if unlisted := too_deep(folder, depth):
        yield unlisted
        return
    place = f"{root}/{folder}".rstrip("/") or "/"
    try:
        entries = connection.entries(place)
    except Exception as error:  # what the libraries raise has no common base
        if not connection.is_alive():
            raise
        if folder or not isinstance(error, FileNotFoundError):
            yield Unkept(path=folder, code=ARTIFACT_LISTING, reason=f"the folder cannot be listed: {error}")
        return
    for entry in entries:
        path = f"{folder}/{entry.name}".lstrip("/")
        if unkept := unkept_name(path, entry.name):
            yield unkept
        elif entry.kind == FOLDER:
            yield from _walk(connection, root, path, depth + 1)
        elif entry.kind != FILE:
            yield Unkept(path=path, code=ARTIFACT_UNREADABLE, reason=f"it is {entry.kind}")
        elif entry.size < 0:
            yield Unkept(path=path, code=ARTIFACT_UNREADABLE, reason="the server does not tell its size")
        else:
            yield RemoteFile(path=path, key=f"{root}/{path}", size=entry.size, mark=entry.mark)


def _make_folders(connection: Connection, folder: str) -> None:
    """Make a folder and those above it that are not there; others may do so at the same time."""
    if not folder or connection.is_folder(folder):
        return
    _make_folders(connection, folder.rpartition("/")[0])
    try:
        connection.make_folder(folder)
    except Exception:
        if not connection.is_folder(folder):
            raise


@contextmanager
def _unreachable(uri: str) -> Iterator[None]:
    """Say of any error that what lies at a URI cannot be reached; it is another thing than a refusal of one folder."""
    try:
        yield
    except UnreachableError:
        raise
    except Exception as error:  # what the libraries raise has no common base
        raise UnreachableError(
            f"{without_password(uri)} cannot be looked into: {error or type(error).__name__}"
        ) from error


@contextmanager
def _refused() -> Iterator[None]:
    """Raise OSError for the errors of the libraries."""
    try:
        yield
    except (OSError, UnreachableError, ArtifactUnreadableError):
        raise
    except Exception as error:  # what the libraries raise has no common base
        raise OSError(f"{error or type(error).__name__}") from error
