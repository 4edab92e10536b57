"""Files of registered models' versions that lie under no run and no logged model of the store that comes.

Those that do are carried with the run or logged model. A store cannot point an export at other files: a location is
only followed through the artifact map, or to a folder that is a model (holds a file MLmodel).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote

from mlflow_archive.artifact_roots.local import list_files
from mlflow_archive.format.gaps import ARTIFACT_LISTING, ARTIFACT_MISSING
from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns.index import StoreIndex
from mlflow_archive.sources.mlruns.layout import ARTIFACTS, holds_files
from mlflow_archive.sources.mlruns.location import ArtifactPlaces, local_path
from mlflow_archive.sources.mlruns.meta import Meta
from mlflow_archive.sources.reading.records import Entity

_MLMODEL: Final = "MLmodel"
_DELETED: Final = "Deleted_Internal"


Carries = Callable[[str, Collection[str]], Collection[str]]
"""Given a kind and ids, returns those that come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFiles:
    """Adds the files of versions to their registered model, below the version's number."""

    entity: Entity
    index: StoreIndex
    places: ArtifactPlaces
    selection: Selection
    carries: Carries

    def add(self, version: int, meta: Meta) -> None:
        """Add the files of a version, or a gap where they cannot be reached."""
        location = meta.text("storage_location") or meta.text("source")
        owner_ids = self._owners(meta, location or "")
        if not location or self._is_carried(owner_ids, location):
            return
        for folder in (*self._below(owner_ids, location), *self._folders(location)):
            if holds_files(folder):
                self._take(version, folder)
                return
        if meta.text("current_stage") != _DELETED and self.selection.wants_artifact(f"{version}/{_MLMODEL}", None):
            self._report(version, location)

    def _owners(self, meta: Meta, location: str) -> set[str]:
        """Return the runs and logged models of this store that a version names."""
        locations = (location, meta.text("source"))
        return self.index.runs_in(*locations) | self.index.logged_models_in(*locations, meta.text("model_id"))

    def _is_carried(self, owner_ids: set[str], location: str) -> bool:
        """Return whether a run or logged model that comes, or another version, has the files."""
        if self.index.names_version(location):
            return True
        return any(self.carries(kind, owner_ids) for kind in (RUN, LOGGED_MODEL))

    def _below(self, owner_ids: set[str], location: str) -> Iterator[Path]:
        """Yield where the files lie below runs and logged models that do not come."""
        for owner_id in sorted(owner_ids):
            folder = self.index.run(owner_id) or self.index.logged_model(owner_id)
            _, named, rest = unquote(location).replace("\\", "/").partition(owner_id)
            parts = [part for part in rest.split("/") if part]
            if folder is not None and ".." not in parts and (named or self.index.logged_model(owner_id)):
                yield folder.joinpath(ARTIFACTS, *parts[1 if parts[:1] == [ARTIFACTS] else 0 :])

    def _folders(self, location: str) -> Iterator[Path]:
        yield from self.places.mapped(location)
        path = local_path(location)
        if path is None or ".." in PurePosixPath(path).parts:
            return
        root, parts = self.places.root, PurePosixPath(path).parts
        places = [root.parent / path]
        if root.name in parts:  # a store that was moved and kept its name
            at = len(parts) - 1 - parts[::-1].index(root.name)
            places.append(root.joinpath(*parts[at + 1 :]))
        yield from (place for place in places if (place / _MLMODEL).is_file())

    def _take(self, version: int, folder: Path) -> None:
        def gap(path: str, code: str, reason: str) -> None:
            self.entity.gaps.add(f"{version}/{path}".rstrip("/"), code, reason)

        self.entity.take_files(list_files(folder, gap), self.selection, prefix=f"{version}/")

    def _report(self, version: int, location: str) -> None:
        place = without_password(location)
        if local_path(location) is None:
            reason = f"its files lie at {place}, which a file store export cannot reach; use --artifact-map"
            self.entity.gaps.add(str(version), ARTIFACT_LISTING, reason)
        else:
            reason = f"its files should lie at {place}, where no model is; if they are elsewhere, use --artifact-map"
            self.entity.gaps.add(str(version), ARTIFACT_MISSING, reason)
