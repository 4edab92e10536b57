"""Places for artifacts: a folder on this machine, a server's proxy, or whatever MLflow itself can write to.

Names come from an archive and are data: one function says which can be joined to a root, and each place keeps a
name exactly or refuses it.
"""

from __future__ import annotations

import errno
import os
import posixpath
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urlparse, urlunparse

from mlflow_archive.errors import ItemError, MissingExtraError, MlflowArchiveError, ServerError, TargetError
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.optional import needing
from mlflow_archive.sinks.replay.writing.signed_uploads import is_refused_here, put_in_parts

_PROXY = "/api/2.0/mlflow-artifacts/artifacts/"
_PIECE = 1 << 20
_MOST_DECODINGS = 10


class ArtifactNameError(ItemError):
    """The path of an artifact cannot be kept as it is."""


def safe_parts(path: str) -> tuple[str, ...]:
    """Split an artifact path into names. Raises ItemError for one that leaves its root or is not a path."""
    parts = tuple(path.split("/"))
    if not path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        message = f"artifact path {path!r} is empty, absolute or leaves its folder; it is not written"
        raise ArtifactNameError(message)
    return parts


def local_root(uri: str) -> Path | None:
    """Return the folder that an artifact URI names on this machine, or None where it is not a local one."""
    if uri.startswith("file:"):
        parsed = urlparse(uri)
        return Path(unquote(parsed.path)) if parsed.netloc in ("", "localhost") else None
    return None if "://" in uri or uri.startswith(("mlflow-artifacts:", "dbfs:")) else Path(uri)


class LocalPlace:
    """A folder on this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def sizes(self) -> Mapping[str, int]:
        sizes = {}
        for folder, _, names in os.walk(self._root):
            for name in names:
                file = Path(folder, name)
                sizes[file.relative_to(self._root).as_posix()] = file.lstat().st_size
        return sizes

    def put(self, path: str, data: BinaryIO, size: int) -> None:
        target = self._root.joinpath(*safe_parts(path))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.parent.resolve().is_relative_to(self._root.resolve()):
                message = f"artifact path {path!r} leads out of {self._root} through a link there; it is not written"
                raise ArtifactNameError(message)
            part = target.parent / f".{secrets.token_hex(8)}.part"
            try:
                with part.open("xb") as file:
                    shutil.copyfileobj(data, file, _PIECE)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
        except OSError as exc:
            raise _explained(exc, path, self._root) from exc


def _explained(exc: OSError, path: str, root: Path) -> MlflowArchiveError:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
        return TargetError(f"cannot write artifacts below {root}: {exc.strerror}; make room or permit it and run again")
    return ItemError(f"cannot write artifact {path!r} below {root}: {exc.strerror}")


class ProxyPlace:
    """A folder of artifacts behind a tracking server that serves them itself; ``uri`` is ``mlflow-artifacts:/…``.

    ``is_neighbour`` says that ``session`` is with a server beside the target, which ``uri`` names.
    """

    def __init__(self, session: TrackingSession, uri: str, *, is_neighbour: bool = False) -> None:
        self._session, self._is_neighbour = session, is_neighbour
        self._root = urlparse(uri).path.strip("/")

    def sizes(self) -> Mapping[str, int]:
        with self._naming_server():
            return dict(self._listed(""))

    def _listed(self, folder: str) -> Iterator[tuple[str, int]]:
        answer: dict[str, Any] = self._session.get(
            _PROXY.rstrip("/"), {"path": posixpath.join(self._root, folder).strip("/")}
        )
        for entry in answer.get("files", []):
            path = posixpath.join(folder, entry["path"].rpartition("/")[2])
            if entry.get("is_dir"):
                yield from self._listed(path)
            else:
                yield path, int(entry.get("file_size", 0))

    def put(self, path: str, data: BinaryIO, size: int) -> None:
        safe_parts(path)
        full = posixpath.join(self._root, path)
        if _as_server_stores(full) != full:
            message = (
                f"artifact path {path!r} cannot be sent through {self._session.uri}: the server decodes names again "
                "and would store it under another; import where the artifact folder can be reached to keep it"
            )
            raise ArtifactNameError(message)
        start = data.tell()
        with self._naming_server():
            try:
                self._session.put(_PROXY + quote(full), data, size=size)
            except ServerError as exc:
                if not is_refused_here(exc):
                    raise
                data.seek(start)
                put_in_parts(self._session, full, data, size, exc)

    @contextmanager
    def _naming_server(self) -> Iterator[None]:
        """Have a server beside the target that does not answer, or not to us, refuse artifacts, not end the import."""
        try:
            yield
        except ServerError as exc:
            if not self._is_neighbour:
                raise
            message = f"the target keeps artifacts behind another server, {self._session.uri}: {exc}"
            raise ItemError(message) from exc


def _as_server_stores(path: str) -> str | None:
    """Return the path under which MLflow's server stores what is sent as ``path``, None where it refuses it."""
    if "#" in path or any(ord(char) < 32 or ord(char) == 127 for char in path):
        return None
    for _ in range(_MOST_DECODINGS):
        try:
            decoded = urlunparse(urlparse(unquote(path)))
        except ValueError:
            return None
        if decoded == path:
            return path
        path = decoded
    return None


class RepositoryPlace:
    """Whatever MLflow has an artifact repository for: s3, gs, abfss, ..."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        try:
            with needing("mlflow", f"writing to {uri}"):  # MLflow's own drivers take seconds to import
                from mlflow.exceptions import MlflowException  # noqa: PLC0415
                from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: PLC0415
        except MissingExtraError as exc:
            raise ItemError(str(exc)) from exc
        try:
            self._repository = get_artifact_repository(uri)
        except (MlflowException, ImportError) as exc:
            message = f"artifacts cannot be written to {uri} from here: {exc}"
            raise ItemError(message) from exc

    def sizes(self) -> Mapping[str, int]:
        try:
            return dict(self._listed(None))
        except Exception as exc:  # each driver has errors of its own
            raise ItemError(f"artifacts in {self._uri} could not be listed: {exc}") from exc

    def _listed(self, folder: str | None) -> Iterator[tuple[str, int]]:
        for entry in self._repository.list_artifacts(folder):
            if entry.is_dir:
                yield from self._listed(entry.path)
            else:
                yield entry.path, int(entry.file_size or 0)

    def put(self, path: str, data: BinaryIO, size: int) -> None:
        *folders, name = safe_parts(path)
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary, name)
            try:
                with file.open("wb") as copy:
                    shutil.copyfileobj(data, copy, _PIECE)
                self._repository.log_artifact(str(file), "/".join(folders) or None)
            except Exception as exc:  # each driver has errors of its own
                message = f"artifact {path!r} could not be written to {self._uri}: {exc}"
                raise ItemError(message) from exc
