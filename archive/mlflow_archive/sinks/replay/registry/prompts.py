"""What a prompt says of experiments and runs, by the ids of the target."""

from __future__ import annotations

from typing import Final

from mlflow_archive.errors import ItemError
from mlflow_archive.sinks.replay.context import ReplayContext

TEXT: Final = "mlflow.prompt.text"
_EXPERIMENT_IDS: Final = "_mlflow_experiment_ids"
_RUN_IDS: Final = "mlflow.prompt.associatedRunIds"


def remap_prompt_tags(tags: dict[str, str | None], context: ReplayContext) -> dict[str, str | None]:
    """Return tags of a registered model or version with the ids in them remapped; ids not in the target go."""
    remapped = dict(tags)
    for key, one in ((_EXPERIMENT_IDS, _experiment), (_RUN_IDS, _run)):
        value = tags.get(key)
        if not value:
            continue
        ids = [part for part in value.split(",") if part.strip()]
        found = [one(part.strip(), context) for part in ids]
        kept = [part for part in found if part is not None]
        context.receipt.changed("prompt_references_not_there", len(ids) - len(kept))
        text = ",".join(kept)
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
