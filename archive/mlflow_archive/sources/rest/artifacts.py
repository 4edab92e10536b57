"""The artifacts of a run: what is there, what is declared, and the bytes.

Bytes come from where they can be had: a folder of this machine (named by ``--artifact-map``, or by the run's own
artifact URI where that folder exists), the server's artifact proxy, or the server's ``/get-artifact``.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote, unquote, urlparse, urlsplit, urlunparse

from mlflow_archive.errors import ServerError
from mlflow_archive.format import gaps
from mlflow_archive.format.location import without_password
from mlflow_archive.format.tables import RUN
from mlflow_archive.pipeline import ArtifactFile, ArtifactUnreadableError, Gap
from mlflow_archive.sources.rest.records import RunRecord, run_gap
from mlflow_archive.tracking.session import Params, TrackingSession

IN_MEMORY: Final = 4 << 20
"""Files up to this size are held in memory while they are on their way, in bytes."""

_LIST = "/api/2.0/mlflow/artifacts/list"
_PROXY = "/api/2.0/mlflow-artifacts/artifacts/"
_GET = "/get-artifact"
_DEEPEST = 100


@dataclass(slots=True, kw_only=True)
class Listing:
    """All artifact files of a run, and what could not be listed or is declared and missing."""

    files: list[ArtifactFile] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


class Artifacts:
    """Lists and opens the artifacts of runs of one server; used by several threads."""

    def __init__(
        self, session: TrackingSession, artifact_map: Sequence[tuple[str, str]], folder: Path | None = None
    ) -> None:
        self._session = session
        self._map = [(without_password(old).rstrip("/"), new.rstrip("/")) for old, new in artifact_map]
        self._folder = folder

    def of_run(self, run: RunRecord) -> Listing:
        """List the artifacts of a run."""
        listing = Listing()
        root = self._local_root(run.info["artifact_uri"])
        if root is not None:
            _list_folder(run.run_id, root, listing)
        else:
            self._list_on_server(run, "", listing, 0)
        if not any(gap.code == gaps.ARTIFACT_LISTING for gap in listing.gaps):
            listing.gaps += _missing(run, [file.path for file in listing.files])
        return listing

    def _local_root(self, uri: str | None) -> Path | None:
        """Return the folder of this machine that holds the artifacts of a run, or None."""
        if not uri:
            return None
        for old, new in self._map:
            if uri == old or uri.startswith(old + "/"):
                uri = new + uri[len(old) :]
                break
        parts = urlsplit(uri)
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            path = Path(unquote(parts.path))
        elif parts.scheme == "" and uri.startswith("/"):
            path = Path(uri)
        else:
            return None
        return path if path.is_dir() else None

    def _list_on_server(self, run: RunRecord, folder: str, listing: Listing, depth: int) -> None:
        try:
            _check_folder(folder, depth)
            entries = self._entries(run, folder)
        except (ServerError, ArtifactUnreadableError) as exc:
            if isinstance(exc, ServerError) and exc.status is None:
                raise
            listing.gaps.append(run_gap(run.run_id, folder, gaps.ARTIFACT_LISTING, str(exc)))
            return
        for path, is_folder, size in entries:
            if is_folder:
                self._list_on_server(run, path, listing, depth + 1)
            else:
                fetch = partial(self._fetch, run.run_id, run.info["artifact_uri"] or "", path, size)
                listing.files.append(_file(run.run_id, path, size, fetch))

    def _entries(self, run: RunRecord, folder: str) -> list[tuple[str, bool, int]]:
        """Return (path, is a folder, size in bytes) of what lies in a folder; a size of 0 is left out by the server."""
        root = _proxy_root(run.info["artifact_uri"] or "")
        answer: Any = None
        if root is not None:
            # The proxy does not look up the run for each folder, which makes it twice as fast.
            with suppress(ServerError):
                answer = self._session.get(_PROXY.rstrip("/"), {"path": f"{root}/{folder}".strip("/")})
        proxied = answer is not None
        if not proxied:
            answer = self._session.get(_LIST, {"run_id": run.run_id, **({"path": folder} if folder else {})})
        try:
            entries = [
                (str(entry["path"]), bool(entry.get("is_dir")), int(entry.get("file_size") or 0))
                for entry in answer.get("files", [])
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            reason = f"the listing has an unexpected shape: {exc!r}"
            raise ArtifactUnreadableError(reason, code=gaps.ARTIFACT_LISTING) from exc
        if proxied:
            prefix = f"{folder}/" if folder else ""
            return [(prefix + path.rpartition("/")[2], is_folder, size) for path, is_folder, size in entries]
        strange = [path for path, _, _ in entries if path == folder or (folder and not path.startswith(folder + "/"))]
        if strange:
            reason = f"the server listed another folder: found {strange[:3]}, expected paths below {folder!r}"
            raise ArtifactUnreadableError(reason, code=gaps.ARTIFACT_LISTING)
        return entries

    @contextmanager
    def _fetch(self, run_id: str, uri: str, path: str, size: int) -> Iterator[BinaryIO]:
        """Download a file completely, then give it; it is deleted at the end."""
        if not survives(path) and "#" not in path:
            reason = f"MLflow's server decodes the name {path!r} to that of another file; use --artifact-map"
            raise ArtifactUnreadableError(reason, code=gaps.ARTIFACT_UNREADABLE)
        folder = None if self._folder is None else str(self._folder)
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=folder) as spool:
            target = cast(BinaryIO, spool)
            received = self._download(_places(run_id, uri, path), target)
            if received != size:
                reason = f"{received} bytes came, the listing said {size}; it may have changed meanwhile"
                raise ArtifactUnreadableError(reason, code=gaps.ARTIFACT_SIZE)
            target.seek(0)
            yield target

    def _download(self, places: Sequence[tuple[str, Params | None]], target: BinaryIO) -> int:
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
        raise ArtifactUnreadableError("; then ".join(reasons), code=gaps.ARTIFACT_UNREADABLE)


def _check_folder(folder: str, depth: int) -> None:
    """Refuse a folder that the server would not list, or not as itself."""
    reason = None
    if folder and not survives(folder):
        reason = f"MLflow's server takes the name {folder!r} for another one; use --artifact-map"
    if depth > _DEEPEST:
        reason = f"folders are nested more than {_DEEPEST} deep"
    if reason is not None:
        raise ArtifactUnreadableError(reason, code=gaps.ARTIFACT_LISTING)


def survives(path: str) -> bool:
    """Say whether MLflow's server takes a path as it is: it decodes paths again after HTTP has decoded them."""
    decoded = unquote(path)
    return decoded == path and urlunparse(urlparse(path)) == path and "#" not in path and path.isprintable()


def quoted(path: str) -> str:
    """Percent-encode a path for use in a URL; ``/`` stays."""
    return quote(path, safe="/")


def _places(run_id: str, uri: str, path: str) -> list[tuple[str, Params | None]]:
    root = _proxy_root(uri)
    through_run: tuple[str, Params | None] = (_GET, {"run_uuid": run_id, "path": path})
    if root is None:
        return [through_run]
    return [(_PROXY + quoted(f"{root}/{path}".strip("/")), None), through_run]


def _proxy_root(uri: str) -> str | None:
    """Return the path behind this server's artifact proxy, None where the URI is not of this server's proxy."""
    parts = urlsplit(uri)
    ours = parts.scheme == "mlflow-artifacts" and not parts.netloc and not parts.query and survives(parts.path)
    return parts.path.strip("/") if ours else None


def _file(run_id: str, path: str, size: int, give: Callable[[], AbstractContextManager[BinaryIO]]) -> ArtifactFile:
    return ArtifactFile(owner_kind=RUN, owner_id=run_id, path=path, size=size, open=give)


def _list_folder(run_id: str, root: Path, listing: Listing) -> None:
    """List a folder of this machine; links are followed, as MLflow does, but never in circles."""
    above: list[tuple[Path, tuple[str, ...]]] = [(root, ())]
    while above:
        folder, parents = above.pop()
        shown = folder.relative_to(root).as_posix() if folder != root else ""
        real = os.path.realpath(folder)
        try:
            entries = [] if real in parents else sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as exc:
            listing.gaps.append(run_gap(run_id, shown, gaps.ARTIFACT_LISTING, f"{folder}: {exc}"))
            continue
        if real in parents:
            reason = f"{folder} is a link that leads back to a folder above it"
            listing.gaps.append(run_gap(run_id, shown, gaps.ARTIFACT_LISTING, reason))
        for entry in entries:
            path = f"{shown}/{entry.name}" if shown else entry.name
            if entry.is_dir():
                above.append((Path(entry.path), (*parents, real)))
            else:
                _list_file(run_id, path, entry, listing)


def _list_file(run_id: str, path: str, entry: os.DirEntry[str], listing: Listing) -> None:
    try:
        path.encode("utf-8")
        size = entry.stat().st_size
    except UnicodeEncodeError:
        listing.gaps.append(run_gap(run_id, path, gaps.ARTIFACT_NAME, "its name is not UTF-8"))
    except OSError as exc:
        listing.gaps.append(run_gap(run_id, path, gaps.ARTIFACT_UNREADABLE, str(exc)))
    else:
        listing.files.append(_file(run_id, path, size, partial(_open_local, Path(entry.path), size)))


@contextmanager
def _open_local(path: Path, size: int) -> Iterator[BinaryIO]:
    try:
        if not path.is_file():
            raise ArtifactUnreadableError(f"{path} is no regular file", code=gaps.ARTIFACT_UNREADABLE)
        stream = path.open("rb")
    except OSError as exc:
        raise ArtifactUnreadableError(str(exc), code=gaps.ARTIFACT_UNREADABLE) from exc
    with stream:
        found = os.fstat(stream.fileno()).st_size
        if found != size:
            reason = f"{path} has {found} bytes now, it had {size} when it was listed"
            raise ArtifactUnreadableError(reason, code=gaps.ARTIFACT_SIZE)
        yield stream


def _missing(run: RunRecord, paths: Sequence[str]) -> list[Gap]:
    """Return a gap for each model that ``mlflow.log-model.history`` declares and that is not there."""
    found = []
    for declared in _declared(run.tags.get("mlflow.log-model.history")):
        if not any(path == declared or path.startswith(declared + "/") for path in paths) and not (
            declared in ("", ".") and paths
        ):
            reason = "mlflow.log-model.history declares it, but nothing is listed there"
            found.append(run_gap(run.run_id, declared, gaps.ARTIFACT_MISSING, reason))
    return found


def _declared(history: str | None) -> list[str]:
    """Return the artifact paths in the tag; entries of MLflow 3 with a model id live outside the run."""
    try:
        entries: Any = json.loads(history or "[]")
        declared = [str(entry["artifact_path"]).strip("/") for entry in entries if not entry.get("model_id")]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []  # not MLflow's; the tag itself is carried as it is
    return list(dict.fromkeys(declared))
