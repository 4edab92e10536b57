"""Logged models in the database."""

from __future__ import annotations

from typing import Final

from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.mlflow_database.mapping.model import Root, mapped

LOGGED_MODEL_ROOTS: Final = (
    Root(kind=LOGGED_MODEL, stored_in="logged_models", root_id="model_id", parent=("experiment_id", "experiments")),
)

_EDGE: Final = "run_id=source_id model_id=destination_id step input_uuid"

LOGGED_MODEL_MAPS: Final = (
    mapped(
        "model_inputs",
        RUN,
        "source_id",
        _EDGE,
        stored_in="inputs",
        where={"source_type": "RUN_INPUT", "destination_type": "MODEL_INPUT"},
        defaults={"step": 0},
    ),
    mapped(
        "model_outputs",
        RUN,
        "source_id",
        _EDGE,
        stored_in="inputs",
        where={"source_type": "RUN_OUTPUT", "destination_type": "MODEL_OUTPUT"},
        defaults={"step": 0},
    ),
    mapped(
        "logged_models",
        LOGGED_MODEL,
        "model_id",
        "model_id experiment_id name artifact_location creation_timestamp=creation_timestamp_ms "
        "last_updated_timestamp=last_updated_timestamp_ms status lifecycle_stage model_type source_run_id "
        "status_message",
        # mlflow.entities.LoggedModelStatus.to_int
        codes={"status": {0: "UNSPECIFIED", 1: "PENDING", 2: "READY", 3: "FAILED"}},
        defaults={"lifecycle_stage": "active"},
    ),
    mapped("logged_model_params", LOGGED_MODEL, "model_id", "model_id key=param_key value=param_value experiment_id"),
    mapped("logged_model_tags", LOGGED_MODEL, "model_id", "model_id key=tag_key value=tag_value experiment_id"),
    mapped(
        "logged_model_metrics",
        LOGGED_MODEL,
        "model_id",
        "model_id key=metric_name timestamp=metric_timestamp_ms step=metric_step run_id value=metric_value "
        "experiment_id dataset_uuid dataset_name dataset_digest",
    ),
)
