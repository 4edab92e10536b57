"""Writes registered models and prompts with their versions, tags and aliases; finds those of an earlier import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format import refusals
from mlflow_archive.kinds import REGISTERED_MODEL
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.registry.model_versions import VersionWriter
from mlflow_archive.sinks.replay.registry.planned_version import PlannedRegisteredModel, plan_registered_model
from mlflow_archive.sinks.replay.registry.registry_rows import (
    RegisteredModelRows,
    identity_of_tags,
    registered_models_of,
)
from mlflow_archive.sinks.replay.registry.version_sources import OF_VERSION, VersionSources
from mlflow_archive.sinks.replay.target.target import entries_of, pairs_of
from mlflow_archive.sinks.replay.writing.failures import exists_already, get_or_none, once
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter
from mlflow_archive.sinks.replay.writing.waiting import Waiting

_API: Final = "/api/2.0/mlflow/registered-models/"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRegisteredModel:
    """A registered model of the target."""

    description: str
    tags: Mapping[str, str]
    aliases: Mapping[str, int]

    @classmethod
    def parse(cls, model: Mapping[str, Any]) -> TargetRegisteredModel:
        """Read a model of MLflow's API."""
        return cls(
            description=model.get("description", ""),
            tags=pairs_of(model.get("tags", [])),
            aliases={alias["alias"]: int(alias["version"]) for alias in model.get("aliases", [])},
        )


class RegistryWriter(KindWriter):
    """Writes the registry of a replay."""

    kinds = (REGISTERED_MODEL,)

    def __init__(self, context: ReplayContext) -> None:
        self._context = context
        self._versions = VersionWriter(context, VersionSources(context))
        self._lock = Lock()
        self._names: dict[str, str] = {}
        self._waiting = Waiting[frozenset[str], RegisteredModelRows]()

    def write(self, chunk: Chunk) -> None:
        """Write the registered models of a chunk, but those with versions that are copies of others' versions."""
        for model in registered_models_of(chunk):
            if origins := _copied_from(model):
                self._waiting.add(origins, model)
            else:
                self._try(model)

    def finish(self) -> None:
        """Write registered models with copied versions, those behind which they come from."""
        remaining = [model for _, model in self._waiting.pop_all()]
        while remaining:
            names = {model.info["name"] for model in remaining}
            ready = [model for model in remaining if not _copied_from(model) & (names - {model.info["name"]})]
            for model in ready or remaining:  # copies in a circle: as they come
                self._try(model)
            remaining = [model for model in remaining if model not in ready] if ready else []

    def _try(self, model: RegisteredModelRows) -> None:
        with self._context.refusing(REGISTERED_MODEL, model.owner_id, refusals.REGISTERED_MODEL_REFUSED):
            self._write(model)

    def _write(self, model: RegisteredModelRows) -> None:
        plan = plan_registered_model(model, self._context)
        self._take_name(plan.name, model.owner_id)
        existing = self._find(plan.name) or self._create(plan)
        self._context.receipt.mapped(REGISTERED_MODEL, model.owner_id, plan.name)
        outcome = "created" if existing is None else "updated" if self._complete(model, plan, existing) else "skipped"
        tags = {} if existing is None else existing.tags
        versions = self._versions.write(model, plan.name, new=existing is None, tags=tags)
        aliases = self._set_aliases(model, plan.name, versions.arrived, {} if existing is None else existing.aliases)
        if outcome == "skipped" and (versions.changed or aliases):
            outcome = "updated"
        self._context.receipt.done(outcome, REGISTERED_MODEL)

    def _take_name(self, name: str, owner_id: str) -> None:
        with self._lock:
            owner = self._names.setdefault(name, owner_id)
        if owner != owner_id:
            message = f"{owner!r} goes to the target as {name!r}, too; name one of them with --rename-model"
            raise ItemError(message)

    def _find(self, name: str) -> TargetRegisteredModel | None:
        answer = get_or_none(self._context.api, _API + "get", {"name": name})
        return None if answer is None else TargetRegisteredModel.parse(answer["registered_model"])

    def _create(self, plan: PlannedRegisteredModel) -> TargetRegisteredModel | None:
        """Create a model; return the one that somebody else has made meanwhile, if that is so."""
        if self._context.options.dry_run:
            return None
        body: dict[str, Any] = {"name": plan.name, "tags": entries_of(plan.tags)}
        if plan.description is not None:
            body["description"] = plan.description

        def make() -> bool:
            self._context.api.post(_API + "create", body, idempotent=False)
            return True

        try:
            once(make, lambda: True if self._find(plan.name) is not None else None)
        except ServerError as exc:
            if not exists_already(exc) or (existing := self._find(plan.name)) is None:
                raise
            return existing
        return None

    def _complete(
        self, model: RegisteredModelRows, plan: PlannedRegisteredModel, target: TargetRegisteredModel
    ) -> bool:
        """Set what differs; of a model that no import of this one made, only what it does not have.

        Raises ItemError where it is another one with versions of its own.
        """
        ours = identity_of_tags(target.tags, version=False) == plan.identity
        if not ours and self._versions.existing(plan.name, is_prompt=model.is_prompt):
            message = (
                f"the target has another {plan.name!r} with versions of its own, so that numbers cannot be kept; "
                "import it under another name with --rename-model"
            )
            raise ItemError(message)
        tags = {
            key: value
            for key, value in plan.tags.items()
            if target.tags.get(key) != value and (ours or key not in target.tags)
        }
        description = (plan.description or "") != target.description and (ours or not target.description)
        if not self._context.options.dry_run:
            for key, value in tags.items():
                self._context.api.post(_API + "set-tag", {"name": plan.name, "key": key, "value": value})
            if description:
                body = {"name": plan.name, "description": plan.description or ""}
                self._context.api.patch(_API + "update", body)
        return bool(tags or description)

    def _set_aliases(self, model: RegisteredModelRows, name: str, arrived: set[int], known: Mapping[str, int]) -> bool:
        changed = False
        for alias, number in sorted(model.aliases.items()):
            if known.get(alias) == number:
                continue
            with self._context.refusing(REGISTERED_MODEL, model.owner_id, refusals.ALIAS_REFUSED, f"alias/{alias}"):
                if number not in arrived:
                    raise ItemError(f"version {number}, for which it stands, is not in the target")
                if not self._context.options.dry_run:
                    self._context.api.post(_API + "alias", {"name": name, "alias": alias, "version": str(number)})
                changed = True
        return changed


def _copied_from(model: RegisteredModelRows) -> frozenset[str]:
    """Return the names of the registered models of which versions are copies."""
    sources = (OF_VERSION.fullmatch(version.info["source"] or "") for version in model.versions.values())
    return frozenset(source[1] for source in sources if source)
