"""Skills: found by organization and name, their versions by number and content, tags and aliases by key.

How versions get the numbers they have at the source is said in ``skill_versions``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import left_by_import, object_source_tags
from mlflow_archive.kinds import SKILL, identity
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.objects.skill_rows import SkillRows, Tags, skills_of
from mlflow_archive.sinks.replay.objects.skill_versions import API, HIGHEST, SkillVersions
from mlflow_archive.sinks.replay.writing.failures import get_or_none, is_about_one_item, once
from mlflow_archive.sinks.replay.writing.fitting import Fitter
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter
from mlflow_archive.sinks.replay.writing.rows import Row, json_of

_VERSION: Final = "skill_version"
_TAG: Final = 100_000


class SkillWriter(KindWriter):
    """Writes skills with all that belongs to them."""

    kinds = (SKILL,)

    def __init__(self, context: ReplayContext) -> None:
        self._context = context

    def write(self, chunk: Chunk) -> None:
        for skill in skills_of(chunk):
            with self._context.refusing(SKILL, skill.source_id, refusals.SKILL_REFUSED):
                self._write_one(skill)

    def _write_one(self, skill: SkillRows) -> None:
        context, row = self._context, skill.row
        prefix = context.options.workspace_prefix
        name = f"{prefix}-{row['name']}" if prefix else row["name"]  # a dot is not taken here
        named = identity(name, row["organization"])
        base = f"{API}/{quote(named, safe='/@')}"
        existing = get_or_none(context.api, base)
        is_new = existing is None
        if is_new and not context.options.dry_run:
            existing = self._create(skill, name, base)
        context.receipt.mapped(SKILL, skill.source_id, None if existing is None else named)
        changed = self._complete(skill, base, existing or {}, is_new=is_new)
        context.receipt.done("created" if is_new else "updated" if changed else "skipped", SKILL)

    def _create(self, skill: SkillRows, name: str, base: str) -> Any:
        """Create a skill; where its icons are refused, as MLflow looks up their hosts, without them."""
        row, api = skill.row, self._context.api
        body = {"name": name, "organization": row["organization"], "description": row["description"]}

        def create(icons: Any) -> Any:
            make = partial(api.post, API, {**body, "icons": icons}, idempotent=False)
            return once(make, lambda: get_or_none(api, base))

        icons = json_of(row, "icons")
        try:
            return create(icons)
        except ServerError as exc:
            if not icons or not is_about_one_item(exc):
                raise
            created = create(None)
            self._context.refuse(SKILL, skill.source_id, refusals.SKILL_REFUSED, exc, path="icons")
            return created

    def _complete(self, skill: SkillRows, base: str, existing: Any, *, is_new: bool) -> bool:
        """Add what is not there; return whether there was anything."""
        tags = existing.get("tags") or {}
        versions = SkillVersions(self._context, skill, base, highest=int(tags.get(HIGHEST, "0")), is_new=is_new)
        if not any(map(left_by_import, tags)):
            versions.check_same()
        changed = self._tags(skill, base, SKILL, skill.row, skill.tags, tags)
        for row in skill.versions:
            changed |= self._guarded(skill, f"versions/{row['version']}", partial(self._version, skill, versions, row))
        changed |= self._guarded(skill, "versions", versions.take_deleted_numbers)
        aliases = {alias["alias"]: alias["version"] for alias in existing.get("aliases") or []}
        for alias in skill.aliases:
            if alias["alias"] not in aliases:
                body = {"alias": alias["alias"], "version": alias["version"]}
                changed |= self._guarded(
                    skill, f"aliases/{alias['alias']}", partial(self._post, f"{base}/aliases", body)
                )
        return changed

    def _version(self, skill: SkillRows, versions: SkillVersions, row: Row) -> bool:
        """Make or complete a version; return whether anything was missing."""
        number = row["version"]
        existing, changed = versions.find_or_make(row)
        if existing is None:
            return changed
        path = f"{versions.base}/versions/{number}"
        tags = self.source_tagged(skill, _VERSION, row, skill.version_tags.get(number, {}))
        # Tags come last: where one is missing, an import may have been cut off before it set the status.
        if any(key not in existing["tags"] for key in tags):
            changed |= versions.set_status(existing, row["status"])
        return self._set(skill, path, tags, existing["tags"]) or changed

    def _guarded(self, skill: SkillRows, path: str, write: Callable[[], bool]) -> bool:
        """Write a part of a skill, or refuse it alone; return whether anything was missing."""
        changed = False
        with self._context.refusing(SKILL, skill.source_id, refusals.SKILL_REFUSED, path=path):
            changed |= write()
        return changed

    def _tags(self, skill: SkillRows, path: str, group: str, row: Row, tags: Tags, existing: Tags) -> bool:
        return self._set(skill, path, self.source_tagged(skill, group, row, tags), existing)

    def source_tagged(self, skill: SkillRows, group: str, row: Row, tags: Tags) -> dict[str, str]:
        """Return the tags that something gets, cut to what MLflow takes."""
        context = self._context
        all_tags = {key: value for key, value in tags.items() if not left_by_import(key)}
        if context.options.source_tags:
            facts = {key: value for key, value in row.items() if key not in ("description", "icons")}
            all_tags |= object_source_tags(group, facts, tags, export=context.export_of(skill.row))
        return Fitter(context.options.limits, context.receipt, skill.source_id).tags(f"{group} tag", all_tags, _TAG)

    def _set(self, skill: SkillRows, path: str, tags: dict[str, str], existing: Tags) -> bool:
        """Set the tags that are not there; return whether there were any."""
        written = [
            self._guarded(skill, f"tags/{key}", partial(self._post, f"{path}/tags", {"key": key, "value": value}))
            for key, value in tags.items()
            if key not in existing
        ]
        return any(written)

    def _post(self, path: str, body: dict[str, Any]) -> bool:
        if not self._context.options.dry_run:
            self._context.api.post(path, body)
        return True
