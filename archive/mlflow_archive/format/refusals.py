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
TRACE_REFUSED: Final = "R401"
TRACE_ID_TAKEN: Final = "R402"
SPANS_REFUSED: Final = "R403"
ASSESSMENT_REFUSED: Final = "R404"
TRACE_LINK_REFUSED: Final = "R405"
EVALUATION_DATASET_REFUSED: Final = "R411"
RECORDS_REFUSED: Final = "R412"
SECRET_NEEDED: Final = "R302"  # noqa: S105 - a code
ISSUE_REFUSED: Final = "R311"
SCORER_REFUSED: Final = "R312"
LABEL_SCHEMA_REFUSED: Final = "R313"
REVIEW_QUEUE_REFUSED: Final = "R314"
GATEWAY_REFUSED: Final = "R321"
MCP_SERVER_REFUSED: Final = "R331"
SKILL_REFUSED: Final = "R332"
WORKSPACE_REFUSED: Final = "R341"
LOGGED_MODEL_REFUSED: Final = "R421"
MODEL_LINK_REFUSED: Final = "R422"
REGISTERED_MODEL_REFUSED: Final = "R431"
MODEL_VERSION_REFUSED: Final = "R432"
ALIAS_REFUSED: Final = "R433"
WEBHOOK_REFUSED: Final = "R441"
NOT_KEPT: Final = "R501"
CHANGED_SINCE: Final = "R502"
NOT_COMPARED: Final = "R503"
RETIRE_REFUSED: Final = "R504"

REFUSALS: Final = MappingProxyType(
    {
        RUN_REFUSED: "The target refused a run; what was written of it is marked incomplete, and goes on next time.",
        PARAM_REFUSED: "The target does not take a param, for its key, or because it holds another value for it.",
        METRIC_REFUSED: "The target does not take points of a metric, for the key.",
        TAG_REFUSED: "The target does not take a tag.",
        INPUT_REFUSED: "The target does not take a dataset input.",
        ARTIFACT_REFUSED: "An artifact could not be read or written.",
        ARTIFACT_NAME: "The target does not take an artifact's path, or would store it under another.",
        EXPERIMENT_REFUSED: "An experiment cannot be made in the target; its runs are refused with it.",
        EXPERIMENT_TAG_REFUSED: "The target does not take a tag of an experiment.",
        KIND_REFUSED: "Objects of a kind that an import does not bring in, or that the target does not know.",
        TRACE_REFUSED: "The target refused a trace.",
        TRACE_ID_TAKEN: "The target has a trace of this id in another experiment, and no import made it.",
        SPANS_REFUSED: "Spans of a trace could not be read, or the target holds others for it.",
        ASSESSMENT_REFUSED: "The target refused an assessment, or does not take its type.",
        TRACE_LINK_REFUSED: "A trace could not be linked to a run or a prompt version.",
        EVALUATION_DATASET_REFUSED: "The target refused an evaluation dataset.",
        RECORDS_REFUSED: "The target refused records of an evaluation dataset.",
        SECRET_NEEDED: "Gateway objects wait for secrets, which no archive holds: enter them, then import again.",
        ISSUE_REFUSED: "The target refused an issue.",
        SCORER_REFUSED: "The target refused a scorer, a version of it, or its automatic scoring.",
        LABEL_SCHEMA_REFUSED: "The target refused a label schema.",
        REVIEW_QUEUE_REFUSED: "The target refused a review queue, or an item, schema or status of it.",
        GATEWAY_REFUSED: "The target refused a part of the AI gateway's configuration.",
        MCP_SERVER_REFUSED: "The target refused an MCP server, or a part of it.",
        SKILL_REFUSED: "The target refused a skill, or a version, tag or alias of it.",
        WORKSPACE_REFUSED: "The target refused a workspace; what lies in it is refused with it.",
        LOGGED_MODEL_REFUSED: "The target refused a logged model; what is there of it goes on next time.",
        MODEL_LINK_REFUSED: "The target does not take that a run used or made a logged model.",
        REGISTERED_MODEL_REFUSED: "A registered model or prompt cannot be made in the target, or it has another one.",
        MODEL_VERSION_REFUSED: "A version cannot be made in the target, or not with its number.",
        ALIAS_REFUSED: "The target does not take an alias, or the version it stands for is not there.",
        WEBHOOK_REFUSED: "The target refused a webhook, as one whose host it cannot resolve.",
        NOT_KEPT: "Not retired: the archive does not hold it, or not all of it.",
        CHANGED_SINCE: "Not retired, or not undone: it has changed since the archive was made, or is gone.",
        NOT_COMPARED: "Not retired: it cannot be read whole at the source, and so not be compared.",
        RETIRE_REFUSED: "Not retired: the source would delete more with it, or cannot bring it back.",
    }
)
