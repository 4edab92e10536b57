"""What a target cannot hold, so that it is known before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import TABLES, TIMESTAMP
from mlflow_archive.mlflow_database.mapping import TableMap
from mlflow_archive.sinks.restore.database import TargetColumn
from mlflow_archive.sinks.restore.inverting import stored_columns

_STAGES: Final = ("active", "deleted")
_ALLOWED: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    # CHECK constraints of MLflow's schema.
    ("runs", "status"): ("SCHEDULED", "FAILED", "FINISHED", "RUNNING", "KILLED"),
    ("runs", "source_type"): ("NOTEBOOK", "JOB", "LOCAL", "UNKNOWN", "PROJECT"),
    ("runs", "lifecycle_stage"): _STAGES,
    ("experiments", "lifecycle_stage"): _STAGES,
    ("logged_models", "lifecycle_stage"): _STAGES,
}
_FILLED: Final = frozenset(
    {
        ("datasets", "dataset_uuid"),
        ("dataset_inputs", "input_uuid"),
        ("model_inputs", "input_uuid"),
        ("model_outputs", "input_uuid"),
        ("trace_links", "association_id"),
        ("evaluation_dataset_experiments", "association_id"),
    }
)
"""Columns that ``filling`` fills in where the source showed no value."""

_LIMITS: Final = {"integer": 2**31 - 1, "bigint": 2**63 - 1}
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why a row cannot be restored: its table, its key, the column, and what is wrong with what it holds."""

    table: str
    key: Mapping[str, Any]
    column: str
    problem: str

    def to_json(self) -> dict[str, Any]:
        return {"table": self.table, "key": dict(self.key), "column": self.column, "problem": self.problem}

    def __str__(self) -> str:
        key = ", ".join(f"{name} {_short(value)}" for name, value in self.key.items())
        return f"{self.table} ({key}): {self.column} {self.problem}"


def columns_to_check(table: TableMap, columns: Mapping[str, TargetColumn], dialect: str) -> tuple[str, ...]:
    """Return the columns of an archive table in which ``check_rows`` can find anything at all."""
    return tuple(
        name for stored, name in stored_columns(table).items() if _decides(name, table, columns.get(stored), dialect)
    )


def _decides(name: str, table: TableMap, column: TargetColumn | None, dialect: str) -> bool:
    field = TABLES[table.table].schema.field(name)
    if column is None or (field.nullable and not column.nullable):
        return True
    if field.type == pa.string():
        number = column.kind in ("integer", "bigint")
        return dialect != "sqlite" or number or (table.stored_in, column.name) in _ALLOWED
    return column.kind == "integer" and dialect != "sqlite" and field.type in (pa.int64(), TIMESTAMP)


def check_rows(
    rows: pa.Table, table: TableMap, columns: Mapping[str, TargetColumn], dialect: str
) -> Iterator[Obstacle]:
    """Yield what in some rows the target's columns cannot hold. SQLite enforces no lengths, so none are checked.

    Columns that were not read are passed over, and left out of keys.
    """
    for stored, name in stored_columns(table).items():
        if name not in rows.column_names:
            continue
        column = columns.get(stored)
        if column is None:
            held = pc.is_valid(rows[name])
            yield from _obstacles(rows, table, name, held, "has no column in the target", show=False)
            continue
        values = rows[name]
        filled = (table.table, name) in _FILLED
        if not column.nullable and not filled and table.defaults.get(stored) is None:
            yield from _obstacles(
                rows, table, name, pc.is_null(values), "is NULL, which the target refuses", show=False
            )
        if values.type == pa.string():
            yield from _check_text(rows, table, name, column, dialect)
        elif column.kind == "integer" and dialect != "sqlite" and values.type in (pa.int64(), TIMESTAMP):
            large = pc.greater(pc.abs(values.cast(pa.int64())), _LIMITS["integer"])
            yield from _obstacles(rows, table, name, large, "is out of the range of INTEGER")
        elif values.type == pa.float64() and table.nan_flag is None:
            yield from _check_number(rows, table, name, column, dialect)


def _check_number(rows: pa.Table, table: TableMap, name: str, column: TargetColumn, dialect: str) -> Iterator[Obstacle]:
    if dialect == "mysql":
        yield from _obstacles(rows, table, name, pc.invert(pc.is_finite(rows[name])), "is no number that MySQL holds")
    elif dialect == "sqlite" and not column.nullable:
        yield from _obstacles(
            rows, table, name, pc.is_nan(rows[name]), "becomes NULL in SQLite, which is refused there"
        )


def _check_text(rows: pa.Table, table: TableMap, name: str, column: TargetColumn, dialect: str) -> Iterator[Obstacle]:
    values = rows[name]
    if column.kind in ("integer", "bigint") and column.name not in table.codes:
        limit = _LIMITS["bigint" if dialect == "sqlite" else column.kind]
        numbers = [_as_number(value) for value in values.to_pylist()]
        bad = pa.array([number is None or abs(number) > limit for number in numbers], pa.bool_())
        yield from _obstacles(rows, table, name, bad, f"is no number up to {limit}")
        return
    if dialect != "sqlite" and column.length is not None:
        long = pc.greater(pc.utf8_length(values), column.length)
        yield from _obstacles(rows, table, name, long, f"is longer than {column.length} characters")
    if column.most_bytes is not None:
        large = pc.greater(pc.binary_length(values), column.most_bytes)
        yield from _obstacles(rows, table, name, large, f"takes more than {column.most_bytes} bytes")
    if allowed := _ALLOWED.get((table.stored_in, column.name)):
        bad = pc.and_(pc.invert(pc.is_in(values, value_set=pa.array(allowed))), pc.is_valid(values))
        yield from _obstacles(rows, table, name, bad, f"is not one of {', '.join(allowed)}")


def _obstacles(
    rows: pa.Table, table: TableMap, name: str, bad: Any, problem: str, *, show: bool = True
) -> Iterator[Obstacle]:
    if not pc.any(bad).as_py():
        return
    rows = rows.filter(bad)
    for index in range(rows.num_rows):
        key = {part: _plain(rows[part][index]) for part in TABLES[table.table].key if part in rows.column_names}
        value = f" ({_short(_plain(rows[name][index]))})" if show else ""
        yield Obstacle(table=table.table, key=key, column=name, problem=problem + value)


def _plain(value: Any) -> Any:
    return value.cast(pa.int64()).as_py() if pa.types.is_timestamp(value.type) else value.as_py()


def _as_number(value: str | None) -> int | None:
    try:
        return 0 if value is None else int(value)
    except ValueError:
        return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
