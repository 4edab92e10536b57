"""Experiments, runs and datasets in the database."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from mlflow_archive.kinds import DATASET, EXPERIMENT, RUN
from mlflow_archive.mlflow_database.mapping.model import Join, Root, TableMap

RUN_ROOTS: Final = (
    Root(kind=EXPERIMENT, stored_in="experiments", root_id="experiment_id"),
    Root(kind=RUN, stored_in="runs", root_id="run_uuid", parent=("experiment_id", "experiments")),
    Root(kind=DATASET, stored_in="datasets", root_id="dataset_uuid", parent=("experiment_id", "experiments")),
)

_DATASET_OF_INPUT: Final = Join(table="datasets", on={"dataset_uuid": "source_id"})
_DATASET_EDGE: Final = MappingProxyType({"source_type": "DATASET", "destination_type": "RUN"})

RUN_MAPS: Final = (
    TableMap(
        table="experiments",
        stored_in="experiments",
        kind=EXPERIMENT,
        owner="experiment_id",
        fields={
            "experiment_id": "experiment_id",
            "name": "name",
            "artifact_location": "artifact_location",
            "lifecycle_stage": "lifecycle_stage",
            "creation_time": "creation_time",
            "last_update_time": "last_update_time",
            "workspace": "workspace",
        },
        defaults={"lifecycle_stage": "active", "workspace": "default"},
    ),
    TableMap(
        table="experiment_tags",
        stored_in="experiment_tags",
        kind=EXPERIMENT,
        owner="experiment_id",
        fields={"experiment_id": "experiment_id", "key": "key", "value": "value"},
    ),
    TableMap(
        table="runs",
        stored_in="runs",
        kind=RUN,
        owner="run_uuid",
        fields={
            "run_id": "run_uuid",
            "experiment_id": "experiment_id",
            "run_name": "name",
            "user_id": "user_id",
            "status": "status",
            "start_time": "start_time",
            "end_time": "end_time",
            "lifecycle_stage": "lifecycle_stage",
            "artifact_uri": "artifact_uri",
            "deleted_time": "deleted_time",
            "source_type": "source_type",
            "source_name": "source_name",
            "entry_point_name": "entry_point_name",
            "source_version": "source_version",
        },
        defaults={"lifecycle_stage": "active"},
    ),
    TableMap(
        table="params",
        stored_in="params",
        kind=RUN,
        owner="run_uuid",
        fields={"run_id": "run_uuid", "key": "key", "value": "value"},
    ),
    TableMap(
        table="tags",
        stored_in="tags",
        kind=RUN,
        owner="run_uuid",
        fields={"run_id": "run_uuid", "key": "key", "value": "value"},
    ),
    TableMap(
        table="metrics",
        stored_in="metrics",
        kind=RUN,
        owner="run_uuid",
        fields={"run_id": "run_uuid", "key": "key", "step": "step", "timestamp": "timestamp", "value": "value"},
        defaults={"step": 0, "is_nan": False},
        nan_flag="is_nan",
    ),
    TableMap(
        table="datasets",
        stored_in="datasets",
        kind=DATASET,
        owner="dataset_uuid",
        fields={
            "experiment_id": "experiment_id",
            "name": "name",
            "digest": "digest",
            "dataset_uuid": "dataset_uuid",
            "source_type": "dataset_source_type",
            "source": "dataset_source",
            "schema": "dataset_schema",
            "profile": "dataset_profile",
        },
    ),
    TableMap(
        table="dataset_inputs",
        stored_in="inputs",
        kind=RUN,
        owner="destination_id",
        fields={
            "run_id": "destination_id",
            "dataset_name": "datasets.name",
            "dataset_digest": "datasets.digest",
            "input_uuid": "input_uuid",
        },
        joins=(_DATASET_OF_INPUT,),
        where=_DATASET_EDGE,
        defaults={"step": 0},
    ),
    TableMap(
        table="dataset_input_tags",
        stored_in="input_tags",
        kind=RUN,
        owner="inputs.destination_id",
        fields={
            "run_id": "inputs.destination_id",
            "dataset_name": "datasets.name",
            "dataset_digest": "datasets.digest",
            "key": "name",
            "value": "value",
        },
        joins=(
            Join(table="inputs", on={"input_uuid": "input_uuid"}),
            Join(table="datasets", on={"dataset_uuid": "inputs.source_id"}),
        ),
        where={f"inputs.{column}": value for column, value in _DATASET_EDGE.items()},
    ),
)
