"""Writes registered models and prompts with their versions, tags and aliases; finds those of an earlier import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any, Final

from mlflow_archive.errors import ItemError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import beyond_the_export
from mlflow_archive.kinds import DEFAULT_WORKSPACE, REGISTERED_MODEL
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.object_writer import ObjectRows, ObjectWriter, objects_of
from mlflow_archive.sinks.replay.registry.model_versions import VersionWriter
from mlflow_archive.sinks.replay.registry.planned_version import PlannedRegisteredModel, plan_registered_model
from mlflow_archive.sinks.replay.registry.registry_rows import (
    RegisteredModelRows,
    identity_of_row,
    identity_of_tags,
    registered_model_of,
)
from mlflow_archive.sinks.replay.registry.version_sources import OF_VERSION, VersionSources
from mlflow_archive.sinks.replay.target.target import entries_of, pairs_of
from mlflow_archive.sinks.replay.writing.failures import get_or_none
from mlflow_archive.sinks.replay.writing.waiting import Waiting

_API: Final = "/api/2.0/mlflow/registered-models/"


class RegistryWriter(ObjectWriter):
    """Writes the registry of a replay."""

    kinds = (REGISTERED_MODEL,)
    table, code = "registered_models", refusals.REGISTERED_MODEL_REFUSED
    api, answer = _API + "create", "registered_model"

    def __init__(self, context: ReplayContext) -> None:
        super().__init__(context)
        self._versions = VersionWriter(context, VersionSources(context))
        self._lock = Lock()
        self._names: dict[str, str] = {}
        self._waiting = Waiting[frozenset[str], ObjectRows]()

    def objects(self, chunk: Chunk) -> Iterable[ObjectRows]:
        """Return the registered models of a chunk, those of the default workspace first."""
        return sorted(objects_of(chunk, self.table), key=_is_in_workspace)

    def is_due(self, rows: ObjectRows) -> bool:
        """Return whether a registered model has no versions that are copies of others' versions; it waits else."""
        origins = _copied_from(rows)
        if origins:
            self._waiting.add(origins, rows)
        return not origins

    def finish(self) -> None:
        """Write registered models with copied versions, those behind which they come from."""
        remaining = [rows for _, rows in self._waiting.pop_all()]
        while remaining:
            names = {rows.row["name"] for rows in remaining}
            ready = [rows for rows in remaining if not _copied_from(rows) & (names - {rows.row["name"]})]
            ready = ready or remaining  # copies in a circle: as they come
            for rows in ready:
                with self.refusing(rows):
                    self.write_one(rows)
            remaining = [rows for rows in remaining if rows not in ready]

    def target_id(self, rows: ObjectRows, existing: Any) -> str:
        return self._context.options.model_name(rows.row["name"], rows.row["workspace"])

    def find(self, rows: ObjectRows) -> Any:
        name = self.target_id(rows, None)
        self._take_name(name, rows.source_id)
        answer = get_or_none(self._context.api, _API + "get", {"name": name})
        return None if answer is None else answer[self.answer]

    def _take_name(self, name: str, owner_id: str) -> None:
        with self._lock:
            owner = self._names.setdefault(name, owner_id)
        if owner != owner_id:
            message = f"{owner!r} goes to the target as {name!r}, too; name one of them with --rename-model"
            raise ItemError(message)

    def body(self, rows: ObjectRows) -> dict[str, Any]:
        plan = plan_registered_model(registered_model_of(rows), self._context)
        return {"name": plan.name, "tags": entries_of(plan.tags), "description": plan.description}

    def complete(self, rows: ObjectRows, existing: Any, *, is_new: bool) -> bool:
        model, name = registered_model_of(rows), self.target_id(rows, existing)
        existing = existing or {}
        self._leave_out_aliases(model, existing)
        tags = pairs_of(existing.get("tags", []))
        ours = identity_of_tags(tags, version=False) == identity_of_row(model.info)
        is_new = is_new and (ours or not existing)  # somebody else may have made it meanwhile
        changed = self._complete_model(model, existing, is_new=is_new, ours=ours)
        versions = self._versions.write(model, name, new=is_new, tags=tags)
        known = {alias["alias"]: int(alias["version"]) for alias in existing.get("aliases", [])}
        aliases = self._set_aliases(rows, name, model.aliases, versions.arrived, known)
        return changed or versions.changed or aliases

    def _complete_model(self, model: RegisteredModelRows, existing: Any, *, is_new: bool, ours: bool) -> bool:
        """Bring tags and description to what they are to be; return whether they were otherwise."""
        if is_new and existing:
            return False
        plan = plan_registered_model(model, self._context)
        if is_new:  # in a dry run: what changes on the way is in the receipt
            return False
        if not ours and self._versions.existing(plan.name, is_prompt=model.is_prompt):
            message = (
                f"the target has another {plan.name!r} with versions of its own, so that numbers cannot be kept; "
                "import it under another name with --rename-model"
            )
            raise ItemError(message)
        return self._set_missing(plan, existing, ours=ours)

    def _set_missing(self, plan: PlannedRegisteredModel, existing: Any, *, ours: bool) -> bool:
        """Set what differs; of a model that no import of this one made, only what it does not have."""
        tags, text = pairs_of(existing.get("tags", [])), existing.get("description", "")
        missing = {k: value for k, value in plan.tags.items() if tags.get(k) != value and (ours or k not in tags)}
        missing = beyond_the_export(missing, tags)
        for key, value in missing.items():
            self.send(_API + "set-tag", {"name": plan.name, "key": key, "value": value})
        description = plan.description or ""
        is_missing = description != text and (ours or not text)
        if is_missing:
            self.update(_API + "update", {"name": plan.name, "description": description})
        return any((missing, is_missing))

    def _leave_out_aliases(self, model: RegisteredModelRows, existing: Mapping[str, Any]) -> None:
        """Take from a model its aliases of versions that a selection left out; the target may have them already."""
        there = {(alias["alias"], int(alias["version"])) for alias in existing.get("aliases", [])}
        left_out = {alias: number for alias, number in model.aliases.items() if number not in model.versions}
        self._context.receipt.changed("aliases_without_their_version", len(left_out.items() - there))
        model.aliases = {alias: number for alias, number in model.aliases.items() if alias not in left_out}

    def _set_aliases(
        self, rows: ObjectRows, name: str, aliases: Mapping[str, int], arrived: set[int], known: Mapping[str, int]
    ) -> bool:
        changed = False
        for alias, number in sorted(aliases.items()):
            if known.get(alias) == number:
                continue
            with self._context.refusing(REGISTERED_MODEL, rows.source_id, refusals.ALIAS_REFUSED, f"alias/{alias}"):
                if number not in arrived:
                    raise ItemError(f"version {number}, for which it stands, is not in the target")
                changed |= self.send(_API + "alias", {"name": name, "alias": alias, "version": str(number)})
        return changed


def _is_in_workspace(rows: ObjectRows) -> bool:
    """Return whether a registered model lies outside of the default workspace."""
    return any(row["workspace"] != DEFAULT_WORKSPACE for row in rows.of("registered_models"))


def _copied_from(rows: ObjectRows) -> frozenset[str]:
    """Return the names of the registered models of which versions are copies."""
    sources = (OF_VERSION.fullmatch(version["source"] or "") for version in rows.of("model_versions"))
    return frozenset(source[1] for source in sources if source)
