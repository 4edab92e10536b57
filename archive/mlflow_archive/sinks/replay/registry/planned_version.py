"""What a registered model, a prompt or one version of it will be in the target.

Prompts name experiments and runs in their tags: these get the ids of the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from mlflow_archive.errors import ItemError
from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import left_by_import, object_source_tags
from mlflow_archive.kinds import MODEL_VERSION, REGISTERED_MODEL
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.registry.registry_rows import RegisteredModelRows, VersionRows
from mlflow_archive.sinks.replay.writing.fitting import Fitter, key_is_taken, plain_tags
from mlflow_archive.sinks.replay.writing.version_numbers import (
    SOURCE_MODEL_VERSION,
    SOURCE_REGISTERED_MODEL,
    identity_of_row,
)

_TEXT: Final = "mlflow.prompt.text"
EXPERIMENT_IDS: Final = "_mlflow_experiment_ids"
RUN_IDS: Final = "mlflow.prompt.associatedRunIds"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRegisteredModel:
    """A registered model or prompt as it will be."""

    identity: str
    name: str
    description: str | None
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedVersion:
    """A version as it will be, but for its source."""

    identity: str
    description: str | None
    run_link: str | None
    stage: str
    tags: Mapping[str, str]


def plan_registered_model(model: RegisteredModelRows, context: ReplayContext) -> PlannedRegisteredModel:
    """Fit a registered model."""
    fitter = Fitter(context.options.limits, context.receipt, model.owner_id)
    identity = identity_of_row(model.info)
    source = {}
    if context.options.source_tags:
        source = object_source_tags("registered_model", model.info, model.tags, export=context.export_of(model.info))
    else:
        source[SOURCE_REGISTERED_MODEL] = identity
    limit = context.options.limits.registered_model_tag
    name = context.options.model_name(model.info["name"], model.info["workspace"])
    if len(model.info["name"]) > len(name):
        context.receipt.shortened(model.owner_id, "registered model name", model.info["name"], len(model.info["name"]))
    return PlannedRegisteredModel(
        identity=identity,
        name=name,
        description=_text(fitter, "description", model.info["description"], context.options.limits.description),
        tags=_tags(fitter, _remap_prompt_tags(model.tags, context), source, limit, where=""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedModel:
    """A registered model of the target that versions are appended to: ``not_set`` is what it does not get."""

    plan: PlannedRegisteredModel
    not_set: Mapping[str, object]


def merged_model(plan: PlannedRegisteredModel, tags: Mapping[str, str], description: str) -> MergedModel:
    """Return what a model of the target, which has ``tags`` and ``description``, will be: what it has stays.

    It gets no source tags, as it is not the model of the source; its versions have them. A prompt is shown in the
    experiments of both.
    """
    own = _own_tags(plan, tags)
    kept_tags = {key: value for key, value in own.items() if key != EXPERIMENT_IDS and tags.get(key, value) != value}
    text = description or plan.description
    not_set = {
        "tags": kept_tags or None,
        "description": (plan.description or "") if text != plan.description else None,
    }
    added = {key: value for key, value in own.items() if key not in kept_tags}
    merged = replace(plan, tags=added, description=text)
    return MergedModel(plan=merged, not_set=not_set)


def _own_tags(plan: PlannedRegisteredModel, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a model without source tags, and with the experiments of ``tags`` before its own."""
    own = {key: value for key, value in plan.tags.items() if not left_by_import(key)}
    if EXPERIMENT_IDS in own and EXPERIMENT_IDS in tags:
        own[EXPERIMENT_IDS] = _united(tags[EXPERIMENT_IDS], own[EXPERIMENT_IDS])
    return own


def _united(target_ids: str, new_ids: str) -> str:
    """Return the ids of two lists, those of the first as they are."""
    known = _listed(target_ids)
    new = [part for part in _listed(new_ids) if part not in known]
    return f",{','.join([*known, *new])}," if new else target_ids


def _listed(text: str) -> list[str]:
    return list(filter(None, map(str.strip, text.split(","))))


def plan_version(model: RegisteredModelRows, version: VersionRows, context: ReplayContext) -> PlannedVersion:
    """Fit a version of it."""
    info, receipt, limits = version.info, context.receipt, context.options.limits
    fitter = Fitter(limits, receipt, f"{model.owner_id}/{version.number}")
    identity = identity_of_row(info, version.number)
    receipt.changed("model_version_status", int(info["status"] not in (None, "READY")))
    source = {}
    if context.options.source_tags:
        # The text of a prompt, which can be long, is not kept twice: it arrives as it is.
        tags = {key: value for key, value in version.tags.items() if key != _TEXT}
        source = object_source_tags(MODEL_VERSION, info, tags, export=context.export_of(model.info))
    else:
        source[SOURCE_MODEL_VERSION] = identity
    return PlannedVersion(
        identity=identity,
        description=_text(fitter, "description", info["description"], limits.description),
        run_link=_text(fitter, "run_link", info["run_link"], limits.run_link),
        stage=info["current_stage"] or "None",
        tags=_tags(
            fitter,
            _remap_prompt_tags(version.tags, context),
            source,
            limits.model_version_tag,
            where=f"{version.number}/",
            owner=model.owner_id,
        ),
    )


def _text(fitter: Fitter, kind: str, value: str | None, limit: int) -> str | None:
    return fitter.text(kind, kind, value, limit) if value else None


def _tags(
    fitter: Fitter,
    tags: Mapping[str, str | None],
    source: Mapping[str, str],
    limit: int,
    *,
    where: str,
    owner: str | None = None,
) -> dict[str, str]:
    """Fit tags and source tags; a key that MLflow does not take is refused by the registered model and ``where``."""
    fitted = {**fitter.tags("tag", plain_tags(tags), limit), **fitter.tags("source tag", source, limit)}
    for key in [key for key in fitted if not key_is_taken(key)]:
        del fitted[key]
        reason = f"MLflow takes no tag named {key!r}"
        fitter.receipt.refuse(REGISTERED_MODEL, owner or fitter.owner, where + key, refusals.TAG_REFUSED, reason)
    return fitted


def _remap_prompt_tags(tags: dict[str, str | None], context: ReplayContext) -> dict[str, str | None]:
    """Return tags of a registered model or version with the ids in them remapped; ids not in the target go."""
    remapped = dict(tags)
    for key, target_id_of in ((EXPERIMENT_IDS, _experiment), (RUN_IDS, _run)):
        if value := tags.get(key):
            ids = _listed(value)
            known = [target_id for part in ids if (target_id := target_id_of(part, context)) is not None]
            context.receipt.changed("prompt_references_not_there", len(ids) - len(known))
            text = ",".join(known)
            remapped[key] = f",{text}," if value.startswith(",") and text else text
    return {key: value for key, value in remapped.items() if value or not tags.get(key)}


def _experiment(source_id: str, context: ReplayContext) -> str | None:
    try:
        bound = context.experiments.bind(source_id)
    except ItemError:
        return None
    return bound.target_id or source_id  # a dry run would make it


def _run(source_id: str, context: ReplayContext) -> str | None:
    return context.find_run(source_id)
