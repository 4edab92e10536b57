"""Registered models and prompts of an open archive, by name, with their versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Final

from mlflow_archive.api.artifact_tree import ArtifactFolder, StoredArtifact, artifacts_of
from mlflow_archive.api.objects import StoredObject, Trace
from mlflow_archive.errors import SelectionError
from mlflow_archive.format.notebook import rows_html
from mlflow_archive.kinds import REGISTERED_MODEL, TRACE, named_owner
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.listing import Query, list_objects
from mlflow_archive.reader.inspection.model_versions import (
    VersionReference,
    place_of_files,
    version_details,
    versions_of,
)
from mlflow_archive.reader.inspection.objects import ObjectDetails, object_details
from mlflow_archive.reader.inspection.rows import worded

_ALL: Final = Query()
_PROMPTS: Final = Query(filter_string="tags.`mlflow.prompt.is_prompt` = 'true'")


class ModelVersion(StoredObject):
    """A version of a registered model or prompt; ``info`` is its row in ``model_versions``."""

    def __init__(self, archive: Archive, reference: VersionReference) -> None:
        super().__init__(archive, version_details(archive, reference))
        self._reference = reference

    @cached_property
    def artifacts(self) -> ArtifactFolder:
        """Its files, wherever they lie: with the model, or the run or logged model it is of. A prompt has none."""
        try:
            kind, owner_id, path = place_of_files(self._archive, self._reference)
        except SelectionError:
            return ArtifactFolder({})
        files = artifacts_of(self._archive, kind, owner_id)
        found = files[path] if path else files
        return ArtifactFolder({found.path: found}) if isinstance(found, StoredArtifact) else found


class RegisteredModel(StoredObject):
    """A registered model or prompt."""

    @cached_property
    def versions(self) -> Mapping[int, ModelVersion]:
        """The versions by number."""
        return {
            int(row["version"]): ModelVersion(self._archive, VersionReference(row=row))
            for row in versions_of(self._archive, self._details.info)
        }

    @property
    def aliases(self) -> Mapping[str, int]:
        """Which version each alias means."""
        rows = self.rows.get("registered_model_aliases", ())
        return {row["alias"]: row["version"] for row in rows}


class Registry(Mapping[str, RegisteredModel]):
    """Registered models, or prompts, by name; one of a workspace other than ``default`` is ``WORKSPACE/NAME``.

    Raises KeyError for a name that is not there.
    """

    def __init__(self, archive: Archive, *, prompts: bool) -> None:
        self._archive = archive
        self._prompts = prompts

    @cached_property
    def _rows(self) -> Mapping[str, Mapping[str, object]]:
        columns = ("name", "workspace", "versions", "creation_time", "last_updated_time", "description")
        found, prompts = (
            {
                named_owner(row["name"], row["workspace"]): row
                for row in list_objects(self._archive, REGISTERED_MODEL, query, columns=columns)
            }
            for query in (_ALL, _PROMPTS)
        )
        return prompts if self._prompts else {name: row for name, row in found.items() if name not in prompts}

    def __getitem__(self, name: str) -> RegisteredModel:
        if name not in self._rows:
            raise KeyError(f"no {self._noun} {name!r}; there are {', '.join(self._rows) or 'none'}")
        return RegisteredModel(self._archive, object_details(self._archive, REGISTERED_MODEL, name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def _noun(self) -> str:
        return "prompt" if self._prompts else "registered model"

    def __repr__(self) -> str:
        return f"<{self._noun}s of {self._archive.path}: {', '.join(self)}>"

    def _repr_html_(self) -> str:
        return rows_html(f"{self._noun}s", worded(list(self._rows.values()))) or f"no {self._noun}s"


def stored_object(archive: Archive, kind: str, owner_id: str) -> StoredObject:
    """Return an object by kind and owner id, as the class that its kind has. Raises SelectionError, DamagedError."""
    details: ObjectDetails = object_details(archive, kind, owner_id)
    of_kind: Mapping[str, type[StoredObject]] = {TRACE: Trace, REGISTERED_MODEL: RegisteredModel}
    return of_kind.get(kind, StoredObject)(archive, details)
