"""From a tracking URI to the source that reads it.

The sources are imported only when they are needed: the one for servers brings MLflow and seconds of start-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.layout import MANIFEST, SINGLE_FILE_SUFFIX
from mlflow_archive.pipeline import Progress, Quiet, Source
from mlflow_archive.tracking.default_uri import DATABASE_SCHEMES, default_tracking_uri, scheme_of

_SQLITE_MAGIC = b"SQLite format 3\x00"


def locate_source(
    uri: str | None = None, *, artifact_map: Sequence[tuple[str, str]] = (), progress: Progress | None = None
) -> Source:
    """Return the source of a tracking URI; of None, what MLflow itself would use in the current folder.

    ``http(s)://`` is a server; ``file:`` and paths are file stores. Nothing is contacted yet. Raises SelectionError
    for URIs that name something which cannot be read.
    """
    progress = progress or Quiet()
    named = uri is not None
    uri = uri if uri is not None else default_tracking_uri(Path.cwd())
    scheme = scheme_of(uri)
    if scheme in ("http", "https"):
        from mlflow_archive.sources.rest import RestSource  # noqa: PLC0415
        from mlflow_archive.tracking.session import TrackingSession  # noqa: PLC0415

        session = TrackingSession(uri, on_retry=progress.note)
        return RestSource(session, artifact_map=artifact_map, progress=progress)
    if scheme in DATABASE_SCHEMES:
        raise SelectionError(_no_database(uri, scheme, named=named))
    if scheme not in ("", "file"):
        raise SelectionError(
            f"{scheme}: is no scheme that can be read; give http(s)://…, file:… or the path of an mlruns folder"
        )
    from mlflow_archive.sources.mlruns import MlrunsSource  # noqa: PLC0415

    return MlrunsSource(_store_folder(uri), artifact_map=artifact_map)


def _no_database(uri: str, scheme: str, *, named: bool) -> str:
    if not named and scheme == "sqlite" and not Path(uri.removeprefix("sqlite:///")).exists():
        return (
            "there is nothing to export here: no --from is given, MLFLOW_TRACKING_URI is not set, and this folder "
            "holds neither an mlruns store nor mlflow.db"
        )
    shown = uri if scheme == "sqlite" else f"{scheme}://…"
    return (
        f"{shown} is a database; database sources come later. Start `mlflow server --backend-store-uri …` on it and "
        "export with --from http://127.0.0.1:5000"
    )


def _store_folder(uri: str) -> Path:
    path = Path(uri)
    if uri.lower().startswith("file:"):
        parts = urlsplit(uri)
        if parts.netloc not in ("", "localhost"):
            raise SelectionError(
                f"{uri} names a file store on the host {parts.netloc!r}; give its path on this machine"
            )
        path = Path(unquote(parts.path))
    if path.is_file():
        if path.name.endswith(SINGLE_FILE_SUFFIX):
            raise SelectionError(f"{path} is an archive, no MLflow store; to have it twice, copy the file")
        with path.open("rb") as file:
            if file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC:
                raise SelectionError(_no_database(f"sqlite:///{path}", "sqlite", named=True))
    if (path / MANIFEST).is_file():
        raise SelectionError(f"{path} is an archive, no MLflow store; to have it twice, copy the folder")
    return path
