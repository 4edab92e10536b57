"""What a proof of a transfer names and does not count: each by a rule that spec/replay.md states, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from mlflow_archive.format.source_tags import left_by_import
from mlflow_archive.kinds.experiment_tags import acting_tags
from mlflow_archive.sinks.replay.logged_models.planned_model import MODEL_VERSIONS
from mlflow_archive.sinks.replay.objects.gateway import MADE, DefinitionWriter
from mlflow_archive.sinks.replay.objects.guards import GuardrailWriter
from mlflow_archive.sinks.replay.objects.issues import IssueWriter
from mlflow_archive.sinks.replay.objects.review import LabelSchemaWriter, ReviewQueueWriter
from mlflow_archive.sinks.replay.places.experiments import SOURCE_ID
from mlflow_archive.sinks.replay.registry.planned_version import EXPERIMENT_IDS, RUN_IDS
from mlflow_archive.sinks.replay.traces.trace_info import COST, PLACES, TOKENS
from mlflow_archive.sinks.replay.writing.references import PARENT, RUN_NAME


class Rule(StrEnum):
    """Why something that differs is no difference (spec/replay.md, "A proof of the transfer")."""

    LOCATION = "location"
    SET_BY_TARGET = "set by the target"
    MADE_UP = "made up by the target"
    SOURCE_TAG = "source tag"
    EARLIER_EXPORT = "earlier export"
    IMPORT_MARK = "mark of the import"
    FITTED = "changed to fit"
    REFERENCE = "reference"
    JSON = "JSON written anew"
    EMPTY = "empty and null"
    LEFT_OUT = "left out"
    SPANS_ELSEWHERE = "spans elsewhere"
    NOT_SHOWN = "not shown by the API"


_LOCATIONS: Final = (
    "experiments.artifact_location",
    "runs.artifact_uri",
    "logged_models.artifact_location",
    "model_versions.storage_location",
)
_SET_BY_TARGET: Final = MappingProxyType(
    {
        "experiments": ("creation_time", "last_update_time"),
        "runs": ("run_uuid", "deleted_time", "source_type", "source_name", "entry_point_name", "source_version"),
        "datasets": ("dataset_uuid",),
        "dataset_inputs": ("input_uuid",),
        "model_inputs": ("input_uuid", "step"),
        "model_outputs": ("input_uuid",),
        "logged_models": ("creation_timestamp", "last_updated_timestamp", "status_message"),
        "logged_model_metrics": ("dataset_uuid", "experiment_id"),
        "registered_models": ("creation_time", "last_updated_time"),
        "model_versions": ("creation_time", "last_updated_time", "user_id", "status", "status_message"),
        "webhooks": ("creation_timestamp", "last_updated_timestamp"),
        "traces": ("db_payload_generation",),
        "trace_links": ("association_id", "created_time"),
        "evaluation_datasets": ("digest", "created_time", "last_update_time", "last_updated_by"),
        "evaluation_dataset_records": (
            "dataset_record_id",
            "created_time",
            "last_update_time",
            "created_by",
            "last_updated_by",
        ),
        "evaluation_dataset_experiments": ("association_id", "created_time"),
        "scorer_versions": ("creation_time",),
        "online_scoring_configs": ("online_scoring_config_id",),
        "label_schemas": LabelSchemaWriter.receipt_columns,
        "review_queues": ReviewQueueWriter.receipt_columns,
        "review_queue_items": ("completed_by", "completed_time", "creation_time", "last_update_time"),
        "issues": IssueWriter.receipt_columns,
        "gateway_secrets": ("provider", "description", *MADE),
        "model_definitions": DefinitionWriter.receipt_columns,
        "gateway_endpoints": tuple(name for name in MADE if name != "created_by"),
        "gateway_endpoint_models": ("mapping_id", "created_by", "created_at"),
        "gateway_endpoint_bindings": ("display_name", *MADE),
        "guardrails": GuardrailWriter.receipt_columns,
        "guardrail_endpoints": ("created_by", "created_at"),
        "budget_policies": tuple(name for name in MADE if name != "created_by"),
        "mcp_servers": MADE,
        "mcp_server_versions": MADE,
        "mcp_access_endpoints": ("id", *MADE),
        "skills": MADE,
        "skill_versions": ("source", *MADE),
        "workspaces": ("default_artifact_root", "trace_archival_location", "trace_archival_retention"),
    }
)

COLUMNS: Final = MappingProxyType(
    {
        **dict.fromkeys(_LOCATIONS, Rule.LOCATION),
        **{f"{table}.{column}": Rule.SET_BY_TARGET for table, names in _SET_BY_TARGET.items() for column in names},
    }
)
"""Columns (``table.column``) that the import cannot set; where they differ, that is named."""

KEYS: Final = MappingProxyType(
    {
        "gateway_endpoint_models": ("endpoint_id", "model_definition_id", "linkage_type", "fallback_order"),
        "evaluation_dataset_records": ("dataset_id", "inputs"),
        "mcp_access_endpoints": ("name", "workspace", "url", "transport_type", "server_version", "server_alias"),
        "online_scoring_configs": ("scorer_id", "experiment_id"),
    }
)
"""By what rows are matched whose own key is an id that the target gives."""

JSON_COLUMNS: Final = frozenset(
    {
        "assessments.value",
        "assessments.error",
        "assessments.metadata",
        "spans.content",
        *(f"evaluation_dataset_records.{name}" for name in ("inputs", "outputs", "expectations", "tags", "source")),
        "evaluation_datasets.schema",
        "evaluation_datasets.profile",
        "scorer_versions.serialized_scorer",
        "label_schemas.input_config",
        *(f"issues.{name}" for name in ("root_causes", "categories", "metadata")),
        "gateway_endpoints.fallback_config",
        "mcp_servers.icons",
        *(f"mcp_server_versions.{name}" for name in ("server_json", "tools", "connect_options")),
        "skills.icons",
    }
)
"""Columns of JSON text that a target may write in another form; the values must be the same."""

NULLS_LEFT_OUT: Final = frozenset(
    {"assessments.error", "label_schemas.input_config", "gateway_endpoints.fallback_config"}
)
"""Columns of JSON text in which a null and a field that is not there are one."""

_PROMPT_LINKS: Final = frozenset({EXPERIMENT_IDS, RUN_IDS})
_LEFT_OUT: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "tags": frozenset({PARENT, RUN_NAME}),
        "experiment_tags": frozenset({SOURCE_ID}),
        "trace_tags": PLACES,
        "trace_metadata": frozenset({TOKENS, COST}),
        "logged_model_tags": frozenset({MODEL_VERSIONS}),
        "registered_model_tags": _PROMPT_LINKS,
        "model_version_tags": _PROMPT_LINKS,
    }
)
"""Keys that an import may leave out beside those that earlier imports left: what they name is not in the target."""


def may_be_left_out(table: str, row: Mapping[str, Any]) -> bool:
    """Return whether an import may leave out a row of the archive: a tag of an earlier import, or one that acts."""
    if "key" not in row:
        return False
    key = str(row["key"])
    acts = table == "experiment_tags" and bool(acting_tags([key]))
    is_tag = table.endswith("tags") and left_by_import(key)
    return acts or is_tag or key in _LEFT_OUT.get(table, ())
