"""``search_runs`` with the data frame that ``mlflow.search_runs`` gives (mlflow.tracking.fluent.search_runs)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from mlflow_archive.kinds import RUN, TIMESTAMP
from mlflow_archive.optional import needing
from mlflow_archive.reader.adjacent import last_of_each
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.listing import Query, list_objects
from mlflow_archive.reader.search import SEARCHABLE, Order, parse_order
from mlflow_archive.reader.search.searchable import ATTRIBUTES

if TYPE_CHECKING:
    import pandas as pd

_INFO: Final = ("run_id", "experiment_id", "status", "artifact_uri", "start_time", "end_time")
_TIMES: Final = ("start_time", "end_time")
_SEARCHABLE: Final = SEARCHABLE[RUN]


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

    orders = [parse_order(text, _SEARCHABLE) for text in order_by]
    query = Query(filter_string=filter_string, experiments=tuple(experiments), stage=None if deleted else "active")
    columns = list(dict.fromkeys([*_INFO, *(_column(order) for order in orders)]))
    rows = list_objects(archive, RUN, query, columns=columns)
    rows = _ordered(rows, orders)[:max_results]
    ids = [row["run_id"] for row in rows]
    data: dict[str, Any] = {name: [row[name] for row in rows] for name in _INFO}
    for name in _TIMES:
        data[name] = _times(data[name])
    for group, missing in (("metrics", float("nan")), ("params", None), ("tags", None)):
        data |= _columns_of(group, _values(archive, group, ids), ids, missing)
    return pd.DataFrame(data)


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


def _ordered(rows: list[dict[str, Any]], orders: Sequence[Order]) -> list[dict[str, Any]]:
    """Sort as MLflow does: by each order, runs without a value last, then newest first, then by id."""
    rows = sorted(rows, key=lambda row: (-(row["start_time"] or 0), row["run_id"]))
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
