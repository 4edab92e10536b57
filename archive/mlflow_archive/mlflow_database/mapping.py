"""Which database column holds which archive column; read by the database source, inverted by the restore.

``Column.origin`` says where MLflow's database has a column, so a map follows from its table; what cannot follow (joins,
codes, values that tell rows apart, other names, what is left out) is said here, in the order of the families of
``kinds``. Types follow from the archive's schema: an archive string over an integer column is that integer in decimal,
over a JSON column its text; an archive timestamp over a BIGINT is milliseconds since the epoch.

>>> MAPS["params"].fields["run_id"]
'run_uuid'
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from mlflow_archive.kinds import DEFAULT_WORKSPACE, EXPERIMENT, IDENTITIES, KINDS, TABLES, Column, Table

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

    A row is restored by inverting this: joined columns are looked up in the rows they come from.

    ``kind`` is the entity the rows belong to, and ``owner`` the column of ``stored_in`` with the owner's id, which
    is ``root_id`` of ``root`` (see ROOTS). ``fields`` maps archive columns to columns of ``stored_in``, or to
    ``table.column`` of a join; archive columns that are absent have no place in a database (null when read).
    ``where`` holds the values that tell these rows from others in ``stored_in``, and that a restored row gets.
    ``defaults`` are values for rows of schema revisions that lack a column, and for columns a restore has no value
    for. ``nan_flag`` names the boolean column that makes ``value`` NaN (MLflow stores 0 there).
    ``codes`` names the numbers of a column (database column: number to text); a number without a name is its decimal
    text. ``not_carried`` lists columns of the newest schema that are deliberately left out, with the reason.
    ``blanked`` gives values for columns that are never archived and that a restored row must have all the same.
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
    codes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    blanked: Mapping[str, Constant | bytes] = field(default_factory=dict)
    not_carried: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """The table whose rows are the entities of a kind; a row elsewhere whose owner is not in it is an orphan.

    ``root_id`` is the column that names the entity (one of two, where it is named within a workspace); ``parent``
    names the column and root table of the entity this one lies in, such as a run's experiment.
    """

    kind: str
    stored_in: str
    root_id: str
    parent: tuple[str, str] | None = None


_EVERYWHERE: Final = MappingProxyType({"workspace": DEFAULT_WORKSPACE, "lifecycle_stage": "active"})
"""Values of columns that older revisions of the schema lack in every table."""


def _mapped(
    name: str,
    *,
    stored_in: str | None = None,
    owner: str | None = None,
    renamed: Mapping[str, str] | None = None,
    joins: tuple[Join, ...] = (),
    defaults: Mapping[str, Constant] | None = None,
    not_carried: Mapping[str, str] | None = None,
    **options: Any,
) -> TableMap:
    """Return the map of a table: what its columns say, and what differs. ``renamed`` are columns with other names."""
    table = TABLES[name]
    fields = {c.name: _place(c, joins) for c in table.columns if c.database_column} | dict(renamed or {})
    return TableMap(
        table=name,
        stored_in=stored_in or _stored_in(table),
        kind=table.entity or "",
        owner=owner or fields[table.owner[0]],
        fields=fields,
        joins=joins,
        defaults={**{c: value for c, value in _EVERYWHERE.items() if c in fields}, **(defaults or {})},
        not_carried={**(not_carried or {}), **{derived.name: derived.reason for derived in table.derived}},
        **options,
    )


def _place(column: Column, joins: tuple[Join, ...]) -> str:
    """Return the column of the table's own rows, or of a joined table that the column's origin names."""
    table, _, name = column.database_column.partition(".")
    return column.database_column if table in [join.table for join in joins] else name


def _stored_in(table: Table) -> str:
    """Return the table that most columns come from, those aside that name the owner and may be another's."""
    own = [column for column in table.columns if column.name not in table.owner and column.database_column]
    return Counter(column.database_column.partition(".")[0] for column in own).most_common(1)[0][0]


_DATASET_EDGE: Final = MappingProxyType({"source_type": "DATASET", "destination_type": "RUN"})
_SECRET: Final = "Secrets are never archived."  # noqa: S105 - a reason

_DIFFERENT: Final = (
    # runs
    _mapped("metrics", defaults={"step": 0, "is_nan": False}, nan_flag="is_nan"),
    _mapped("datasets", owner="dataset_uuid"),
    _mapped(
        "dataset_inputs",
        stored_in="inputs",
        renamed={"run_id": "destination_id"},
        joins=(Join(table="datasets", on={"dataset_uuid": "source_id"}),),
        where=_DATASET_EDGE,
        defaults={"step": 0},
    ),
    _mapped(
        "dataset_input_tags",
        stored_in="input_tags",
        renamed={"run_id": "inputs.destination_id"},
        joins=(
            Join(table="inputs", on={"input_uuid": "input_uuid"}),
            Join(table="datasets", on={"dataset_uuid": "inputs.source_id"}),
        ),
        where={f"inputs.{column}": value for column, value in _DATASET_EDGE.items()},
    ),
    # logged models
    _mapped(
        "model_inputs",
        renamed={"run_id": "source_id"},
        where={"source_type": "RUN_INPUT", "destination_type": "MODEL_INPUT"},
        defaults={"step": 0},
    ),
    _mapped(
        "model_outputs",
        renamed={"run_id": "source_id"},
        where={"source_type": "RUN_OUTPUT", "destination_type": "MODEL_OUTPUT"},
        defaults={"step": 0},
    ),
    _mapped(
        "logged_models",
        # mlflow.entities.LoggedModelStatus.to_int
        codes={"status": {0: "UNSPECIFIED", 1: "PENDING", 2: "READY", 3: "FAILED"}},
    ),
    # traces
    _mapped("traces", defaults={"db_payload_generation": 0}),
    _mapped("assessments", renamed={"trace_id": "trace_id"}, defaults={"valid": True, "is_numeric_value": False}),
    _mapped(
        "spans",
        renamed={"trace_id": "trace_id"},
        not_carried={
            "duration_ns": "The database computes it from start and end.",
            "dimension_attributes": "Only between two revisions of 2026; follows from the content.",
        },
    ),
    _mapped("trace_links", renamed={"trace_id": "source_id"}, where={"source_type": "trace"}),
    # registry
    _mapped("webhooks", not_carried={"secret": _SECRET}),
    # evaluation and review
    _mapped(
        "evaluation_dataset_experiments",
        renamed={"dataset_id": "source_id"},
        where={"source_type": "evaluation_dataset", "destination_type": "experiment"},
    ),
    _mapped("label_schemas", defaults={"is_default": False}),
    # gateway
    _mapped(
        "gateway_secrets",
        not_carried={
            **dict.fromkeys(("encrypted_value", "wrapped_dek", "kek_version", "masked_value"), _SECRET),
            "auth_config": "It may hold credentials.",
        },
        blanked={"encrypted_value": b"", "wrapped_dek": b"", "kek_version": 0, "masked_value": ""},
    ),
    _mapped("gateway_endpoints", defaults={"usage_tracking": False}),
    _mapped("gateway_endpoint_models", defaults={"linkage_type": "PRIMARY"}),
)


def _maps() -> Iterator[TableMap]:
    different = {table_map.table: table_map for table_map in _DIFFERENT}
    for table in TABLES.values():
        if table.entity in KINDS:
            yield different.get(table.name) or _mapped(table.name)


MAPS: Final = MappingProxyType({table_map.table: table_map for table_map in _maps()})
"""By archive table. Tables without a map have no place in a database."""


def _root(identity: Table) -> Root:
    """Return the root of a kind; it lies in an experiment where its own row always names one."""
    rows = MAPS[identity.name]
    in_experiment = rows.kind != EXPERIMENT and any(
        column.name == "experiment_id" and not column.nullable for column in identity.columns
    )
    parent = (MAPS["experiments"].owner, MAPS["experiments"].stored_in) if in_experiment else None
    return Root(kind=rows.kind, stored_in=rows.stored_in, root_id=rows.owner, parent=parent)


ROOTS: Final = MappingProxyType({kind: _root(IDENTITIES[kind]) for kind in KINDS})
"""By kind of entity."""

DERIVED: Final = MappingProxyType(
    {
        "latest_metrics": "The newest point of each metric of a run; rebuilt by a restore.",
        "sql_trace_metric_daily_rollups": "Analytics that the server makes from traces.",
        "sql_span_cost_daily_rollups": "Analytics that the server makes from spans.",
        "sql_assessment_daily_rollups": "Analytics that the server makes from assessments.",
        "trace_metrics": "An earlier form of the token columns of traces; MLflow 3.17 does not use it.",
        "issue_categories": "The categories of an issue, one a row; rebuilt by a restore.",
        "span_metrics": "An earlier form of the cost columns of spans; MLflow 3.17 does not use it.",
    }
)
"""Tables of the database that follow from others: never archived."""

LEFT_OUT: Final = MappingProxyType(
    {
        "alembic_version": "The schema revision is a fact of the source in the manifest.",
        "sql_trace_rollup_rebuild_queue": "Work queue of the server.",
        "jobs": "Work of the server, with hashes of tokens.",
        "job_locks": "Work of the server.",
        "scheduler_leases": "Work of the server.",
    }
)
"""Tables of the database that are never archived, for another reason."""
