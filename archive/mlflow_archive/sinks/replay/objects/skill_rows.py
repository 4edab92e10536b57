"""What a chunk holds of each skill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlflow_archive.flow.chunk import ArtifactFile, Chunk
from mlflow_archive.kinds import SKILL, TABLES, owner_id
from mlflow_archive.sinks.replay.writing.rows import Row, rows_of

Tags = Mapping[str, str | None]
DELETED = "deleted"


@dataclass(slots=True, kw_only=True)
class SkillRows:
    """A skill; ``versions`` are those that are not deleted, in the order of their numbers.

    ``deleted`` is the highest number of one that is, 0 where none is. ``files`` are by version, with paths below it.
    """

    row: Row
    source_id: str
    tags: dict[str, str | None] = field(default_factory=dict)
    versions: list[Row] = field(default_factory=list)
    version_tags: dict[int, dict[str, str | None]] = field(default_factory=dict)
    aliases: list[Row] = field(default_factory=list)
    files: dict[int, dict[str, ArtifactFile]] = field(default_factory=dict)
    deleted: int = 0


def skills_of(chunk: Chunk) -> list[SkillRows]:
    """Return the skills of a chunk."""
    skills: dict[str, SkillRows] = {}
    for row in rows_of(chunk, "skills"):
        source_id = owner_id(TABLES["skills"], row)
        skills[source_id] = SkillRows(row=row, source_id=source_id)
    for row in rows_of(chunk, "skill_tags"):
        skills[_owner(row)].tags[row["key"]] = row["value"]
    for row in sorted(rows_of(chunk, "skill_versions"), key=lambda row: int(row["version"])):
        skill = skills[_owner(row)]
        if row["status"] == DELETED:
            skill.deleted = row["version"]
        else:
            skill.versions.append(row)
    for row in rows_of(chunk, "skill_version_tags"):
        skills[_owner(row)].version_tags.setdefault(row["version"], {})[row["key"]] = row["value"]
    for row in rows_of(chunk, "skill_aliases"):
        skills[_owner(row)].aliases.append(row)
    for file in chunk.artifacts:
        number, _, path = file.path.partition("/")
        if file.owner_kind == SKILL and file.owner_id in skills and number.isdecimal():
            skills[file.owner_id].files.setdefault(int(number), {})[path] = file
    return list(skills.values())


def _owner(row: Row) -> str:
    return owner_id(TABLES["skills"], row)
