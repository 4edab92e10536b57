"""What the registered models of an archive stand on: the runs and logged models of their versions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import RUN
from mlflow_archive.kinds.version_source import TOMBSTONE
from mlflow_archive.reader.archive import Archive
from mlflow_archive.selecting.model_versions import Standing, Version, standing_of
from mlflow_archive.selecting.selection import Selection

_NAMED_IN_ERRORS: Final = 5


def stand_on(archive: Archive, selection: Selection) -> Standing:
    """Return the models that are selected by name, and what they stand on. Raises SelectionError."""
    found = sorted(set(archive.table("registered_models", columns=["name"])["name"].to_pylist()))
    if missing := selection.unmatched_models(found):
        have = ", ".join(repr(name) for name in found[:_NAMED_IN_ERRORS]) or "none"
        raise SelectionError(f"no registered model {missing[0]!r} in {archive.path}; it has {have}")
    names = [name for name in found if selection.matches_model(name)]
    versions = archive.table("model_versions", owners=names).to_pylist()
    return standing_of(names, versions, _ArchiveRegistry(archive))


class _ArchiveRegistry:
    """The Registry of an archive."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def roots(self, kind: str, ids: Collection[str]) -> Mapping[str, str | None]:
        name, key, location = ("runs", "run_id", "artifact_uri") if kind == RUN else _MODELS
        rows = self._archive.table(name, columns=[key, location], owners=ids)
        return dict(zip(rows[key].to_pylist(), rows[location].to_pylist(), strict=True))

    def makers(self, models: Collection[str]) -> set[str]:
        rows = self._archive.table("logged_models", columns=["source_run_id"], owners=models)
        return {run_id for run_id in rows["source_run_id"].to_pylist() if run_id}

    def version(self, workspace: str, name: str, version: int | None, alias: str | None) -> Version | None:
        if alias is not None:
            aliases = self._archive.table("registered_model_aliases", owners=[name]).to_pylist()
            named = [row["version"] for row in aliases if (row["workspace"], row["alias"]) == (workspace, alias)]
            version = named[0] if named else None
        for row in self._archive.table("model_versions", owners=[name]).to_pylist():
            if (row["workspace"], row["version"]) == (workspace, version) and row["current_stage"] != TOMBSTONE:
                return row  # type: ignore[no-any-return]
        return None


_MODELS: Final = ("logged_models", "model_id", "artifact_location")
