"""What a database says of the runs, logged models and versions that a model version refers to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from mlflow_archive.kinds import DEFAULT_WORKSPACE, RUN
from mlflow_archive.kinds.version_source import TOMBSTONE
from mlflow_archive.selecting.model_versions import PROMPT_EXPERIMENTS, Version, prompt_experiments
from mlflow_archive.sources.database.columns import Columns

_ROOTS: Final = {RUN: ("runs", "run_uuid", "artifact_uri")}
_OTHERS: Final = ("logged_models", "model_id", "artifact_location")
VERSION_COLUMNS: Final = ("workspace", "name", "version", "source", "storage_location", "run_id", "current_stage")


class DatabaseRegistry:
    """The Registry of a database."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def roots(self, kind: str, ids: Collection[str]) -> Mapping[str, str | None]:
        name, key, location = _ROOTS.get(kind, _OTHERS)
        if not self._columns.has(name):
            return {}
        return {str(i): uri for i, uri in self._columns.rows(name, (key, location), where=(key, ids))}

    def makers(self, models: Collection[str]) -> set[str]:
        return self._columns.linked("logged_models", "source_run_id", "model_id", models)

    def versions(self, names: Collection[str]) -> list[Version]:
        """Return the versions of some registered models, of every workspace."""
        if not self._columns.has("model_versions"):
            return []
        rows = self._columns.rows("model_versions", VERSION_COLUMNS, where=("name", names))
        versions = [dict(zip(VERSION_COLUMNS, row, strict=True)) for row in rows]
        return [{**row, "workspace": row["workspace"] or DEFAULT_WORKSPACE} for row in versions]

    def experiments(self, names: Collection[str]) -> frozenset[str]:
        """Return the experiments to which the prompts among some registered models belong."""
        if not self._columns.has("registered_model_tags"):
            return frozenset()
        rows = self._columns.rows("registered_model_tags", ("key", "value"), where=("name", names))
        return prompt_experiments(value for key, value in rows if key == PROMPT_EXPERIMENTS)

    def version(self, workspace: str, name: str, version: int | None, alias: str | None) -> Version | None:
        if alias is not None:
            version = self._of_alias(workspace, name, alias)
        for row in self.versions([name]):
            if (row["workspace"], row["version"]) == (workspace, version) and row["current_stage"] != TOMBSTONE:
                return row
        return None

    def _of_alias(self, workspace: str, name: str, alias: str) -> int | None:
        if not self._columns.has("registered_model_aliases"):
            return None
        columns = ("workspace", "alias", "version")
        for its_workspace, its_alias, version in self._columns.rows(
            "registered_model_aliases", columns, where=("name", [name])
        ):
            if (its_workspace or DEFAULT_WORKSPACE, its_alias) == (workspace, alias):
                return int(version)
        return None
