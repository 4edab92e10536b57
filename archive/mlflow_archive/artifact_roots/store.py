"""What every kind of place of artifacts can do that is not a folder of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import Lock
from typing import BinaryIO, Final, Protocol

from mlflow_archive.flow.chunk import ArtifactUnreadableError
from mlflow_archive.format.gaps import ARTIFACT_LISTING, ARTIFACT_NAME, ARTIFACT_SIZE


class UnreachableError(Exception):
    """A store, or a bucket of it, cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file in a store: its path below the root, its name there, its size in bytes, what changes when its bytes do."""

    path: str
    key: str
    size: int
    mark: str | None = None

    def check_size(self, size: int) -> None:
        """Raise ArtifactUnreadableError if there are not as many bytes as were listed."""
        if size != self.size:
            reason = f"{self.path} has {size} bytes; there were {self.size} when it was listed"
            raise ArtifactUnreadableError(reason, code=ARTIFACT_SIZE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unkept:
    """What lies below a root and cannot be kept: its path, a code of gaps, and why."""

    path: str
    code: str
    reason: str


class Store(Protocol):
    """Files by URI, used by all threads. Each method raises UnreachableError where the place cannot be used."""

    def list(self, uri: str) -> Iterator[RemoteFile | Unkept]:
        """Yield the files below a URI, and what cannot be kept."""

    def open(self, uri: str, file: RemoteFile) -> AbstractContextManager[BinaryIO]:
        """Open a file for reading, seekable. Raises ArtifactUnreadableError, also while read."""

    def holds(self, uri: str) -> bool:
        """Return whether there is a file at a URI or below it."""

    def remove(self, uri: str, path: str) -> None:
        """Remove a file. Raises OSError."""

    def write(self, uri: str, path: str, stream: BinaryIO) -> None:
        """Write a file; whole or not at all. Raises OSError."""


@dataclass(slots=True)
class UnusablePlaces:
    """What could not be reached and why, so that no run waits for it again."""

    _reasons: dict[tuple[str, ...], str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def check(self, *place: str) -> None:
        """Raise UnreachableError for a place that is known as such."""
        with self._lock:
            if reason := self._reasons.get(place):
                raise UnreachableError(reason)

    def add(self, *place: str, reason: str) -> UnreachableError:
        """Remember a place; return what is to be raised."""
        with self._lock:
            self._reasons[place] = reason
        return UnreachableError(reason)


DEEPEST: Final = 100
"""So many folders may lie in one another; beyond that a listing is one that leads back into itself."""


def too_deep(folder: str, depth: int) -> Unkept | None:
    """Return why a folder is not listed whose folders are nested so deep, None where it is."""
    if depth > DEEPEST:
        return Unkept(path=folder, code=ARTIFACT_LISTING, reason=f"folders are nested more than {DEEPEST} deep")
    return None


def unkept_name(path: str, name: str) -> Unkept | None:
    """Return why a name in a store is no path below its root, None where it is one."""
    if any(part in ("", ".", "..") for part in path.split("/")):
        return Unkept(path=path, code=ARTIFACT_NAME, reason=f"{path}: the key {name!r} is no path")
    return None
