"""From an artifact URI to what lies there, whatever kind of place it is."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final
from urllib.parse import unquote, urlsplit

from mlflow_archive.artifact_roots.buckets import ObjectStores
from mlflow_archive.artifact_roots.clouds import EXTRAS
from mlflow_archive.artifact_roots.hosts import CONNECTIONS, Hosts
from mlflow_archive.artifact_roots.local import list_files, remove_file, write_file
from mlflow_archive.artifact_roots.names import stays_below
from mlflow_archive.artifact_roots.server import SCHEMES, Servers
from mlflow_archive.artifact_roots.store import RemoteFile, Store, UnreachableError
from mlflow_archive.errors import ItemError, SelectionError
from mlflow_archive.flow.chunk import ArtifactFile, Gap
from mlflow_archive.format import refusals
from mlflow_archive.format.gaps import ARTIFACT_LISTING
from mlflow_archive.format.location import windows_path, without_password
from mlflow_archive.selecting.selection import Selection

if TYPE_CHECKING:
    from mlflow_archive.http.session import TrackingSession

PROXY: Final = "mlflow-artifacts"
_EVERYWHERE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
_DEPTH: Final = 3  # of artifacts below the folder in which mlruns is


class ArtifactWriteError(ItemError):
    """An artifact cannot be written; ``code`` is a refusal code of spec/problems.md.

    ``everywhere`` says that no other artifact can be written to the place either: its disk is full, it is out of reach.
    """

    def __init__(self, message: str, *, code: str = refusals.ARTIFACT_REFUSED, everywhere: bool = False) -> None:
        super().__init__(message)
        self.code, self.everywhere = code, everywhere


@dataclass(slots=True, kw_only=True)
class Listing:
    """All artifact files of an owner, and what could not be listed."""

    files: list[ArtifactFile] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there surely is nothing."""
        return not self.files and not self.gaps

    def selected(self, selection: Selection) -> list[ArtifactFile]:
        """Return the files that are selected."""
        return [file for file in self.files if selection.wants_artifact(file.path, file.size)]

    def below(self, folder: object) -> Listing:
        """Return the same with paths in a folder."""
        return Listing(
            files=[replace(file, path=f"{folder}/{file.path}") for file in self.files],
            gaps=[replace(gap, path=f"{folder}/{gap.path}".rstrip("/")) for gap in self.gaps],
        )


class ArtifactRoots:
    """Lists, opens and writes artifacts by URI; used by several threads.

    ``artifact_map`` holds (FROM, TO) pairs: what a URI begins with, and the folder or URI that it is now; the longest
    FROM counts. ``artifacts_destination`` is the folder or URI behind ``mlflow-artifacts:``, as in ``mlflow server``.
    Relative paths in URIs are below ``base``, those of map and destination below the current folder. ``tracking`` is
    the session with the server that is read, for places behind its API.
    """

    def __init__(
        self,
        *,
        artifact_map: Sequence[tuple[str, str]] = (),
        artifacts_destination: str | None = None,
        base: Path | None = None,
        tracking: TrackingSession | None = None,
    ) -> None:
        self._map = [(without_password(old).rstrip("/"), _from_here(new)) for old, new in artifact_map]
        spellings = [(spelling.rstrip("/"), new) for old, new in self._map for spelling in _spellings(old)]
        self._prefixes = sorted(spellings, key=lambda pair: -len(pair[0]))
        self._destination = None if artifacts_destination is None else _from_here(artifacts_destination)
        self._logins: dict[str, str] = {}
        self._base = base
        self._stores: dict[str, Store] = {
            **dict.fromkeys(EXTRAS, ObjectStores()),
            **dict.fromkeys(CONNECTIONS, Hosts()),
            **dict.fromkeys(SCHEMES, Servers(tracking=tracking)),
        }

    def check(self) -> None:
        """Raise SelectionError if a map or the destination leads to a folder that does not exist."""
        places = [(f"--artifact-map {old}={new}", new) for old, new in self._map]
        if self._destination is not None:
            places.append((f"--artifacts-destination {self._destination}", self._destination))
        for option, place in places:
            folder = self._folder(place)
            if folder is not None and not folder.is_dir():
                raise SelectionError(f"{option}: there is no folder {folder}")

    def remember_login(self, location: str) -> None:
        """Use user and password of a location for what is named without them, as archives name it, from there on."""
        known = without_password(location)
        if known != location:
            self._logins[known.rstrip("/")] = location.rstrip("/")

    def resolve(self, uri: str) -> str:
        """Return the URI after map and destination: where the bytes are."""
        uri = self._with_login(self._mapped(uri) or uri)
        if _scheme(uri) == PROXY and self._destination is not None:
            path = urlsplit(uri).path if "//" in uri[: len(PROXY) + 3] else uri.partition(":")[2]
            if ".." in path.split("/"):
                return uri
            return f"{self._destination.rstrip('/')}/{path.strip('/')}".rstrip("/")
        return uri

    def list(self, uri: str, *, owner_kind: str, owner_id: str) -> Listing:
        """List what lies at a URI. A folder that does not exist holds nothing; a place out of reach is a gap."""
        listing = Listing()

        def gap(path: str, code: str, reason: str) -> None:
            listing.gaps.append(Gap(owner_kind=owner_kind, owner_id=owner_id, path=path, code=code, reason=reason))

        make_file = partial(ArtifactFile, owner_kind=owner_kind, owner_id=owner_id)
        place = self.resolve(uri)
        folder = self._folder(place)
        if folder is not None:
            local_files = list_files(folder, gap) if folder.is_dir() else []
            listing.files = [
                make_file(path=file.path, size=file.size, open=file.open, mark=file.mark) for file in local_files
            ]
        elif store := self._stores.get(_scheme(place)):
            try:
                for entry in store.list(place):
                    if isinstance(entry, RemoteFile):
                        opening = partial(store.open, place, entry)
                        listing.files.append(make_file(path=entry.path, size=entry.size, open=opening, mark=entry.mark))
                    else:
                        gap(entry.path, entry.code, entry.reason)
            except UnreachableError as error:
                gap("", ARTIFACT_LISTING, str(error))
        else:
            gap("", ARTIFACT_LISTING, out_of_reach(place))
        return listing

    def is_given(self, uri: str) -> bool:
        """Return whether the user said where a location is, or it is in an object store.

        Any other is a folder of this machine that only the source names, so it must not be followed blindly.
        """
        return self._mapped(uri) is not None or not is_local(uri)

    def is_elsewhere(self, uri: str) -> bool:
        """Return whether the artifact root of a run is a folder of another machine.

        It is, where not even the folder exists in which a server makes its ``mlruns/EXPERIMENT/RUN/artifacts``; if that
        exists, a run without its folder had no artifacts.
        """
        folder = self.folder(uri)
        if folder is None or folder.exists() or len(folder.parents) <= _DEPTH:
            return False
        home = folder.parents[_DEPTH]
        return not (folder.parents[_DEPTH - 1] if home == Path(home.anchor) else home).exists()

    def is_in_bucket(self, uri: str) -> bool:
        """Return whether a location is in an object store, where one request lists a thousand objects."""
        return _scheme(self.resolve(uri)) in EXTRAS

    def is_empty(self, uri: str) -> bool:
        """Return whether nothing lies at a URI. Raises ArtifactWriteError where that cannot be found out."""
        place = self.resolve(uri)
        folder = self._folder(place)
        try:
            if folder is not None:
                return not folder.is_dir() or next(folder.iterdir(), None) is None
            return not self._store(place).holds(place)
        except (OSError, UnreachableError) as error:
            message = f"{without_password(place)} cannot be looked into: {error}"
            raise ArtifactWriteError(message, everywhere=isinstance(error, UnreachableError)) from error

    def exists(self, uri: str, path: str) -> bool:
        """Return whether an artifact lies at ``path`` below a URI. Raises ArtifactWriteError if it cannot be asked."""
        place = self.resolve(uri)
        folder = self._folder(place)
        try:
            return os.path.lexists(folder / path) if folder is not None else self._store(place).holds(f"{place}/{path}")
        except (OSError, UnreachableError) as error:
            message = f"{path} cannot be looked for in {without_password(place)}: {error}"
            raise ArtifactWriteError(message, everywhere=isinstance(error, UnreachableError)) from error

    def remove(self, uri: str, path: str) -> None:
        """Remove an artifact, and the folders below the URI that are empty then. Raises ArtifactWriteError."""
        place = self.resolve(uri)
        folder = self._folder(place)
        try:
            if folder is None:
                self._store(place).remove(place, path)
            elif stays_below(path):
                remove_file(folder, path)
        except (OSError, UnreachableError) as error:
            raise ArtifactWriteError(f"{path} cannot be removed from {without_password(place)}: {error}") from error

    def folder(self, uri: str) -> Path | None:
        """Return the folder of this machine that a location is, None for any other."""
        return self._folder(self.resolve(uri))

    def write(self, uri: str, path: str, stream: BinaryIO, *, scratch: Path | None = None) -> None:
        """Write the bytes of a stream to ``path`` below a URI; whole or not at all. Raises ArtifactWriteError.

        In a folder of this machine, ``scratch`` is where the file lies until it is whole.
        """
        if not stays_below(path):
            raise ArtifactWriteError(f"{path!r} is no path below an artifact root", code=refusals.ARTIFACT_NAME)
        place = self.resolve(uri)
        folder = self._folder(place)
        try:
            if folder is not None:
                write_file(folder, path, stream, scratch=scratch)
            else:
                self._store(place).write(place, path, stream)
        except (OSError, UnreachableError) as error:
            message = f"{path} cannot be written to {without_password(place)}: {error}"
            everywhere = isinstance(error, UnreachableError) or error.errno in _EVERYWHERE
            raise ArtifactWriteError(message, everywhere=everywhere) from error

    def _store(self, place: str) -> Store:
        """Return the store that a location names. Raises ArtifactWriteError where there is none."""
        store = self._stores.get(_scheme(place))
        if store is None:
            raise ArtifactWriteError(out_of_reach(place), everywhere=True)
        return store

    def _with_login(self, uri: str) -> str:
        for known, location in self._logins.items():
            if uri == known or uri.startswith(known + "/"):
                return location + uri[len(known) :]
        return uri

    def _mapped(self, uri: str) -> str | None:
        """Return the place by the map, also where that is the same; None if the map does not have it."""
        for known in _spellings(uri):
            for old, new in self._prefixes:
                if old and (known == old or known.startswith(old + "/")):
                    rest = known[len(old) :].strip("/")
                    if ".." in rest.split("/"):
                        return None  # what is mapped stays below where it is mapped to
                    return f"{new.rstrip('/')}/{rest}".rstrip("/") or "/"
        return None

    def _folder(self, place: str) -> Path | None:
        """Return the folder of this machine that a location names, None for anything else."""
        path = _local_path(place)
        if path is None:
            return None
        base = self._base or Path()
        decoded = unquote(path)
        if decoded != path and not (base / path).exists() and (base / decoded).exists():
            return base / decoded  # MLflow decodes plain paths as it does those of file: URIs
        return base / path


def _spellings(uri: str) -> list[str]:
    """Return the ways to write a location that are compared with each other."""
    spellings = (without_password(uri), _local_path(uri), windows_path(uri))
    return list(dict.fromkeys(spelling for spelling in spellings if spelling))


def _from_here(place: str) -> str:
    """Return a place that the user names, relative paths from the current folder on."""
    path = None if windows_path(place) else _local_path(place)
    return place.rstrip("/") or "/" if path is None or path.startswith("/") else str(Path(path).absolute())


def _scheme(uri: str) -> str:
    scheme, colon, _ = uri.partition(":")
    return scheme.lower() if colon and scheme.isascii() and scheme.replace("-", "").replace("+", "").isalnum() else ""


def _local_path(uri: str) -> str | None:
    """Return the path of a plain path or ``file:`` URI; None for anything else, drives of Windows included."""
    scheme = _scheme(uri)
    if scheme == "file":
        parts = urlsplit(uri)
        path = unquote(parts.path)
        drive = len(path) > 2 and path[2] == ":" and path[1].isalpha()
        return path if parts.netloc in ("", "localhost") and not drive else None
    return uri if not scheme and uri else None


def is_local(uri: str) -> bool:
    """Return whether a location is a path or ``file:`` URI of this machine."""
    return _local_path(uri) is not None


def out_of_reach(place: str) -> str:
    """Return why an artifact location cannot be read from here, and what to do."""
    safe_place = without_password(place)
    if _scheme(place) == PROXY:
        return f"{safe_place} lies behind a server; say where its files are: --artifacts-destination DIR_OR_URL"
    return f"{safe_place} cannot be reached from here; say where its files are now: --artifact-map FROM=TO"
