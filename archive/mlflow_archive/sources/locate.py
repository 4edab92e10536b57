"""From a tracking URI to the source that reads it.

The sources are imported only when they are needed: each brings drivers, and the one for databases those of an extra.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.flow.source import SharedSource
from mlflow_archive.format.layout import MANIFEST, SINGLE_FILE_SUFFIX
from mlflow_archive.http.default_uri import DATABASE_SCHEMES, default_tracking_uri, holds_experiments, scheme_of
from mlflow_archive.optional import needing
from mlflow_archive.sources.reading.file_kinds import fault_of

_EXIM = "exim"
_DATABRICKS = "databricks"
_SHOWN = 3
_META = "meta.yaml"
_DATABASE = "mlflow.db"
_SQLITE_MAGIC = b"SQLite format 3\x00"
_NOTHING_HERE = (
    "there is nothing to export here: no --from is given, MLFLOW_TRACKING_URI is not set, and this folder "
    "holds neither an mlruns store nor mlflow.db"
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SourceAt:
    """What opens a source to write an archive of, also in another process; plain data.

    The URI may hold a password: it is never shown.
    """

    uri: str
    artifact_map: tuple[tuple[str, str], ...] = ()
    artifacts_destination: str | None = None

    def open(self, progress: Progress) -> SharedSource:
        """Return a new source. Raises what :func:`locate_source` does."""
        return locate_source(
            self.uri,
            artifact_map=self.artifact_map,
            artifacts_destination=self.artifacts_destination,
            progress=progress,
            coded=True,
        )


def absolute_uri(uri: str | None) -> str:
    """Return a tracking URI that means the same in any folder; of None, what MLflow itself would use in this one."""
    uri = _default_uri() if uri is None else uri
    scheme = scheme_of(uri)
    if scheme == _EXIM and len(uri) > len(_EXIM) + 1:
        return f"{_EXIM}:{Path(uri[len(_EXIM) + 1 :]).absolute()}"
    return str(Path(uri).absolute()) if scheme == "" and not uri.startswith(_DATABRICKS) else uri


def locate_source(
    uri: str | None = None,
    *,
    artifact_map: Sequence[tuple[str, str]] = (),
    artifacts_destination: str | None = None,
    progress: Progress | None = None,
    coded: bool = False,
) -> SharedSource:
    """Return the source of a tracking URI; of None, what MLflow itself would use in the current folder.

    ``http(s)://`` is a server; ``sqlite:``, ``postgresql:`` and ``mysql:`` are backend databases, and so is the path of
    a SQLite file; ``exim:`` is before the path of a folder of mlflow-export-import; ``file:`` and other paths are file
    stores. Nothing is contacted yet. Raises SelectionError for URIs that name something which cannot be read.
    ``coded`` is for who writes an archive; it concerns databases (see ``DatabaseSource``).
    """
    progress = progress or Quiet()
    uri = _default_uri() if uri is None else uri
    scheme = scheme_of(uri)
    if scheme in ("http", "https"):
        from mlflow_archive.http.session import TrackingSession  # noqa: PLC0415
        from mlflow_archive.sources.rest import RestSource  # noqa: PLC0415

        session = TrackingSession(uri, on_retry=progress.note)
        return RestSource(session, artifact_map=artifact_map, progress=progress)
    if scheme in (*DATABASE_SCHEMES, "postgres", "mariadb"):
        return _database(uri, artifact_map, artifacts_destination, progress, coded)
    if scheme == _EXIM:
        return _exim(uri[len(_EXIM) + 1 :], artifact_map)
    path = _store_path(uri, scheme)
    if _is_sqlite(path):
        return _database(f"sqlite:///{path.absolute()}", artifact_map, artifacts_destination, progress, coded)
    from mlflow_archive.sources.mlruns import MlrunsSource  # noqa: PLC0415

    return MlrunsSource(path, artifact_map=artifact_map)


def _default_uri() -> str:
    """Return what MLflow itself would use in the current folder. Raises SelectionError where nothing is there."""
    uri = default_tracking_uri(Path.cwd())
    if scheme_of(uri) == "sqlite" and not Path(uri.removeprefix("sqlite:///")).exists():
        raise SelectionError(_NOTHING_HERE)
    return uri


def _exim(folder: str, artifact_map: Sequence[tuple[str, str]]) -> SharedSource:
    from mlflow_archive.sources.exim import EximSource  # noqa: PLC0415

    if not folder:
        raise SelectionError("exim: names no folder; give exim:DIR, the folder that mlflow-export-import wrote")
    if artifact_map:
        raise SelectionError("--artifact-map is of no use with exim:, as the artifacts lie in that folder")
    return EximSource(Path(folder))


def _database(
    uri: str,
    artifact_map: Sequence[tuple[str, str]],
    artifacts_destination: str | None,
    progress: Progress,
    coded: bool,
) -> SharedSource:
    from mlflow_archive.artifact_roots import ArtifactRoots  # noqa: PLC0415

    with needing("database", "reading a database"):
        from mlflow_archive.mlflow_database.uris import parse_database_uri  # noqa: PLC0415
        from mlflow_archive.sources.database import DatabaseSource  # noqa: PLC0415

    parsed = parse_database_uri(uri)
    base = None if parsed.path is None else parsed.path.absolute().parent
    roots = ArtifactRoots(artifact_map=artifact_map, artifacts_destination=artifacts_destination, base=base)
    return DatabaseSource(parsed, roots=roots, progress=progress, coded=coded)


def _store_path(uri: str, scheme: str) -> Path:
    """Return the folder or file that a URI names. Raises SelectionError where it cannot be a store."""
    if scheme.startswith(_DATABRICKS) or uri in (_DATABRICKS, f"{_DATABRICKS}-uc"):
        raise SelectionError(
            f"{uri} is MLflow's word for a Databricks workspace, whose profiles are not read here; give the "
            "workspace's URL, https://HOST, and its token in MLFLOW_TRACKING_TOKEN"
        )
    if scheme not in ("", "file"):
        raise SelectionError(
            f"{scheme}: is no scheme that can be read; give http(s)://…, file:…, exim:… or the path of an mlruns folder"
        )
    path = _path_of(uri)
    _check_store(path)
    return path


def _check_store(path: Path) -> None:
    """Raise SelectionError for a folder or file that is clearly something else than a store."""
    from mlflow_archive.sources.exim.layout import looks_exported  # noqa: PLC0415

    if looks_exported(path):
        raise SelectionError(f"{path} is a folder of mlflow-export-import, no MLflow store; give exim:{path}")
    if path.name.endswith(SINGLE_FILE_SUFFIX) and path.is_file():
        raise SelectionError(f"{path} is an archive, no MLflow store; to have it twice, copy the file")
    if path.is_file() and (fault := fault_of(path)):
        raise SelectionError(f"{path} {fault}")
    if stores := _stores_in(path):
        raise SelectionError(f"{path} is a folder above a store, not one; give {' or '.join(stores[:_SHOWN])}")
    if (path / MANIFEST).is_file():
        raise SelectionError(f"{path} is an archive, no MLflow store; to have it twice, copy the folder")


def _path_of(uri: str) -> Path:
    if uri.lower().startswith("file:"):
        parts = urlsplit(uri)
        if parts.netloc not in ("", "localhost"):
            raise SelectionError(
                f"{uri} names a file store on the host {parts.netloc!r}; give its path on this machine"
            )
        return Path(unquote(parts.path))
    return Path(uri)


def _stores_in(path: Path) -> list[str]:
    """Return the stores in a folder that is none itself; a folder with a meta.yaml in it makes it one."""
    try:
        folders = sorted(entry for entry in path.iterdir() if entry.is_dir())
    except OSError:
        return []  # said by who reads it
    if any(os.path.lexists(folder / _META) for folder in folders):
        return []
    stores = [str(folder) for folder in folders if holds_experiments(folder)]
    return [*stores, *([f"sqlite:///{path / _DATABASE}"] if _is_sqlite(path / _DATABASE) else [])]


def _is_sqlite(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
