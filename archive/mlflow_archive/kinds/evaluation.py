"""Evaluation datasets and scorers."""

from __future__ import annotations

from typing import Final

from mlflow_archive.kinds.model import (
    EVALUATION_DATASET,
    EXPERIMENT,
    GATEWAY_ENDPOINT,
    SCORER,
    TRACE,
    Kind,
    integer,
    listing,
    real,
    text,
    time,
)

EVALUATION_DATASETS: Final = Kind(
    name=EVALUATION_DATASET,
    owner=(text("dataset_id", "evaluation_datasets.dataset_id", "Id at the source."),),
    refers=(EXPERIMENT, TRACE),
    word="evaluation-datasets",
    lists=(listing("evaluation-datasets", "dataset_id name digest created_time created_by"),),
)
SCORERS: Final = Kind(
    name=SCORER,
    owner=(text("scorer_id", "scorers.scorer_id", "Id at the source; `experiment_id/name` if a server shows none."),),
    refers=(EXPERIMENT, GATEWAY_ENDPOINT),
    word="scorers",
    lists=(listing("scorers", "scorer_id experiment name"),),
    keeps_blank_texts=True,
)

KINDS: Final = (EVALUATION_DATASETS, SCORERS)

TABLES: Final = (
    EVALUATION_DATASETS.table(
        "evaluation_datasets",
        "Evaluation datasets; names are not unique.",
        text("name", "evaluation_datasets.name", "Name."),
        text("schema", "evaluation_datasets.schema", "Schema as JSON text.", null=True),
        text("profile", "evaluation_datasets.profile", "Profile as JSON text.", null=True),
        text("digest", "evaluation_datasets.digest", "Digest as MLflow computed it.", null=True),
        time("created_time", "evaluation_datasets.created_time", "When it was made."),
        time("last_update_time", "evaluation_datasets.last_update_time", "When it last changed."),
        text("created_by", "evaluation_datasets.created_by", "Who made it.", null=True),
        text("last_updated_by", "evaluation_datasets.last_updated_by", "Who changed it.", null=True),
        text("workspace", "evaluation_datasets.workspace", "Workspace.", null=True),
    ),
    EVALUATION_DATASETS.tags("evaluation_dataset_tags", "Tags of evaluation datasets."),
    EVALUATION_DATASETS.table(
        "evaluation_dataset_records",
        "Records of evaluation datasets. JSON is the text of the source, but for databases whose JSON "
        "type keeps no text.",
        text("dataset_record_id", "evaluation_dataset_records.dataset_record_id", "Id at the source."),
        text("inputs", "evaluation_dataset_records.inputs", "JSON text."),
        text("outputs", "evaluation_dataset_records.outputs", "JSON text.", null=True),
        text("expectations", "evaluation_dataset_records.expectations", "JSON text.", null=True),
        text("tags", "evaluation_dataset_records.tags", "JSON text.", null=True),
        text("source", "evaluation_dataset_records.source", "JSON text.", null=True),
        text("source_id", "evaluation_dataset_records.source_id", "Such as a trace id.", null=True),
        text("source_type", "evaluation_dataset_records.source_type", "TRACE, HUMAN, ….", null=True),
        time("created_time", "evaluation_dataset_records.created_time", "When it was made."),
        time("last_update_time", "evaluation_dataset_records.last_update_time", "When it changed."),
        text("created_by", "evaluation_dataset_records.created_by", "Who made it.", null=True),
        text("last_updated_by", "evaluation_dataset_records.last_updated_by", "Who changed it.", null=True),
        text("input_hash", "evaluation_dataset_records.input_hash", "By which equal inputs are found.", null=True),
        key=("dataset_record_id",),
    ),
    EVALUATION_DATASETS.table(
        "evaluation_dataset_experiments",
        "Experiments an evaluation dataset belongs to.",
        text("experiment_id", "entity_associations.destination_id", "Id of the experiment."),
        text("association_id", "entity_associations.association_id", "Hidden by the REST API.", null=True),
        time("created_time", "entity_associations.created_time", "Hidden by the REST API."),
        key=("experiment_id",),
    ),
    SCORERS.table(
        "scorers",
        "Registered scorers.",
        text("experiment_id", "scorers.experiment_id", "Experiment it lies in."),
        text("name", "scorers.scorer_name", "Name."),
    ),
    SCORERS.table(
        "scorer_versions",
        "Versions of scorers; their text may hold program code, which is never run.",
        integer("version", "scorer_versions.scorer_version", "Number."),
        text("serialized_scorer", "scorer_versions.serialized_scorer", "The scorer as text, unchanged."),
        time("creation_time", "scorer_versions.creation_time", "When it was made."),
        key=("version",),
    ),
    SCORERS.table(
        "online_scoring_configs",
        "Automatic scoring; an import brings it switched off.",
        text("online_scoring_config_id", "online_scoring_configs.online_scoring_config_id", "Id at the source."),
        real("sample_rate", "online_scoring_configs.sample_rate", "Share of traces, 0 to 1.", null=False),
        text("experiment_id", "online_scoring_configs.experiment_id", "Experiment it watches."),
        text("filter_string", "online_scoring_configs.filter_string", "Which traces.", null=True),
        key=("online_scoring_config_id",),
    ),
)
