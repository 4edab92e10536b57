"""Rows of the registry by registered model."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.sinks.replay.object_writer import ObjectRows
from mlflow_archive.sinks.replay.writing.rows import Row
from mlflow_archive.sinks.replay.writing.version_numbers import IS_PROMPT

DELETED_STAGE: Final = "Deleted_Internal"
_VERSION: Final = re.compile(r"[0-9]{1,10}")


@dataclass(slots=True, kw_only=True)
class VersionRows:
    """One version at the source; ``artifacts`` are files that lie under no run and no logged model."""

    info: Row
    tags: dict[str, str | None] = field(default_factory=dict)
    artifacts: list[ArtifactFile] = field(default_factory=list)

    @property
    def number(self) -> int:
        return int(self.info["version"])

    @property
    def deleted(self) -> bool:
        return bool(self.info["current_stage"] == DELETED_STAGE)


@dataclass(slots=True, kw_only=True)
class RegisteredModelRows:
    """One registered model or prompt at the source; ``owner_id`` is how an archive refers to it."""

    owner_id: str
    info: Row
    tags: dict[str, str | None] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    versions: dict[int, VersionRows] = field(default_factory=dict)

    @property
    def is_prompt(self) -> bool:
        return (self.tags.get(IS_PROMPT) or "").lower() == "true"


def registered_model_of(rows: ObjectRows) -> RegisteredModelRows:
    """Return a registered model by its parts; rows of a version that is not there itself are left out."""
    tags = rows.version_tags("model_version_tags")
    versions = {
        info["version"]: VersionRows(info=info, tags=tags[info["version"]]) for info in rows.of("model_versions")
    }
    for file in rows.files:
        number = file.path.partition("/")[0]
        version = versions.get(int(number) if _VERSION.fullmatch(number) else 0)
        if version is not None:
            version.artifacts.append(file)
    return RegisteredModelRows(
        owner_id=rows.source_id,
        info=rows.row,
        tags=rows.tags("registered_model_tags"),
        aliases={row["alias"]: row["version"] for row in rows.of("registered_model_aliases")},
        versions=versions,
    )
