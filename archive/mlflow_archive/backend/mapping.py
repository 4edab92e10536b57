"""Which database column holds which archive column; read by the database source, inverted by the restore.

Adding a kind of MLflow object to both means adding its :class:`TableMap` here. Types follow from the archive's
schema: an archive string over an integer column is that integer in decimal, an archive timestamp over a BIGINT is
milliseconds since the epoch.

>>> MAPS["params"].fields["run_id"]
'run_uuid'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from mlflow_archive.format.tables import DATASET, EXPERIMENT, RUN

Constant = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """An inner join to the row of ``table`` in which each column of ``on`` (joined column: own column) is equal.

    The own column may be ``othertable.column`` of an earlier join.
    """

    table: str
    on: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMap:
    """Where the rows of the archive table ``table`` lie: in ``stored_in``, one database row each.

    ``kind`` is the entity the rows belong to, and ``owner`` the column of ``stored_in`` with the owner's id, which
    is ``root_id`` of ``root`` (see ROOTS). ``fields`` maps archive columns to columns of ``stored_in``, or to
    ``table.column`` of a join; archive columns that are absent have no place in a database (null when read).
    ``where`` holds the values that tell these rows from others in ``stored_in``, and that a restored row gets.
    ``defaults`` are values for rows of schema revisions that lack a column, and for columns a restore has no value
    for. ``nan_flag`` names the boolean column that makes ``value`` NaN (MLflow stores 0 there).
    ``not_carried`` lists columns of the newest schema that are deliberately left out, with the reason.
    """

    table: str
    stored_in: str
    kind: str
    owner: str
    fields: Mapping[str, str]
    joins: tuple[Join, ...] = ()
    where: Mapping[str, Constant] = field(default_factory=dict)
    defaults: Mapping[str, Constant] = field(default_factory=dict)
    nan_flag: str | None = None
    not_carried: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """The table whose rows are the entities of a kind; a row elsewhere whose owner is not in it is an orphan.

    ``parent`` names the column and root table of the entity this one lies in, such as a run's experiment.
    """

    kind: str
    stored_in: str
    root_id: str
    parent: tuple[str, str] | None = None


ROOTS: Final = MappingProxyType(
    {
        root.kind: root
        for root in (
            Root(kind=EXPERIMENT, stored_in="experiments", root_id="experiment_id"),
            Root(kind=RUN, stored_in="runs", root_id="run_uuid", parent=("experiment_id", "experiments")),
            Root(kind=DATASET, stored_in="datasets", root_id="dataset_uuid", parent=("experiment_id", "experiments")),
        )
    }
)

_DATASET_OF_INPUT: Final = Join(table="datasets", on={"dataset_uuid": "source_id"})
_DATASET_EDGE: Final = MappingProxyType({"source_type": "DATASET", "destination_type": "RUN"})

_MAPS: Final = (
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

MAPS: Final = MappingProxyType({each.table: each for each in _MAPS})

DERIVED: Final = MappingProxyType({"latest_metrics": "The newest point of each metric of a run; rebuilt by a restore."})
"""Tables of the database that follow from others: never archived."""
