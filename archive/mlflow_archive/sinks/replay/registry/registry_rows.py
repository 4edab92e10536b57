"""Rows of the registry by registered model, and by what an import finds its own objects again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format.source_tags import OWN_PREFIX, PREFIX
from mlflow_archive.sinks.replay.object_writer import ObjectRows
from mlflow_archive.sinks.replay.writing.rows import Row

DELETED_STAGE: Final = "Deleted_Internal"
IS_PROMPT: Final = "mlflow.prompt.is_prompt"
# Written where source tags are off; it wins, as then source tags are what an earlier import left.
SOURCE_REGISTERED_MODEL: Final = OWN_PREFIX + "source_registered_model"
SOURCE_MODEL_VERSION: Final = OWN_PREFIX + "source_model_version"
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


def identity_of_row(row: Row, number: int | None = None) -> str:
    """Return the identity of a registered model, or of its version ``number``: a text that no other has."""
    return _identity(row["workspace"], row["name"], number, row["creation_time"])


def identity_of_tags(tags: Mapping[str, str], *, version: bool) -> str | None:
    """Return the identity that an import left on a registered model or version of the target, None where none did."""
    written = tags.get(SOURCE_MODEL_VERSION if version else SOURCE_REGISTERED_MODEL)
    if written is not None:
        return written
    start = PREFIX + ("model_version." if version else "registered_model.")
    name, number = tags.get(start + "name"), tags.get(start + "version", "")
    if name is None or (version and not _VERSION.fullmatch(number)):
        return None
    created = tags.get(start + "creation_time")
    return _identity(tags.get(start + "workspace", ""), name, int(number) if version else None, created)


def _identity(workspace: str, name: str, number: int | None, created: object) -> str:
    path = f"{workspace}/{name}" if number is None else f"{workspace}/{name}/{number}"
    return f"{path}@{'' if created is None else created}"
