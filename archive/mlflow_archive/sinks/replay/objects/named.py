"""What registries of named objects have in common: a path by name, icons, tags and aliases by key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

from mlflow_archive.sinks.replay.object_writer import ObjectRows, ObjectWriter, Tags
from mlflow_archive.sinks.replay.writing.failures import get_or_none, once
from mlflow_archive.sinks.replay.writing.rows import Row, json_of


class NamedObjectWriter(ObjectWriter):
    """Writes objects that are found at the path which their name makes; ``tag_limit`` is how long a tag may be."""

    tag_limit: ClassVar[int]

    def base(self, rows: ObjectRows) -> str:
        """Return the path of an object in the target."""
        return f"{self.api}/{quote(self.name(rows), safe='/@')}"

    def name(self, rows: ObjectRows) -> str:
        """Return the name of an object in the target, by which its path calls it."""
        raise NotImplementedError

    def target_id(self, rows: ObjectRows, existing: Any) -> str | None:
        return None if existing is None else self.name(rows)

    def find(self, rows: ObjectRows) -> Any:
        return get_or_none(self._context.api, self.base(rows))

    def make(self, rows: ObjectRows) -> Any:
        """Create an object; where its icons are refused, as MLflow looks up their hosts, without them."""

        def create(icons: Any) -> Any:
            body = {**self.body(rows), "icons": icons}
            make = partial(self._context.api.post, self.api, body, idempotent=False)
            return once(make, lambda: self.find(rows), by_name=True)

        return self.make_with(rows, "icons", json_of(rows.row, "icons"), create)

    def facts(self, row: Row) -> Row:
        """Return what the tags of an object or a version state of it."""
        raise NotImplementedError

    def tags_of_object(self, rows: ObjectRows) -> dict[str, str]:
        """Return the tags that an object gets."""
        [kind] = self.kinds
        return self._fitted(rows, kind, rows.row, rows.tags(f"{kind}_tags"))

    def tags_of_version(self, rows: ObjectRows, row: Row, tags: Tags) -> dict[str, str]:
        """Return the tags that a version gets; ``tags`` are those of the source."""
        [kind] = self.kinds
        return self._fitted(rows, f"{kind}_version", row, tags)

    def _fitted(self, rows: ObjectRows, group: str, row: Row, tags: Tags) -> dict[str, str]:
        return self.target_tags(rows, tags, self.facts(row), group=group, limit=self.tag_limit)

    def add_tags(self, rows: ObjectRows, path: str, tags: Mapping[str, str], existing: Mapping[str, Any]) -> bool:
        """Set the tags that what lies at ``path`` does not have; return whether there were any."""
        changed = False
        for key, value in tags.items():
            if key not in existing:
                body = {"key": key, "value": value}
                changed |= self.part(rows, f"tags/{key}", partial(self.send, f"{path}/tags", body))
        return changed

    def add_aliases(self, rows: ObjectRows, table: str, existing: Mapping[str, Any]) -> bool:
        """Set the aliases that an object does not have; return whether there were any."""
        known = {entry["alias"] for entry in existing.get("aliases") or ()}
        changed = False
        for alias in rows.of(table):
            if alias["alias"] not in known:
                body = {"alias": alias["alias"], "version": alias["version"]}
                write = partial(self.send, f"{self.base(rows)}/aliases", body)
                changed |= self.part(rows, f"aliases/{alias['alias']}", write)
        return changed
