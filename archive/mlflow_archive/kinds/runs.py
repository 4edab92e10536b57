"""Experiments and runs with all that is theirs, and the datasets runs took as input."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from mlflow_archive.kinds.model import (
    DATASET,
    EXPERIMENT,
    RUN,
    WORKSPACE,
    Column,
    Kind,
    Table,
    integer,
    listing,
    text,
    time,
    uri,
)

EXPERIMENT_ID = text("experiment_id", "experiments.experiment_id", "Id of the experiment at the source.")
RUN_ID = text("run_id", "runs.run_uuid", "Id of the run at the source.")

RUN_KINDS: Final = (
    Kind(
        name=EXPERIMENT,
        refers=(WORKSPACE,),
        lists=(listing("experiments", "experiment_id name lifecycle_stage runs creation_time"),),
    ),
    Kind(
        name=DATASET,
        refers=(EXPERIMENT,),
        lists=(listing("datasets", "name digest experiment source_type source", note="inputs of runs"),),
    ),
    Kind(
        name=RUN,
        refers=(EXPERIMENT, DATASET),
        word="runs",
        lists=(listing("runs", "run_id run_name experiment status lifecycle_stage start_time"),),
        incremental=True,
        largest="metrics",
    ),
)

RUN_TABLES: Final = (
    Table(
        name="experiments",
        entity=EXPERIMENT,
        owner=("experiment_id",),
        key=("experiment_id",),
        description="Experiments, deleted ones too.",
        columns=(
            EXPERIMENT_ID,
            text("name", "experiments.name", "Name; a deleted experiment may share it with an active one."),
            uri("artifact_location", "experiments.artifact_location", "Root of new runs at the source."),
            text("lifecycle_stage", "experiments.lifecycle_stage", "`active` or `deleted`."),
            time("creation_time", "experiments.creation_time", "When it was made; null before MLflow 1.30."),
            time("last_update_time", "experiments.last_update_time", "When name or stage last changed."),
            text("workspace", "experiments.workspace", "Workspace; null where the source has none.", null=True),
        ),
    ),
    Table(
        name="experiment_tags",
        entity=EXPERIMENT,
        owner=("experiment_id",),
        key=("experiment_id", "key"),
        description="Tags of experiments.",
        columns=(
            EXPERIMENT_ID,
            text("key", "experiment_tags.key", "Tag key."),
            text("value", "experiment_tags.value", "Tag value; null only where a database holds NULL.", null=True),
        ),
    ),
    Table(
        name="runs",
        entity=RUN,
        owner=("run_id",),
        key=("run_id",),
        description="Runs with every field of RunInfo, and what only a database shows.",
        columns=(
            RUN_ID,
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
    ),
    Table(
        name="params",
        entity=RUN,
        owner=("run_id",),
        key=("run_id", "key"),
        description="Parameters of runs.",
        columns=(
            RUN_ID,
            text("key", "params.key", "Parameter name."),
            text("value", "params.value", "Parameter value as text."),
        ),
    ),
    Table(
        name="tags",
        entity=RUN,
        owner=("run_id",),
        key=("run_id", "key"),
        description="Tags of runs, MLflow's own `mlflow.` tags included.",
        columns=(
            RUN_ID,
            text("key", "tags.key", "Tag key."),
            text("value", "tags.value", "Tag value; null only where a database holds NULL.", null=True),
        ),
    ),
    Table(
        name="metrics",
        entity=RUN,
        owner=("run_id",),
        key=("run_id", "key", "step", "timestamp"),
        extra_sort=("value", "dataset_name", "dataset_digest"),
        unique=False,
        description="Metric histories in full. A point logged twice is two rows where the source has both.",
        columns=(
            RUN_ID,
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
        ),
    ),
    Table(
        name="datasets",
        entity=DATASET,
        owner=("experiment_id", "name", "digest"),
        key=("experiment_id", "name", "digest"),
        description="Datasets that runs took as input; MLflow keeps one per experiment, name and digest.",
        columns=(
            EXPERIMENT_ID,
            text("name", "datasets.name", "Dataset name."),
            text("digest", "datasets.digest", "Digest as MLflow computed it; not a checksum of ours."),
            text("dataset_uuid", "datasets.dataset_uuid", "Hidden by the REST API.", null=True),
            text("source_type", "datasets.dataset_source_type", "Kind of source."),
            text("source", "datasets.dataset_source", "Source as JSON text, unchanged."),
            text("schema", "datasets.dataset_schema", "Schema as JSON text, unchanged.", null=True),
            text("profile", "datasets.dataset_profile", "Profile as JSON text, unchanged.", null=True),
        ),
    ),
    Table(
        name="dataset_inputs",
        entity=RUN,
        owner=("run_id",),
        key=("run_id", "dataset_name", "dataset_digest"),
        description="Which run took which dataset of its experiment as input.",
        columns=(
            RUN_ID,
            text("dataset_name", "datasets.name", "Name in `datasets`, in the run's experiment."),
            text("dataset_digest", "datasets.digest", "Digest in `datasets`."),
            text("input_uuid", "inputs.input_uuid", "Hidden by the REST API.", null=True),
        ),
    ),
    Table(
        name="dataset_input_tags",
        entity=RUN,
        owner=("run_id",),
        key=("run_id", "dataset_name", "dataset_digest", "key"),
        description="Tags of a dataset input, such as `mlflow.data.context`.",
        columns=(
            RUN_ID,
            text("dataset_name", "datasets.name", "Name in `datasets`."),
            text("dataset_digest", "datasets.digest", "Digest in `datasets`."),
            text("key", "input_tags.name", "Tag key."),
            text("value", "input_tags.value", "Tag value."),
        ),
    ),
)
