"""Artifact files in object stores, through fsspec: s3, gs, abfs."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from shutil import copyfileobj
from threading import Lock
from typing import Any, BinaryIO, Final, cast
from urllib.parse import urlsplit

from mlflow_archive.flow.chunk import ArtifactUnreadableError
from mlflow_archive.format.gaps import ARTIFACT_MISSING, ARTIFACT_NAME, ARTIFACT_SIZE, ARTIFACT_UNREADABLE
from mlflow_archive.optional import install
from mlflow_archive.storage.seekable import Seekable

EXTRAS: Final = {
    "s3": "s3",
    "gs": "gs",
    "gcs": "gs",
    "abfs": "azure",
    "abfss": "azure",
    "wasbs": "azure",
    "wasb": "azure",
}
"""Scheme to the extra of this project that brings its library."""

_BLOCK: Final = 8 << 20
_IN_MEMORY: Final = 4 << 20


class UnreachableError(Exception):
    """An object store, or a bucket of it, cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """An object: its path below the root, its key, its size in bytes, and what changes when its bytes do."""

    path: str
    key: str
    size: int
    mark: str | None = None


@dataclass(slots=True)
class ObjectStores:
    """Connections to object stores, used by all threads; remembers what could not be reached.

    There is one for each scheme, and one for each storage account of Azure.
    """

    _systems: dict[tuple[str, str], Any] = field(default_factory=dict)
    _broken: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def list(self, uri: str) -> Iterator[RemoteFile | ArtifactUnreadableError]:
        """Yield the objects below a URI; an error for each whose name cannot be kept. Raises UnreachableError."""
        _, root = _split(uri)
        system = self._system(uri)
        prefix = root.rstrip("/") + "/"
        objects = self._guarded(uri, lambda: system.find(root, detail=True, withdirs=False, refresh=True))
        for key, info in sorted(objects.items()):
            name = info.get("name", key)
            path = name[len(prefix) :]
            if info.get("type") != "file" or not path or path.endswith("/"):
                if info.get("type") == "file" and info.get("size"):
                    reason = f"{path}: the key {name!r} is no path of a file, and the object has content"
                    yield ArtifactUnreadableError(reason, code=ARTIFACT_NAME)
                continue  # a marker that stands for a folder
            if any(part in ("", ".", "..") for part in path.split("/")):
                yield ArtifactUnreadableError(f"{path}: the key {name!r} is no path", code=ARTIFACT_NAME)
                continue
            yield RemoteFile(path=path, key=name, size=int(info.get("size") or 0), mark=_mark(info))

    @contextmanager
    def open(self, uri: str, file: RemoteFile) -> Iterator[BinaryIO]:
        """Open an object for reading, seekable, a block at a time. Raises ArtifactUnreadableError, also while read."""
        try:
            system = self._system(uri)
            if file.size <= _IN_MEMORY:
                data = system.cat_file(file.key)
                _check_size(file, len(data))
                yield cast(BinaryIO, io.BytesIO(data))
                return
            with system.open(file.key, "rb", block_size=_BLOCK, cache_type="readahead") as stream:
                _check_size(file, stream.size)
                yield cast(BinaryIO, io.BufferedReader(_Guarded(stream, file), _BLOCK))
        except FileNotFoundError as error:
            message = f"{file.path} was there when it was listed and is gone"
            raise ArtifactUnreadableError(message, code=ARTIFACT_MISSING) from error
        except ArtifactUnreadableError:
            raise
        except Exception as error:  # what the libraries of three clouds raise has no common base
            raise ArtifactUnreadableError(f"{file.path} cannot be read: {error}", code=ARTIFACT_UNREADABLE) from error

    def holds(self, uri: str) -> bool:
        """Return whether there is an object at a URI or below it. Raises UnreachableError."""
        _, root = _split(uri)
        system = self._system(uri)

        def look() -> bool:
            try:
                return bool(system.exists(root) and (system.isfile(root) or system.ls(root, detail=False)))
            except FileNotFoundError:
                return False

        return bool(self._guarded(uri, look))

    def remove(self, uri: str, path: str) -> None:
        """Remove an object. Raises UnreachableError."""
        _, root = _split(uri)
        system = self._system(uri)
        self._guarded(uri, lambda: system.rm_file(f"{root.rstrip('/')}/{path}"))

    def write(self, uri: str, path: str, stream: BinaryIO) -> None:
        """Write an object, in parts where it is large; whole or not at all. Raises OSError, UnreachableError."""
        _, root = _split(uri)
        key = f"{root.rstrip('/')}/{path}"
        system = self._system(uri)

        def upload() -> None:
            first = stream.read(_IN_MEMORY)
            if len(first) < _IN_MEMORY:
                system.pipe_file(key, first)
                return
            target = system.open(key, "wb", block_size=_BLOCK, autocommit=False)
            try:
                target.write(first)
                copyfileobj(stream, target, _BLOCK)
                target.close()
            except BaseException:
                target.discard()
                raise
            target.commit()

        self._guarded(uri, upload)

    def _guarded(self, uri: str, action: Any) -> Any:
        """Run an action on a store; remember a bucket that cannot be used, so that no run waits for it again."""
        scheme, root = _split(uri)
        account = account_host(uri)
        place = scheme, account, root.partition("/")[0]
        bucket = f"{place[2]}@{account}" if account else place[2]
        with self._lock:
            if reason := self._broken.get(place):
                raise UnreachableError(reason)
        try:
            return action()
        except FileNotFoundError:
            if self._exists(uri, place[2]):
                return {}
            reason = f"{scheme}://{bucket} does not exist, or may not be listed with these credentials"
        except ArtifactUnreadableError:
            raise
        except Exception as error:  # what the libraries of three clouds raise has no common base
            reason = f"{scheme}://{bucket} cannot be used: {error or type(error).__name__}"
        with self._lock:
            self._broken[place] = reason
        raise UnreachableError(reason)

    def _exists(self, uri: str, bucket: str) -> bool:
        try:
            return bool(self._system(uri).exists(bucket))
        except Exception:  # as above
            return False

    def _system(self, uri: str) -> Any:
        scheme = urlsplit(uri).scheme.lower()
        account = account_host(uri)
        with self._lock:
            if (scheme, account) not in self._systems:
                self._systems[scheme, account] = _connect(scheme, account)
            return self._systems[scheme, account]


def _mark(info: Mapping[str, Any]) -> str | None:
    """Return the ETag of an object as s3fs, gcsfs or adlfs name it, else the time of its last change."""
    names = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime")
    return next((str(info[name]) for name in names if info.get(name)), None)


def account_host(uri: str) -> str:
    """Return the host of the storage account that a URI ``…://container@account.host/…`` names, else nothing."""
    authority = uri.partition("://")[2].partition("/")[0]
    return authority.partition("@")[2].lower()


def _connect(scheme: str, account: str) -> Any:
    options = _options(scheme) | _account_options(account)
    try:
        import fsspec  # noqa: PLC0415

        return fsspec.filesystem(_PROTOCOLS.get(scheme, scheme), **options)
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        hint = install(extra) if extra else "give --artifact-map FROM=TO"
        raise UnreachableError(f"{scheme}: locations need more packages: {hint} ({error})") from error
    except ValueError as error:
        hint = "set AZURE_STORAGE_ACCOUNT_NAME and a key or token of it" if EXTRAS.get(scheme) == "azure" else ""
        raise UnreachableError(f"{scheme}: locations cannot be used: {error}; {hint}".rstrip("; ")) from error


def _account_options(host: str) -> dict[str, Any]:
    """Return what connects to a storage account of Azure; credentials that name another one are not for it."""
    if not host:
        return {}
    account = host.partition(".")[0]
    settings = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";")
    named = next((value for name, _, value in (part.partition("=") for part in settings) if name == "AccountName"), "")
    named = named or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    if named and named != account:
        raise UnreachableError(
            f"{host}: the credentials in the environment are for the storage account {named}; run once more with those "
            f"of {account}, or give --artifact-map FROM=TO"
        )
    return {"account_name": account}


_PROTOCOLS: Final = {"gcs": "gs", "abfss": "abfs", "wasb": "abfs", "wasbs": "abfs"}


def _options(scheme: str) -> dict[str, Any]:
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme == "s3":
        # MLflow's own variables, as its S3 repository reads them; all others are boto's.
        if endpoint := os.environ.get("MLFLOW_S3_ENDPOINT_URL"):
            options["endpoint_url"] = endpoint
        client: dict[str, Any] = {}
        if os.environ.get("MLFLOW_S3_IGNORE_TLS", "").lower() in ("true", "1"):
            client["verify"] = False
        options |= {"client_kwargs": client, "config_kwargs": {"connect_timeout": 10, "retries": {"max_attempts": 3}}}
        options["version_aware"] = False
    return options


def _split(uri: str) -> tuple[str, str]:
    """Return scheme and the location as fsspec names it: bucket and key, nothing decoded."""
    scheme, _, rest = uri.partition("://")
    return scheme.lower(), rest.strip("/") if "@" not in rest.partition("/")[0] else _azure(rest)


def _azure(rest: str) -> str:
    """Return ``container/path`` of ``container@account.host/path``."""
    host, _, path = rest.partition("/")
    return f"{host.partition('@')[0]}/{path}".strip("/")


def _check_size(file: RemoteFile, size: int) -> None:
    if size != file.size:
        reason = f"{file.path} has {size} bytes; there were {file.size} when it was listed"
        raise ArtifactUnreadableError(reason, code=ARTIFACT_SIZE)


class _Guarded(Seekable):
    """A stream whose errors say that this artifact cannot be read."""

    def __init__(self, stream: Any, file: RemoteFile) -> None:
        super().__init__()
        self._stream, self._file = stream, file

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except Exception as error:  # as in ObjectStores
            message = f"{self._file.path} cannot be read: {error}"
            raise ArtifactUnreadableError(message, code=ARTIFACT_UNREADABLE) from error
        buffer[: len(data)] = data
        return len(data)
