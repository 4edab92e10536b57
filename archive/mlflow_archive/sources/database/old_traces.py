"""Traces of a schema before MLflow's revision 75868b020152, as ``mlflow db upgrade`` would make them.

It fills columns of traces, spans and assessments: out of tags and metadata, of the tables ``trace_metrics`` and
``span_metrics``, and of what spans and assessments hold themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.kinds import TABLES
from mlflow_archive.kinds.traces import COSTS, TOKENS
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.sources.database.columns import Columns
from mlflow_archive.sources.database.runs import plain
from mlflow_archive.sources.reading.trace_columns import assessment_columns, decoded_json, span_columns, take_columns

_PAIRS: Final = ("trace_tags", "trace_metadata")
_GATEWAY: Final = "mlflow.gateway.endpointId"
_FILLED: Final = {"traces": "trace_name", "spans": "model_name", "assessments": "is_numeric_value"}
"""Tables that get columns in that revision, with one of the columns."""

Row = dict[str, Any]
Tables = dict[str, pa.Table]


class OldTraces:
    """Fills columns that a database has no place for, and changes nothing where it has. Used by several threads."""

    def __init__(self, columns: Columns, stored: Mapping[str, Collection[str]]) -> None:
        """``stored`` names the columns of each table of the database."""
        self._columns = columns
        self._lacking = {name for name, column in _FILLED.items() if column not in stored.get(MAPS[name].stored_in, ())}

    def filled(self, tables: Tables) -> Tables:
        """Return the tables of some traces, all but their spans."""
        if "assessments" in self._lacking:
            tables = tables | {"assessments": _with_analytics(tables["assessments"], tables["traces"])}
        return self._with_columns(tables) if "traces" in self._lacking else tables

    def filled_spans(self, spans: pa.Table) -> pa.Table:
        """Return rows of ``spans`` with costs, model and provider."""
        if "spans" not in self._lacking:
            return spans
        costs = self._span_costs(spans["trace_id"].unique().to_pylist())
        rows = [
            row | _of_content(row["content"]) | costs.get((row["trace_id"], row["span_id"]), {}) for row in plain(spans)
        ]
        return pa.Table.from_pylist(rows, schema=spans.schema)

    def _with_columns(self, tables: Tables) -> Tables:
        pairs: dict[str, dict[str, dict[str, str | None]]] = {name: {} for name in _PAIRS}
        for name in _PAIRS:
            for row in plain(tables[name]):
                pairs[name].setdefault(row["trace_id"], {})[row["key"]] = row["value"]
        tags, metadata = (pairs[name] for name in _PAIRS)
        tokens = self._tokens(tables["traces"]["trace_id"].to_pylist())
        costs = self._total_costs([trace_id for trace_id, values in metadata.items() if _GATEWAY in values])
        traces = []
        for row in plain(tables["traces"]):
            trace_id = row["trace_id"]
            taken = take_columns(tags.get(trace_id, {}), metadata.get(trace_id, {}))
            traces.append({**row, **costs.get(trace_id, {}), **taken, **tokens.get(trace_id, {})})
        return tables | {
            "traces": pa.Table.from_pylist(traces, schema=TABLES["traces"].schema),
            **{name: pa.Table.from_pylist(_rows(pairs[name]), schema=TABLES[name].schema) for name in _PAIRS},
        }

    def _tokens(self, traces: Collection[str]) -> dict[str, Row]:
        """Return numbers of tokens by trace id; MLflow lets them win over those of the metadata."""
        tokens: dict[str, Row] = {}
        for trace_id, key, value in self._metrics("trace_metrics", ("request_id", "key", "value"), traces):
            if key in TOKENS and value is not None and float(value).is_integer():
                tokens.setdefault(trace_id, {})[key] = int(value)
        return tokens

    def _span_costs(self, traces: Collection[str]) -> dict[tuple[str, str], Row]:
        """Return costs by trace id and span id."""
        costs: dict[tuple[str, str], Row] = {}
        for trace_id, span_id, key, value in self._metrics(
            "span_metrics", ("trace_id", "span_id", "key", "value"), traces
        ):
            if key in COSTS and value is not None:
                costs.setdefault((trace_id, span_id), {})[key] = float(value)
        return costs

    def _total_costs(self, traces: Collection[str]) -> dict[str, Row]:
        """Return what the spans of traces cost together; MLflow adds it up for traces of its gateway."""
        totals: dict[str, Row] = {}
        for (trace_id, _), row in self._span_costs(traces).items():
            if "total_cost" in row:
                total = totals.setdefault(trace_id, {"total_cost": 0.0})
                total["total_cost"] += row["total_cost"]
        return totals

    def _metrics(self, name: str, columns: tuple[str, ...], traces: Collection[str]) -> Iterator[tuple[Any, ...]]:
        if traces and self._columns.has(name):
            yield from self._columns.rows(name, columns, where=(columns[0], traces))


def _rows(pairs: Mapping[str, Mapping[str, str | None]]) -> list[Row]:
    return [
        {"trace_id": trace_id, "key": key, "value": value}
        for trace_id, values in pairs.items()
        for key, value in values.items()
    ]


def _with_analytics(assessments: pa.Table, traces: pa.Table) -> pa.Table:
    trace_rows = {row["trace_id"]: row for row in plain(traces)}
    rows = []
    for row in plain(assessments):
        trace = trace_rows.get(row["trace_id"], {})
        rows.append(
            row | assessment_columns(decoded_json(row["value"]), trace.get("experiment_id"), trace.get("request_time"))
        )
    return pa.Table.from_pylist(rows, schema=TABLES["assessments"].schema)


def _of_content(content: str) -> Row:
    span = decoded_json(content)
    attributes = span.get("attributes") if isinstance(span, dict) else None
    return dict(span_columns(attributes if isinstance(attributes, dict) else {}))
