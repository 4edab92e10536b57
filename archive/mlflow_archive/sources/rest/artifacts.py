"""The artifact files of an object: what is there, and the bytes.

Bytes come from where they can be had: a folder or object store that is reached from here (named by
``--artifact-map``, or by the object's own artifact URI), the server's artifact proxy, or the endpoint with which the
server itself gives files of such an object.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import unquote, urlsplit

from mlflow_archive.artifact_roots import ArtifactRoots, Listing
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
from mlflow_archive.artifact_roots.roots import is_local
from mlflow_archive.artifact_roots.server import is_in_dbfs
from mlflow_archive.artifact_roots.store import too_deep
from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import ArtifactFile, ArtifactUnreadableError, Gap
from mlflow_archive.format import gaps as gap_codes
from mlflow_archive.format.location import without_password
from mlflow_archive.http.refusals import check_answered
from mlflow_archive.http.session import Params, TrackingSession
from mlflow_archive.kinds import REGISTERED_MODEL

_PROXY = PROXY_LIST + "/"
_SIGNED = "/api/2.0/mlflow-artifacts/presigned/"
_MODEL_FILE = "MLmodel"

_T = TypeVar("_T")

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
        self._roots = ArtifactRoots(artifact_map=artifact_map, tracking=session)
        self._folder = folder
        self._neighbours: dict[tuple[str, str | None], TrackingSession | str] = {}
        """Servers that keep artifacts of this one, by host and workspace: sessions, or why they are out of reach."""

    def close(self) -> None:
        """Close the sessions with other servers."""
        for neighbour in self._neighbours.values():
            if isinstance(neighbour, TrackingSession) and neighbour is not self._session:
                neighbour.close()

    def within(self, session: TrackingSession) -> Artifacts:
        """Return the same with another session, for another workspace of the server."""
        artifacts = Artifacts(session, (), self._folder)
        artifacts._roots, artifacts._neighbours = self._roots, self._neighbours
        return artifacts

    def check(self) -> None:
        """Raise SelectionError if a map leads to a folder that does not exist."""
        self._roots.check()

    def of(self, owner: Owner) -> Listing:
        """List the artifacts of an object."""
        uri = owner.uri or ""
        if uri and self._is_reached_from_here(owner):
            return self._roots.list(uri, owner_kind=owner.kind, owner_id=owner.id)
        if owner.list_folder is None and proxy_root(uri) is None and not _other_server(uri):
            return self._elsewhere(owner, uri)
        listing = Listing()
        self._list_on_server(owner, "", listing, 0)
        return listing

    def is_empty(self, owner: Owner) -> bool:
        """Return whether an object surely has no artifacts; looks only at the top folder."""
        uri = owner.uri or ""
        behind_server = owner.list_folder is not None or proxy_root(uri) is not None or _other_server(uri)
        if self._is_reached_from_here(owner) or not behind_server:
            return self.of(owner).is_empty
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
            answer = whole_list(self._session, PROXY_LIST, {"path": root}, refusals_are_final=True)
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
            return place != uri or is_in_dbfs(place)
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

    def _entries(self, owner: Owner, folder: str) -> list[ListedEntry]:
        """Return what lies in a folder."""
        answer = self._asked_proxy(owner, folder)
        if answer is not None or owner.list_folder is None:
            prefix = f"{folder}/" if folder else ""
            return [entry._replace(path=prefix + entry.path.rpartition("/")[2]) for entry in entries_in(answer)]
        entries = entries_in(whole_list(self._session, *owner.list_folder(folder)))
        host = _other_server(owner.uri or "")
        if host and not folder and not entries:
            refused = self._neighbours.get((host, self._session.workspace))
            why = refused if isinstance(refused, str) else "it refuses to list them"
            reason = f"they lie behind another server, {host}: {why}; if they are elsewhere now, use --artifact-map"
            raise ArtifactUnreadableError(reason, code=gap_codes.ARTIFACT_LISTING)
        below = f"{folder}/" if folder else ""
        strange = [path for path, _, _ in entries if path == folder or not path.startswith(below)]
        if strange:
            reason = f"the server listed another folder: found {strange[:3]}, expected paths below {folder!r}"
            raise ArtifactUnreadableError(reason, code=gap_codes.ARTIFACT_LISTING)
        return entries

    def _asked_proxy(self, owner: Owner, folder: str) -> Any:
        """Return what the proxy says that has the artifacts, None where there is none or another way is left."""
        uri = owner.uri or ""
        host = _other_server(uri)
        root = urlsplit(uri).path.strip("/") if host else proxy_root(uri)
        if root is None:
            return None
        # The proxy does not look up the object for each folder, which makes it twice as fast.
        ask = partial(whole_list, path=PROXY_LIST, params={"path": f"{root}/{folder}".strip("/")})
        try:
            return ask(self._session) if not host else self._with(host, ask)
        except (ServerError, ArtifactUnreadableError):
            if owner.list_folder is None:
                raise
            return None

    def _with(self, host: str, ask: Callable[[TrackingSession], _T]) -> _T:
        """Ask another server that keeps artifacts of this one. Raises ArtifactUnreadableError where that fails."""
        key = (host, self._session.workspace)
        neighbour = self._neighbours.get(key)
        if neighbour is None:
            neighbour = self._neighbours.setdefault(key, self._session.beside(host))
        if neighbour is self._session:
            return ask(self._session)
        where = (
            f"it lies behind another server, {host}, which cannot be asked; if it is elsewhere now, use --artifact-map"
        )
        if isinstance(neighbour, str):
            raise ArtifactUnreadableError(f"{where}: {neighbour}", code=gap_codes.ARTIFACT_LISTING)
        try:
            return ask(neighbour)
        except ServerError as exc:
            if exc.status is None:
                self._neighbours[key] = str(exc)  # so that it is not waited for again and again
            raise ArtifactUnreadableError(f"{where}: {exc}", code=gap_codes.ARTIFACT_LISTING) from exc

    @contextmanager
    def _fetch(self, owner: Owner, path: str, size: int | None) -> Iterator[BinaryIO]:
        """Download a file completely, then give it; it is deleted at the end."""
        if not survives(path) and "#" not in path:
            reason = f"MLflow's server decodes the name {path!r} to that of another file; use --artifact-map"
            raise ArtifactUnreadableError(reason, code=gap_codes.ARTIFACT_UNREADABLE)
        folder = None if self._folder is None else str(self._folder)
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=folder) as spool:
            target = cast(BinaryIO, spool)
            received = self._download(owner, path, target, size)
            if size is not None and received != size:
                reason = f"{received} bytes came, the listing said {size}; it may have changed meanwhile"
                raise ArtifactUnreadableError(reason, code=gap_codes.ARTIFACT_SIZE)
            target.seek(0)
            yield target

    def _download(self, owner: Owner, path: str, target: BinaryIO, size: int | None) -> int:
        reasons = []
        try:
            if host := _other_server(owner.uri or ""):
                whole = _PROXY + quoted(f"{urlsplit(owner.uri or '').path.strip('/')}/{path}".strip("/"))
                try:
                    return self._with(host, lambda neighbour: download_whole(neighbour, whole, None, target, size))
                except ArtifactUnreadableError as exc:
                    reasons.append(str(exc))
            for request, params in _places(owner, path):
                try:
                    return download_whole(self._session, request, params, target, size)
                except ServerError as exc:
                    reasons.append(str(exc))
                    if exc.status is None:
                        break
                    if request.startswith(_PROXY) and exc.status != HTTPStatus.NOT_FOUND:
                        signed = self._download_signed(_SIGNED + request.removeprefix(_PROXY), target)
                        if signed is not None:
                            return signed
        except OSError as exc:
            reasons.append(f"it cannot be held in a temporary file: {exc}")
        raise ArtifactUnreadableError("; then ".join(reasons), code=gap_codes.ARTIFACT_UNREADABLE)

    def _download_signed(self, request: str, target: BinaryIO) -> int | None:
        """Download a file that the server does not give itself, from where it says; None where it does not say.

        Servers may be set up so that files go between their object store and the client only.
        """
        try:
            answer = self._session.get(request, refusals_are_final=True)
            return self._session.download_signed(str(answer["url"]), answer.get("headers") or {}, target)
        except (ServerError, KeyError, TypeError, AttributeError):
            return None  # why it does not give it is told already


def _check_folder(folder: str, depth: int) -> None:
    """Refuse a folder that the server would not list, or not as itself."""
    reason = None
    if folder and not survives(folder):
        reason = f"MLflow's server takes the name {folder!r} for another one; use --artifact-map"
    if unlisted := too_deep(folder, depth):
        reason = unlisted.reason
    if reason is not None:
        raise ArtifactUnreadableError(reason, code=gap_codes.ARTIFACT_LISTING)


def proxy_root(uri: str) -> str | None:
    """Return the path behind this server's artifact proxy, None where the URI is not of this server's proxy."""
    parts = urlsplit(uri)
    ours = parts.scheme == "mlflow-artifacts" and not parts.netloc and not parts.query and survives(parts.path)
    return parts.path.strip("/") if ours else None


def _other_server(uri: str) -> str:
    """Return host and port of the server that a URI names as keeping the artifacts; empty where it names none.

    It may be the server that is read.
    """
    parts = urlsplit(uri)
    known = parts.scheme == "mlflow-artifacts" and not parts.query and survives(parts.path)
    return parts.netloc.rpartition("@")[2] if known else ""


def _places(owner: Owner, path: str) -> list[Request]:
    """Return the requests with which a file may be had, the best first."""
    root = proxy_root(owner.uri or "")
    proxied: list[Request] = [] if root is None else [(_PROXY + quoted(f"{root}/{path}".strip("/")), None)]
    return proxied if owner.get_file is None else [*proxied, owner.get_file(path)]
