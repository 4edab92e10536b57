"""Logged models of MLflow 3, and which runs took or made them."""

from __future__ import annotations

from typing import Final

from mlflow_archive.kinds.files import ObjectFiles
from mlflow_archive.kinds.model import EXPERIMENT, LOGGED_MODEL, RUN, Kind, integer, listing, real, text, time, uri
from mlflow_archive.kinds.runs import RUNS

_RUN_ID = text("run_id", "runs.run_uuid", "Id of the run at the source.")

LOGGED_MODELS: Final = Kind(
    name=LOGGED_MODEL,
    owner=(text("model_id", "logged_models.model_id", "Id of the logged model at the source."),),
    refers=(EXPERIMENT, RUN),
    word="logged-models",
    lists=(listing("logged-models", "model_id name experiment status model_type source_run_id"),),
    incremental=True,
    files=ObjectFiles(folder="models/"),
    keeps_blank_texts=True,
)

KINDS: Final = (LOGGED_MODELS,)

TABLES: Final = (
    RUNS.table(
        "model_inputs",
        "Which run took which logged model as input.",
        text("model_id", "inputs.destination_id", "Id in `logged_models`."),
        integer("step", "inputs.step", "Step; 0 where the source has none."),
        text("input_uuid", "inputs.input_uuid", "Hidden by the REST API.", null=True),
        key=("model_id",),
    ),
    RUNS.table(
        "model_outputs",
        "Which run gave out which logged model.",
        text("model_id", "inputs.destination_id", "Id in `logged_models`."),
        integer("step", "inputs.step", "Step at which it was logged."),
        text("input_uuid", "inputs.input_uuid", "Hidden by the REST API.", null=True),
        key=("model_id",),
    ),
    LOGGED_MODELS.table(
        "logged_models",
        "Logged models, deleted ones where the source shows them.",
        text("experiment_id", "logged_models.experiment_id", "Experiment it lies in."),
        text("name", "logged_models.name", "Name."),
        uri("artifact_location", "logged_models.artifact_location", "Where the source kept its files."),
        time("creation_timestamp", "logged_models.creation_timestamp_ms", "When it was made."),
        time("last_updated_timestamp", "logged_models.last_updated_timestamp_ms", "When it last changed."),
        text("status", "logged_models.status", "PENDING, READY or FAILED; a number no name is known for as such."),
        text("lifecycle_stage", "logged_models.lifecycle_stage", "`active` or `deleted`.", null=True),
        text("model_type", "logged_models.model_type", "Type, as the user named it.", null=True),
        text("source_run_id", "logged_models.source_run_id", "Run that made it.", null=True),
        text("status_message", "logged_models.status_message", "Why it failed.", null=True),
    ),
    LOGGED_MODELS.table(
        "logged_model_params",
        "Parameters of logged models.",
        text("key", "logged_model_params.param_key", "Parameter name."),
        text("value", "logged_model_params.param_value", "Parameter value as text."),
        text("experiment_id", "logged_model_params.experiment_id", "As the row has it.", null=True),
        key=("key",),
    ),
    LOGGED_MODELS.table(
        "logged_model_tags",
        "Tags of logged models.",
        text("key", "logged_model_tags.tag_key", "Tag key."),
        text("value", "logged_model_tags.tag_value", "Tag value."),
        text("experiment_id", "logged_model_tags.experiment_id", "As the row has it.", null=True),
        key=("key",),
    ),
    LOGGED_MODELS.table(
        "logged_model_metrics",
        "Metrics of logged models; a SQL source has 0 where NaN was logged.",
        text("key", "logged_model_metrics.metric_name", "Metric name."),
        time("timestamp", "logged_model_metrics.metric_timestamp_ms", "When it was logged.", null=False),
        integer("step", "logged_model_metrics.metric_step", "Step."),
        text("run_id", "logged_model_metrics.run_id", "Run that logged it; empty where the source has none."),
        real("value", "logged_model_metrics.metric_value", "Value."),
        text("experiment_id", "logged_model_metrics.experiment_id", "As the row has it.", null=True),
        text("dataset_uuid", "logged_model_metrics.dataset_uuid", "Hidden by the REST API.", null=True),
        text("dataset_name", "logged_model_metrics.dataset_name", "Dataset of the point.", null=True),
        text("dataset_digest", "logged_model_metrics.dataset_digest", "Digest of that dataset.", null=True),
        key=("key", "timestamp", "step", "run_id"),
    ),
)
