"""Searches with the data frames that MLflow's own calls give.

``search_runs`` is as mlflow.tracking.fluent.search_runs, ``search_traces`` as mlflow.tracing.fluent.search_traces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from mlflow_archive.format.json_text import parse_json
from mlflow_archive.kinds import IDENTITIES, RUN, TIMESTAMP, TRACE
from mlflow_archive.optional import needing
from mlflow_archive.reader.adjacent import last_of_each
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.listing import Query, list_objects
from mlflow_archive.reader.inspection.rows import dated, plain_rows
from mlflow_archive.reader.inspection.spans import Span, spans_by_trace
from mlflow_archive.reader.search import SEARCHABLE, Order, parse_order
from mlflow_archive.reader.search.searchable import ATTRIBUTES

if TYPE_CHECKING:
    import pandas as pd

_INFO: Final = ("run_id", "experiment_id", "status", "artifact_uri", "start_time", "end_time")
_TIMES: Final = ("start_time", "end_time")
_TRACE: Final[Mapping[str, str]] = {
    "trace_id": "trace_id",
    "experiment_id": "experiment_id",
    "trace_name": "trace_name",
    "session_id": "session_id",
    "client_request_id": "client_request_id",
    "state": "state",
    "request_time": "request_time",
    "execution_duration_ms": "execution_duration",
}
"""Columns of the table ``traces``, and what MLflow calls them in its data frame."""
_PREVIEWS: Final = ("request_preview", "response_preview")


def search_runs(
    archive: Archive,
    experiments: Sequence[str],
    filter_string: str,
    *,
    order_by: Sequence[str],
    max_results: int | None,
    deleted: bool,
) -> pd.DataFrame:
    """Return one row a run: its info, then a column for each metric (latest value), param and tag of any of them."""
    with needing("pandas", "a data frame"):
        import pandas as pd  # noqa: PLC0415 - takes half a second, and reading commands do without

    query = Query(filter_string=filter_string, experiments=tuple(experiments), stage=None if deleted else "active")
    rows = _ordered_objects(archive, RUN, query, order_by, columns=_INFO, newest="start_time")[:max_results]
    ids = [row["run_id"] for row in rows]
    data: dict[str, Any] = {name: [row[name] for row in rows] for name in _INFO}
    for name in _TIMES:
        data[name] = _times(data[name])
    for group, absent in (("metrics", float("nan")), ("params", None), ("tags", None)):
        data |= _columns_of(group, _values(archive, group, ids), ids, absent)
    return pd.DataFrame(data)


def search_traces(
    archive: Archive,
    experiments: Sequence[str],
    filter_string: str,
    *,
    order_by: Sequence[str],
    max_results: int | None,
    include_spans: bool,
) -> pd.DataFrame:
    """Return one row a trace: its info, then what belongs to it as lists and mappings."""
    with needing("pandas", "a data frame"):
        import pandas as pd  # noqa: PLC0415 - as above

    query = Query(filter_string=filter_string, experiments=tuple(experiments))
    columns = (*_TRACE, *_PREVIEWS)
    rows = _ordered_objects(archive, TRACE, query, order_by, columns=columns, newest="request_time")[:max_results]
    ids = [row["trace_id"] for row in rows]
    data: dict[str, Any] = {_TRACE[name]: [row[name] for row in rows] for name in _TRACE}
    data["request_time"] = _times(data["request_time"])
    spans = spans_by_trace(archive, ids) if include_spans else {}
    for name, values in _said(rows, spans).items():
        data[name] = pd.Series(values, dtype=object)  # one kind of JSON value or several, and None stays None
    for name, table in (("trace_metadata", "trace_metadata"), ("tags", "trace_tags")):
        data[name] = _values_by_key(archive, table, ids)
    if include_spans:
        data["spans"] = [[dict(span.content) for span in spans[trace_id]] for trace_id in ids]
    data["assessments"] = _assessments(archive, ids)
    return pd.DataFrame(data)


def _values_by_key(archive: Archive, table: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the pairs of key and value that each trace has in a table."""
    rows_by_trace = _rows_by_trace(archive, table, ids)
    return [{row["key"]: row["value"] for row in rows_by_trace[trace_id]} for trace_id in ids]


def _assessments(archive: Archive, ids: Sequence[str]) -> list[list[dict[str, Any]]]:
    """Return the assessments of each trace, with what their values say."""
    assessments = _rows_by_trace(archive, "assessments", ids)
    return [[{**row, "value": _read(row["value"], None)} for row in assessments[trace_id]] for trace_id in ids]


def _said(rows: Sequence[Mapping[str, Any]], spans: Mapping[str, Sequence[Span]]) -> dict[str, list[Any]]:
    """Return what was asked and answered: what went into the root span and came out, or the preview of it."""
    data: dict[str, list[Any]] = {"request": [], "response": []}
    for row in rows:
        root = next((span for span in spans.get(row["trace_id"], ()) if span.parent_id is None), None)
        data["request"].append(_read(root.inputs if root else None, row["request_preview"]))
        data["response"].append(_read(root.outputs if root else None, row["response_preview"]))
    return data


def _rows_by_trace(archive: Archive, table: str, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a table by trace, without those columns that hold nothing; times as ``datetime``."""
    rows_by_trace: dict[str, list[dict[str, Any]]] = {trace_id: [] for trace_id in ids}
    for batch in archive.batches(table, owners=ids):
        for row in dated(plain_rows(batch)):
            rows_by_trace[row.pop("trace_id")].append(
                {name: value for name, value in row.items() if value is not None or name == "value"}
            )
    return rows_by_trace


def _read(text: str | None, otherwise: str | None) -> Any:
    """Return what a JSON text says, as MLflow does; a text that is none as it is."""
    text = otherwise if text is None else text
    if text is None:
        return None
    try:
        return parse_json(text)
    except ValueError:
        return text


def _columns_of(
    group: str, values: Mapping[str, Mapping[str, Any]], run_ids: Sequence[str], missing: float | None
) -> dict[str, Any]:
    return {f"{group}.{key}": [values[key].get(run_id, missing) for run_id in run_ids] for key in sorted(values)}


def _times(values: list[int | None]) -> Any:
    """Return times in nanoseconds, as MLflow does, but in milliseconds where one is too far for that."""
    import pandas as pd  # noqa: PLC0415 - as above

    try:
        return pd.to_datetime(values, unit="ms", utc=True)
    except (pd.errors.OutOfBoundsDatetime, OverflowError):
        return pa.array([None if value is None else int(value) for value in values], TIMESTAMP).to_pandas()


def _column(order: Order) -> str:
    return order.field.name if order.field.group == ATTRIBUTES else f"{order.field.group}.{order.field.name}"


def _ordered_objects(
    archive: Archive, kind: str, query: Query, order_by: Sequence[str], *, columns: Sequence[str], newest: str
) -> list[dict[str, Any]]:
    """Return the objects of a kind that a query takes, sorted, with some columns and those that they are sorted by."""
    orders = [parse_order(text, SEARCHABLE[kind]) for text in order_by]
    names = list(dict.fromkeys([*columns, *map(_column, orders)]))
    rows = list_objects(archive, kind, query, columns=names)
    return _ordered(rows, orders, newest=newest, identity=IDENTITIES[kind].key[0])


def _ordered(
    rows: list[dict[str, Any]], orders: Sequence[Order], *, newest: str, identity: str
) -> list[dict[str, Any]]:
    """Sort as MLflow does: by each order, what has no value last, then newest first, then by id."""
    rows = sorted(rows, key=lambda row: (-(row[newest] or 0), row[identity]))
    for order in reversed(orders):
        name = _column(order)
        known = [row for row in rows if row[name] is not None and row[name] == row[name]]
        known.sort(key=lambda row: row[name], reverse=order.descending)
        rows = known + [row for row in rows if row[name] is None or row[name] != row[name]]
    return rows


def _values(archive: Archive, table: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return key to run id to value; of metrics the last in the order of the table, which is the latest."""
    values_by_key: dict[str, dict[str, Any]] = {}
    for rows in archive.batches(table, columns=["run_id", "key", "value"], owners=ids):
        latest = last_of_each(rows, ("run_id", "key")) if table == "metrics" else rows
        for run_id, key, value in zip(*(latest[name].to_pylist() for name in ("run_id", "key", "value")), strict=True):
            values_by_key.setdefault(key, {})[run_id] = value
    return values_by_key
