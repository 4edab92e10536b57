"""The artifact files of an object: what is there, and the bytes.

Bytes come from where they can be had: a folder or object store that is reached from here (named by
``--artifact-map``, or by the object's own artifact URI), the server's artifact proxy, or the endpoint with which the
server itself gives files of such an object.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote, unquote, urlparse, urlsplit, urlunparse

from mlflow_archive.artifact_roots import ArtifactRoots, Listing
from mlflow_archive.artifact_roots.roots import is_local
from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import ArtifactFile, ArtifactUnreadableError, Gap
from mlflow_archive.format import gaps as gap_codes
from mlflow_archive.format.location import without_password
from mlflow_archive.http.refusals import check_answered
from mlflow_archive.http.session import Params, TrackingSession
from mlflow_archive.kinds import REGISTERED_MODEL

IN_MEMORY: Final = 4 << 20
"""Files up to this size, in bytes, stay in memory while they are on their way."""

PROXY_LIST: Final = "/api/2.0/mlflow-artifacts/artifacts"
_PROXY = PROXY_LIST + "/"
_DEEPEST = 100
_MODEL_FILE = "MLmodel"

Request = tuple[str, Params | None]
"""Path and parameters of a GET."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """An object with artifact files. ``uri`` is where they lie.

    ``list_folder`` makes the request for what lies in a folder, ``get_file`` the one for a file: how the server gives
    them whatever the URI is. None where it has no such endpoint.
    """

    kind: str
    id: str
    uri: str | None
    list_folder: Callable[[str], Request] | None = None
    get_file: Callable[[str], Request] | None = None

    def gap(self, path: str, code: str, reason: str) -> Gap:
        """Return a gap of this object."""
        return Gap(owner_kind=self.kind, owner_id=self.id, path=path, code=code, reason=reason)


class Artifacts:
    """Lists and opens the artifacts of objects of one server; used by several threads."""

    def __init__(
        self, session: TrackingSession, artifact_map: Sequence[tuple[str, str]] = (), folder: Path | None = None
    ) -> None:
        self._session = session
        self._roots = ArtifactRoots(artifact_map=artifact_map)
        self._folder = folder

    def within(self, session: TrackingSession) -> Artifacts:
        """Return the same with another session, for another workspace of the server."""
        artifacts = Artifacts(session, (), self._folder)
        artifacts._roots = self._roots
        return artifacts

    def check(self) -> None:
        """Raise SelectionError if a map leads to a folder that does not exist."""
        self._roots.check()

    def of(self, owner: Owner) -> Listing:
        """List the artifacts of an object."""
        uri = owner.uri or ""
        if uri and self._is_reached_from_here(owner):
            return self._roots.list(uri, owner_kind=owner.kind, owner_id=owner.id)
        if owner.list_folder is None and proxy_root(uri) is None:
            return self._elsewhere(owner, uri)
        listing = Listing()
        self._list_on_server(owner, "", listing, 0)
        return listing

    def is_empty(self, owner: Owner) -> bool:
        """Return whether an object surely has no artifacts; looks only at the top folder."""
        if self._is_reached_from_here(owner) or (owner.list_folder is None and proxy_root(owner.uri or "") is None):
            listing = self.of(owner)
            return not listing.files and not listing.gaps
        try:
            return not self._entries(owner, "")
        except (ServerError, ArtifactUnreadableError) as exc:
            if isinstance(exc, ServerError) and exc.status is None:
                raise
            return False

    def _elsewhere(self, owner: Owner, uri: str) -> Listing:
        """List what lies at a place that the server gives no list of."""
        if not uri or not is_local(self._roots.resolve(uri)):
            return self._roots.list(uri, owner_kind=owner.kind, owner_id=owner.id) if uri else Listing()
        reason = (
            f"{without_password(uri)} is a folder of the server; say where its files are now: --artifact-map FROM=TO"
        )
        return Listing(gaps=[owner.gap("", gap_codes.ARTIFACT_LISTING, reason)])

    def file(self, owner: Owner, path: str, size: int | None = None) -> ArtifactFile:
        """Return a file that is known without a listing; ``size`` in bytes, None where it is not known."""
        give = partial(self._fetch, owner, path, size)
        return ArtifactFile(owner_kind=owner.kind, owner_id=owner.id, path=path, size=size, open=give)

    def folders(self, uri: str) -> set[str] | None:
        """Return the names of the folders in a place behind the server's proxy; None where it does not list them."""
        root = proxy_root(uri)
        if root is None or self._roots.resolve(uri) != uri:
            return None
        try:
            answer = self._session.get(PROXY_LIST, {"path": root}, refusals_are_final=True)
            return {str(entry["path"]).rpartition("/")[2] for entry in answer.get("files", []) if entry.get("is_dir")}
        except ServerError as exc:
            check_answered(exc)
            return None
        except (KeyError, TypeError, AttributeError):
            return None

    def _is_reached_from_here(self, owner: Owner) -> bool:
        """Return whether files can be read without the server.

        A folder of this machine that only the server names is read if it is one that MLflow made for the object, or
        one that holds a model: what a server says must not carry other files away.
        """
        uri = owner.uri or ""
        place = self._roots.resolve(uri)
        if not is_local(place):
            return place != uri
        path = Path(unquote(urlsplit(place).path) if place.startswith("file:") else place)
        if not path.is_absolute() or not path.is_dir():
            return False
        if self._roots.is_given(uri):
            return True
        made_for_it = owner.id in path.parts if owner.kind != REGISTERED_MODEL else (path / _MODEL_FILE).is_file()
        return made_for_it and ".." not in path.parts

    def _list_on_server(self, owner: Owner, folder: str, listing: Listing, depth: int) -> None:
        try:
            _check_folder(folder, depth)
            entries = self._entries(owner, folder)
        except (ServerError, ArtifactUnreadableError) as exc:
            if isinstance(exc, ServerError) and exc.status is None:
                raise
            listing.gaps.append(owner.gap(folder, gap_codes.ARTIFACT_LISTING, str(exc)))
            return
        for path, is_folder, size in entries:
            if is_folder:
                self._list_on_server(owner, path, listing, depth + 1)
            else:
                listing.files.append(self.file(owner, path, size))

    def _entries(self, owner: Owner, folder: str) -> list[tuple[str, bool, int]]:
        """Return (path, is a folder, size in bytes) of what lies in a folder; a size of 0 is left out by the server."""
        root = proxy_root(owner.uri or "")
        answer: Any = None
        if root is not None:
            # The proxy does not look up the object for each folder, which makes it twice as fast.
            request = (PROXY_LIST, {"path": f"{root}/{folder}".strip("/")})
            with suppress(*([ServerError] if owner.list_folder is not None else [])):
                answer = self._session.get(*request)
        proxied = answer is not None
        if owner.list_folder is not None and not proxied:
            answer = self._session.get(*owner.list_folder(folder))
        try:
            entries = [
                (str(entry["path"]), bool(entry.get("is_dir")), int(entry.get("file_size") or 0))
                for entry in answer.get("files", [])
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            reason = f"the listing has an unexpected shape: {exc!r}"
            raise ArtifactUnreadableError(reason, code=gap_codes.ARTIFACT_LISTING) from exc
        if proxied:
            prefix = f"{folder}/" if folder else ""
            return [(prefix + path.rpartition("/")[2], is_folder, size) for path, is_folder, size in entries]
        strange = [path for path, _, _ in entries if path == folder or (folder and not path.startswith(folder + "/"))]
        if strange:
            reason = f"the server listed another folder: found {strange[:3]}, expected paths below {folder!r}"
            raise ArtifactUnreadableError(reason, code=gap_codes.ARTIFACT_LISTING)
        return entries

    @contextmanager
    def _fetch(self, owner: Owner, path: str, size: int | None) -> Iterator[BinaryIO]:
        """Download a file completely, then give it; it is deleted at the end."""
        if not survives(path) and "#" not in path:
            reason = f"MLflow's server decodes the name {path!r} to that of another file; use --artifact-map"
            raise ArtifactUnreadableError(reason, code=gap_codes.ARTIFACT_UNREADABLE)
        folder = None if self._folder is None else str(self._folder)
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=folder) as spool:
            target = cast(BinaryIO, spool)
            received = self._download(_places(owner, path), target)
            if size is not None and received != size:
                reason = f"{received} bytes came, the listing said {size}; it may have changed meanwhile"
                raise ArtifactUnreadableError(reason, code=gap_codes.ARTIFACT_SIZE)
            target.seek(0)
            yield target

    def _download(self, places: Sequence[Request], target: BinaryIO) -> int:
        reasons = []
        for path, params in places:
            try:
                return self._session.download(path, params, target)
            except ServerError as exc:
                reasons.append(str(exc))
                if exc.status is None:
                    break
            except OSError as exc:
                reasons.append(f"it cannot be held in a temporary file: {exc}")
                break
        raise ArtifactUnreadableError("; then ".join(reasons), code=gap_codes.ARTIFACT_UNREADABLE)


def _check_folder(folder: str, depth: int) -> None:
    """Refuse a folder that the server would not list, or not as itself."""
    reason = None
    if folder and not survives(folder):
        reason = f"MLflow's server takes the name {folder!r} for another one; use --artifact-map"
    if depth > _DEEPEST:
        reason = f"folders are nested more than {_DEEPEST} deep"
    if reason is not None:
        raise ArtifactUnreadableError(reason, code=gap_codes.ARTIFACT_LISTING)


def survives(path: str) -> bool:
    """Return whether MLflow's server takes a path as it is: it decodes paths again after HTTP has decoded them."""
    decoded = unquote(path)
    return decoded == path and urlunparse(urlparse(path)) == path and "#" not in path and path.isprintable()


def quoted(path: str) -> str:
    """Percent-encode a path for use in a URL; ``/`` stays."""
    return quote(path, safe="/")


def proxy_root(uri: str) -> str | None:
    """Return the path behind this server's artifact proxy, None where the URI is not of this server's proxy."""
    parts = urlsplit(uri)
    ours = parts.scheme == "mlflow-artifacts" and not parts.netloc and not parts.query and survives(parts.path)
    return parts.path.strip("/") if ours else None


def _places(owner: Owner, path: str) -> list[Request]:
    """Return the requests with which a file may be had, the best first."""
    root = proxy_root(owner.uri or "")
    proxied: list[Request] = [] if root is None else [(_PROXY + quoted(f"{root}/{path}".strip("/")), None)]
    return proxied if owner.get_file is None else [*proxied, owner.get_file(path)]
