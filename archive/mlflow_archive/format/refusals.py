"""Refusal codes: what an import could not bring into its target (spec/problems.md, "Refusals")."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

RUN_REFUSED: Final = "R101"
PARAM_REFUSED: Final = "R102"
METRIC_REFUSED: Final = "R103"
TAG_REFUSED: Final = "R104"
INPUT_REFUSED: Final = "R105"
ARTIFACT_REFUSED: Final = "R106"
ARTIFACT_NAME: Final = "R107"
EXPERIMENT_REFUSED: Final = "R201"
EXPERIMENT_TAG_REFUSED: Final = "R202"
KIND_REFUSED: Final = "R301"
LOGGED_MODEL_REFUSED: Final = "R421"
MODEL_LINK_REFUSED: Final = "R422"
REGISTERED_MODEL_REFUSED: Final = "R431"
MODEL_VERSION_REFUSED: Final = "R432"
ALIAS_REFUSED: Final = "R433"
WEBHOOK_REFUSED: Final = "R441"

REFUSALS: Final = MappingProxyType(
    {
        RUN_REFUSED: "The target refused a run; what was written of it is marked incomplete, and goes on next time.",
        PARAM_REFUSED: "The target does not take a param, for its key, or because it holds another value for it.",
        METRIC_REFUSED: "The target does not take points of a metric, for the key or a time before 1970.",
        TAG_REFUSED: "The target does not take a tag.",
        INPUT_REFUSED: "The target does not take a dataset input.",
        ARTIFACT_REFUSED: "An artifact could not be read or written.",
        ARTIFACT_NAME: "The target does not take an artifact's path, or would store it under another.",
        EXPERIMENT_REFUSED: "An experiment cannot be made in the target; its runs are refused with it.",
        EXPERIMENT_TAG_REFUSED: "The target does not take a tag of an experiment.",
        KIND_REFUSED: "Objects of a kind that an import does not bring in, or that the target does not know.",
        LOGGED_MODEL_REFUSED: "The target refused a logged model; what is there of it goes on next time.",
        MODEL_LINK_REFUSED: "The target does not take that a run used or made a logged model.",
        REGISTERED_MODEL_REFUSED: "A registered model or prompt cannot be made in the target, or it has another one.",
        MODEL_VERSION_REFUSED: "A version cannot be made in the target, or not with its number.",
        ALIAS_REFUSED: "The target does not take an alias, or the version it stands for is not there.",
        WEBHOOK_REFUSED: "The target refused a webhook, as one whose host it cannot resolve.",
    }
)
