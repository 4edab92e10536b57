"""Experiments and runs with all that is theirs, and the datasets runs took as input."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from mlflow_archive.kinds.files import ObjectFiles
from mlflow_archive.kinds.model import (
    DATASET,
    EXPERIMENT,
    RUN,
    WORKSPACE,
    Column,
    Kind,
    integer,
    listing,
    text,
    time,
    uri,
)

EXPERIMENT_ID = text("experiment_id", "experiments.experiment_id", "Id of the experiment at the source.")

EXPERIMENTS: Final = Kind(
    name=EXPERIMENT,
    owner=(EXPERIMENT_ID,),
    refers=(WORKSPACE,),
    lists=(listing("experiments", "experiment_id name runs creation_time"),),
    keeps_blank_texts=True,
)
DATASETS: Final = Kind(
    name=DATASET,
    owner=(
        EXPERIMENT_ID,
        text("name", "datasets.name", "Dataset name."),
        text("digest", "datasets.digest", "Digest as MLflow computed it; not a checksum of ours."),
    ),
    refers=(EXPERIMENT,),
    lists=(listing("datasets", "name digest experiment source_type source", note="inputs of runs"),),
)
RUNS: Final = Kind(
    name=RUN,
    owner=(text("run_id", "runs.run_uuid", "Id of the run at the source."),),
    refers=(EXPERIMENT, DATASET),
    word="runs",
    lists=(listing("runs", "run_id run_name experiment status start_time duration", newest="start_time"),),
    incremental=True,
    largest="metrics",
    files=ObjectFiles(),
    keeps_blank_texts=True,
)

_TAG_VALUE: Final = "Tag value; null only where a database holds NULL."

KINDS: Final = (EXPERIMENTS, DATASETS, RUNS)

TABLES: Final = (
    EXPERIMENTS.table(
        "experiments",
        "Experiments, deleted ones too.",
        text("name", "experiments.name", "Name; a deleted experiment may share it with an active one."),
        uri("artifact_location", "experiments.artifact_location", "Root of new runs at the source."),
        text("lifecycle_stage", "experiments.lifecycle_stage", "`active` or `deleted`."),
        time("creation_time", "experiments.creation_time", "When it was made; null before MLflow 1.30."),
        time("last_update_time", "experiments.last_update_time", "When name or stage last changed."),
        text("workspace", "experiments.workspace", "Workspace; null where the source has none.", null=True),
    ),
    EXPERIMENTS.tags("experiment_tags", "Tags of experiments.", value=_TAG_VALUE),
    RUNS.table(
        "runs",
        "Runs with every field of RunInfo, and what only a database shows.",
        text("run_uuid", "RunInfo.run_uuid", "The older name of run_id, where the source states it.", null=True),
        EXPERIMENT_ID,
        text("run_name", "runs.name", "Name; null where the source has none.", null=True),
        text("user_id", "runs.user_id", "User as the source recorded it.", null=True),
        text("status", "runs.status", "RUNNING, SCHEDULED, FINISHED, FAILED or KILLED.", null=True),
        time("start_time", "runs.start_time", "Start."),
        time("end_time", "runs.end_time", "End; null while it runs. The API shows an end at 0 as none."),
        text("lifecycle_stage", "runs.lifecycle_stage", "`active` or `deleted`."),
        uri("artifact_uri", "runs.artifact_uri", "Where the source kept the artifacts."),
        time("deleted_time", "runs.deleted_time", "When it was deleted; hidden by the REST API."),
        text("source_type", "runs.source_type", "Hidden by the REST API.", null=True),
        text("source_name", "runs.source_name", "Hidden by the REST API.", null=True),
        text("entry_point_name", "runs.entry_point_name", "Hidden by the REST API.", null=True),
        text("source_version", "runs.source_version", "Hidden by the REST API.", null=True),
    ),
    RUNS.table(
        "params",
        "Parameters of runs.",
        text("key", "params.key", "Parameter name."),
        text("value", "params.value", "Parameter value as text."),
        key=("key",),
    ),
    RUNS.tags("tags", "Tags of runs, MLflow's own `mlflow.` tags included.", value=_TAG_VALUE),
    RUNS.table(
        "metrics",
        "Metric histories in full. A point logged twice is two rows where the source has both.",
        text("key", "metrics.key", "Metric name."),
        integer("step", "metrics.step", "Step; may be negative.", delta=True),
        time("timestamp", "metrics.timestamp", "When it was logged.", null=False),
        Column(
            name="value",
            type=pa.float64(),
            nullable=False,
            origin="metrics.value, metrics.is_nan",
            description="Value; NaN and infinities as they are. A SQL source has ±1.7976931348623157e308 for ±Inf.",
            byte_stream_split=True,
        ),
        text("dataset_name", "Metric.dataset_name", "Dataset of the point, where there is one.", null=True),
        text("dataset_digest", "Metric.dataset_digest", "Digest of that dataset.", null=True),
        key=("key", "step", "timestamp"),
        unique=False,
        extra_sort=("value", "dataset_name", "dataset_digest"),
    ),
    DATASETS.table(
        "datasets",
        "Datasets that runs took as input; MLflow keeps one per experiment, name and digest.",
        text("dataset_uuid", "datasets.dataset_uuid", "Hidden by the REST API.", null=True),
        text("source_type", "datasets.dataset_source_type", "Kind of source."),
        text("source", "datasets.dataset_source", "Source as JSON text, unchanged."),
        text("schema", "datasets.dataset_schema", "Schema as JSON text, unchanged.", null=True),
        text("profile", "datasets.dataset_profile", "Profile as JSON text, unchanged.", null=True),
    ),
    RUNS.table(
        "dataset_inputs",
        "Which run took which dataset of its experiment as input.",
        text("dataset_name", "datasets.name", "Name in `datasets`, in the run's experiment."),
        text("dataset_digest", "datasets.digest", "Digest in `datasets`."),
        text("input_uuid", "inputs.input_uuid", "Hidden by the REST API.", null=True),
        key=("dataset_name", "dataset_digest"),
    ),
    RUNS.table(
        "dataset_input_tags",
        "Tags of a dataset input, such as `mlflow.data.context`.",
        text("dataset_name", "datasets.name", "Name in `datasets`."),
        text("dataset_digest", "datasets.digest", "Digest in `datasets`."),
        text("key", "input_tags.name", "Tag key."),
        text("value", "input_tags.value", "Tag value."),
        key=("dataset_name", "dataset_digest", "key"),
    ),
)
