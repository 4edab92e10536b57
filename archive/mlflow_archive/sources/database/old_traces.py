"""Traces of a schema before MLflow's revision 75868b020152, as ``mlflow db upgrade`` would make them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from mlflow_archive.kinds import TABLES
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.sources.database.runs import plain
from mlflow_archive.sources.database.snapshot import Schema
from mlflow_archive.sources.reading.trace_columns import take_columns

_PAIRS = ("trace_tags", "trace_metadata")


def lacks_trace_columns(schema: Schema) -> bool:
    """Return whether name, session, tokens and cost of a trace are among its tags and metadata."""
    return "trace_name" not in schema.columns.get(MAPS["traces"].stored_in, ())


def with_trace_columns(tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """Return the tables of some traces with what lies among tags and metadata in columns of ``traces``."""
    pairs: dict[str, dict[str, dict[str, str | None]]] = {name: {} for name in _PAIRS}
    for name in _PAIRS:
        for row in plain(tables[name]):
            pairs[name].setdefault(row["trace_id"], {})[row["key"]] = row["value"]
    traces = [
        {**row, **take_columns(*(pairs[name].get(row["trace_id"], {}) for name in _PAIRS))}
        for row in plain(tables["traces"])
    ]
    rows: dict[str, list[dict[str, Any]]] = {"traces": traces}
    for name in _PAIRS:
        rows[name] = [
            {"trace_id": trace_id, "key": key, "value": value}
            for trace_id, values in pairs[name].items()
            for key, value in values.items()
        ]
    return tables | {name: pa.Table.from_pylist(rows[name], schema=TABLES[name].schema) for name in rows}
