"""Artifact files in object stores, through fsspec: s3, r2, b2, gs, abfs."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from shutil import copyfileobj
from threading import Lock
from typing import Any, BinaryIO, Final, cast

from mlflow_archive.artifact_roots.clouds import connect, split_location
from mlflow_archive.artifact_roots.store import RemoteFile, Unkept, UnusablePlaces, unkept_name
from mlflow_archive.flow.chunk import ArtifactUnreadableError
from mlflow_archive.format.gaps import ARTIFACT_MISSING, ARTIFACT_NAME, ARTIFACT_UNREADABLE
from mlflow_archive.storage.seekable import Seekable

_BLOCK: Final = 8 << 20
_IN_MEMORY: Final = 4 << 20


@dataclass(slots=True)
class ObjectStores:
    """Connections to object stores, used by all threads; remembers what could not be reached.

    There is one for each scheme, and one for each storage account of Azure and endpoint of R2 or B2.
    """

    _systems: dict[tuple[str, str], Any] = field(default_factory=dict)
    _unusable: UnusablePlaces = field(default_factory=UnusablePlaces)
    _lock: Lock = field(default_factory=Lock)

    def list(self, uri: str) -> Iterator[RemoteFile | Unkept]:
        """Yield the objects below a URI; those whose names cannot be kept as such. Raises UnreachableError."""
        _, _, root = split_location(uri)
        system = self._system(uri)
        prefix = root.rstrip("/") + "/"
        objects = self._guarded(uri, lambda: system.find(root, detail=True, withdirs=False, refresh=True))
        for key, info in sorted(objects.items()):
            name = info.get("name", key)
            path = name[len(prefix) :]
            if info.get("type") != "file" or not path or path.endswith("/"):
                if info.get("type") == "file" and info.get("size"):
                    reason = f"{path}: the key {name!r} is no path of a file, and the object has content"
                    yield Unkept(path=path, code=ARTIFACT_NAME, reason=reason)
                continue  # a marker that stands for a folder
            if unkept := unkept_name(path, name):
                yield unkept
                continue
            yield RemoteFile(path=path, key=name, size=int(info.get("size") or 0), mark=_mark(info))

    @contextmanager
    def open(self, uri: str, file: RemoteFile) -> Iterator[BinaryIO]:
        """Open an object for reading, seekable, a block at a time. Raises ArtifactUnreadableError, also while read."""
        try:
            system = self._system(uri)
            if file.size <= _IN_MEMORY:
                data = system.cat_file(file.key)
                file.check_size(len(data))
                yield cast(BinaryIO, io.BytesIO(data))
                return
            with system.open(file.key, "rb", block_size=_BLOCK, cache_type="readahead") as stream:
                file.check_size(stream.size)
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
        _, _, root = split_location(uri)
        system = self._system(uri)

        def look() -> bool:
            try:
                return bool(system.exists(root) and (system.isfile(root) or system.ls(root, detail=False)))
            except FileNotFoundError:
                return False

        return bool(self._guarded(uri, look))

    def remove(self, uri: str, path: str) -> None:
        """Remove an object. Raises UnreachableError."""
        _, _, root = split_location(uri)
        system = self._system(uri)
        self._guarded(uri, lambda: system.rm_file(f"{root.rstrip('/')}/{path}"))

    def write(self, uri: str, path: str, stream: BinaryIO) -> None:
        """Write an object, in parts where it is large; whole or not at all. Raises OSError, UnreachableError."""
        _, _, root = split_location(uri)
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
        scheme, host, root = split_location(uri)
        bucket = root.partition("/")[0]
        place = f"{bucket}@{host}" if host else bucket
        self._unusable.check(scheme, place)
        try:
            return action()
        except FileNotFoundError:
            if self._exists(uri, bucket):
                return {}
            reason = f"{scheme}://{place} does not exist, or may not be listed with these credentials"
        except ArtifactUnreadableError:
            raise
        except Exception as error:  # what the libraries of three clouds raise has no common base
            reason = f"{scheme}://{place} cannot be used: {error or type(error).__name__}"
        raise self._unusable.add(scheme, place, reason=reason)

    def _exists(self, uri: str, bucket: str) -> bool:
        try:
            return bool(self._system(uri).exists(bucket))
        except Exception:  # as above
            return False

    def _system(self, uri: str) -> Any:
        scheme, host, _ = split_location(uri)
        with self._lock:
            if (scheme, host) not in self._systems:
                self._systems[scheme, host] = connect(scheme, host)
            return self._systems[scheme, host]


def _mark(info: Mapping[str, Any]) -> str | None:
    """Return the ETag of an object as s3fs, gcsfs or adlfs name it, else the time of its last change."""
    names = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime")
    return next((str(info[name]) for name in names if info.get(name)), None)


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
