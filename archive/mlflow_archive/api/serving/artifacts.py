"""MLflow's view of the artifacts in an archive: its artifact repository for ``mlflow-archive:`` (an entry point)."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST
from mlflow.store.artifact.artifact_repo import ArtifactRepository

from mlflow_archive.api.artifact_tree import ArtifactFolder, StoredArtifact, artifacts_of
from mlflow_archive.api.serving.location import ArtifactAddress, State, address_of, state_of
from mlflow_archive.kinds import REGISTERED_MODEL, TABLES
from mlflow_archive.reader.archive import Archive, open_archive, owner_ids
from mlflow_archive.sinks.restore.locations import safe_name


@lru_cache(maxsize=16)
def _opened(state: State) -> Archive:
    """Return an archive that stays open for as long as the process lives."""
    return open_archive(state.path, at=state.at)


def hold_open(state: State) -> None:
    """Open an archive now, so that its artifacts are read from this very file even if another takes its name."""
    _opened(state)


@lru_cache(maxsize=256)
def _tree(state: State, kind: str, owner: str) -> ArtifactFolder:
    archive = _opened(state)
    if kind == REGISTERED_MODEL:
        table = TABLES["registered_models"]
        names = owner_ids(archive.table(table.name), table).to_pylist()
        owner = next((name for name in names if safe_name(name) == owner), owner)
    return artifacts_of(archive, kind, owner)


class ArchiveArtifactRepository(ArtifactRepository):  # type: ignore[misc] # MLflow is untyped here
    """Reads the artifacts below one URI; everything that would write is refused."""

    def __init__(self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        self._uri = artifact_uri.rstrip("/")
        self._archive = state_of(artifact_uri)

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """List one folder; a file has nothing below it. Paths are relative to the URI of this repository."""
        entry = self._entry(path or "")
        if not isinstance(entry, ArtifactFolder):
            return []
        prefix = f"{path.strip('/')}/" if path and path.strip("/") else ""
        return [_info(f"{prefix}{name}", entry[name]) for name in entry]

    def _entry(self, path: str) -> StoredArtifact | ArtifactFolder | None:
        uri = f"{self._uri}/{path.strip('/')}" if path.strip("/") else self._uri
        place: ArtifactAddress | None = address_of(uri)
        if place is None:
            return None
        tree = _tree(self._archive, place.kind, place.owner)
        if not place.path:
            return tree
        try:
            return tree[place.path]
        except KeyError:
            return None

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        entry = self._entry(remote_file_path)
        if not isinstance(entry, StoredArtifact):
            message = f"{self._archive.path} holds no artifact {remote_file_path!r} below {self._uri}"
            raise MlflowException(message, error_code=RESOURCE_DOES_NOT_EXIST)
        with entry.open() as source, Path(local_path).open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> NoReturn:
        """Refuse: an archive is read-only."""
        self._refuse()

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> NoReturn:
        """Refuse: an archive is read-only."""
        self._refuse()

    def delete_artifacts(self, artifact_path: str | None = None) -> NoReturn:
        """Refuse: an archive is read-only."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise MlflowException(
            f"{self._archive.path} is an archive and cannot be written to", error_code=PERMISSION_DENIED
        )


def _info(path: str, entry: Any) -> FileInfo:
    if isinstance(entry, StoredArtifact):
        return FileInfo(path, False, entry.size)
    return FileInfo(path, True, None)
