"""Skills: found by organization and name, their versions by number and content, tags and aliases by key.

How versions get the numbers they have at the source is said in ``skill_versions``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import left_by_import
from mlflow_archive.kinds import SKILL
from mlflow_archive.kinds.owner_id import name_in_workspace
from mlflow_archive.sinks.replay.object_writer import ObjectRows, Tags
from mlflow_archive.sinks.replay.objects.named import NamedObjectWriter
from mlflow_archive.sinks.replay.objects.skill_versions import HIGHEST, SkillVersions
from mlflow_archive.sinks.replay.writing.rows import Row


class SkillWriter(NamedObjectWriter):
    """Writes skills with all that belongs to them."""

    kinds = (SKILL,)
    table, code = "skills", refusals.SKILL_REFUSED
    api = "/api/3.0/mlflow/skills"
    tag_limit = 100_000

    def name(self, rows: ObjectRows) -> str:
        return name_in_workspace(self.body(rows))

    def body(self, rows: ObjectRows) -> dict[str, Any]:
        row, name = rows.row, self._context.prefixed(rows.row["name"], SKILL)
        return {"name": name, "organization": row["organization"], "description": row["description"]}

    def facts(self, row: Row) -> Row:
        return {key: value for key, value in row.items() if key not in ("description", "icons")}

    def complete(self, rows: ObjectRows, existing: Any, *, is_new: bool) -> bool:
        base, existing = self.base(rows), existing or {}
        tags = existing.get("tags") or {}
        highest = int(tags.get(HIGHEST, "0"))
        versions = SkillVersions(self._context, rows, base, highest=highest, is_new=is_new)
        if not any(map(left_by_import, tags)):
            versions.check_same()
        changed = self.add_tags(rows, base, self.tags_of_object(rows), tags)
        version_tags = rows.version_tags("skill_version_tags")
        for row in versions.of_source:
            write = partial(self._version, rows, versions, row, version_tags[row["version"]])
            changed |= self.part(rows, f"versions/{row['version']}", write)
        changed |= self.part(rows, "versions", versions.take_deleted_numbers)
        return self.add_aliases(rows, "skill_aliases", existing) or changed

    def _version(self, rows: ObjectRows, versions: SkillVersions, row: Row, own_tags: Tags) -> bool:
        """Make or complete a version; return whether anything was missing."""
        existing, changed = versions.find_or_make(row)
        if existing is None:
            return changed
        tags = self.tags_of_version(rows, row, own_tags)
        # Tags come last: where one is missing, an import may have been cut off before it set the status.
        if any(key not in existing["tags"] for key in tags):
            changed |= versions.set_status(existing, row["status"])
        return self.add_tags(rows, f"{versions.base}/versions/{row['version']}", tags, existing["tags"]) or changed
