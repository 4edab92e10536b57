"""Lists of experiments, runs and artifacts of an archive, filtered and sorted, read without loading whole tables.

>>> query = RunQuery(params={"lr": "0.1"}, metrics=(MetricCondition(key="loss", operator="<", value=0.1),))
>>> list_runs(archive, query, columns=["run_id", "metrics.loss"], sort="-start_time", limit=10)  # doctest: +SKIP
"""

from __future__ import annotations

import math
import operator as op
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.tables import RUN, TABLES
from mlflow_archive.pipeline import Selection
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.rows import plain_rows

Record = dict[str, Any]

OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = MappingProxyType(
    {"<": op.lt, "<=": op.le, ">": op.gt, ">=": op.ge, "=": op.eq, "==": op.eq, "!=": op.ne}
)
RUN_COLUMNS: Final = (*TABLES["runs"].column_names, "experiment", "duration")
KEYED: Final = ("params", "tags", "metrics")
"""``params.x``, ``tags.x`` and ``metrics.x`` are columns of runs too; a metric's is its latest value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricCondition:
    """A bound on the latest value of a metric; ``operator`` is one of OPERATORS."""

    key: str
    operator: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs: all conditions hold. ``experiments`` are ids, names or globs; ``stage`` is a lifecycle stage."""

    experiments: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    stage: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[MetricCondition, ...] = ()


def list_experiments(archive: Archive, *, sort: str | None = None, limit: int | None = None) -> list[Record]:
    """Return the rows of ``experiments`` with the number of their ``runs``. Raises SelectionError for ``sort``."""
    counts: Counter[str] = Counter()
    for rows in archive.batches("runs", columns=["experiment_id"]):
        counts.update(rows["experiment_id"].to_pylist())
    found = plain_rows(archive.table("experiments"))
    for row in found:
        row["runs"] = counts[row["experiment_id"]]
    return _sorted(found, sort, (*TABLES["experiments"].column_names, "runs"))[:limit]


def list_runs(
    archive: Archive,
    query: RunQuery,
    *,
    columns: Sequence[str],
    sort: str | None = None,
    limit: int | None = None,
) -> list[Record]:
    """Return the selected runs with these columns (RUN_COLUMNS, or KEYED and a key).

    ``sort`` is a column, with ``-`` in front descending; runs without a value come last. Raises SelectionError for
    a column or an experiment that does not exist.
    """
    wanted = list(dict.fromkeys([*columns, *([sort.removeprefix("-")] if sort else [])]))
    for name in wanted:
        if name not in RUN_COLUMNS and not _is_keyed(name):
            raise SelectionError(
                f"runs have no column {name!r}; there are {', '.join(RUN_COLUMNS)}, params.KEY, tags.KEY, metrics.KEY"
            )
    names = _experiment_names(archive, query.experiments)
    kept = _select(archive, query, names)
    rows = plain_rows(kept)
    if any(_is_keyed(name) for name in wanted):
        _add_keyed(archive, rows, [name for name in wanted if _is_keyed(name)])
    for row in rows:
        row["experiment"] = names.get(row["experiment_id"])
        both = row["start_time"] is not None and row["end_time"] is not None
        row["duration"] = row["end_time"] - row["start_time"] if both else None
    ordered = _sorted(rows, sort, wanted)[:limit]
    return [{name: row[name] for name in columns} for row in ordered]


def list_artifacts(archive: Archive, run_id: str | None, prefix: str = "") -> list[Record]:
    """Return ``run_id``, ``path``, ``size`` and ``digest`` of artifacts of a run, or of all, at or below a path."""
    owners = None if run_id is None else [run_id]
    found = []
    for rows in archive.batches("artifacts", owners=owners):
        found += [row for row in rows.to_pylist() if row["owner_kind"] == RUN and is_below(row["path"], prefix)]
    found.sort(key=lambda row: (row["owner_id"], row["path"]))
    return [
        {"run_id": row["owner_id"], "path": row["path"], "size": row["size"], "digest": row["digest"]} for row in found
    ]


def is_below(path: str, prefix: str) -> bool:
    """Say whether a path is ``prefix`` or lies in that folder; all lie below the empty one."""
    prefix = prefix.rstrip("/")
    return not prefix or path == prefix or path.startswith(prefix + "/")


def _is_keyed(name: str) -> bool:
    kind, dot, key = name.partition(".")
    return kind in KEYED and bool(dot and key)


def _experiment_names(archive: Archive, patterns: tuple[str, ...]) -> dict[str, str]:
    """Return id to name of the experiments that are selected."""
    rows = archive.table("experiments", columns=["experiment_id", "name"]).to_pylist()
    pairs = [(row["experiment_id"], row["name"]) for row in rows]
    selection = Selection(experiments=patterns)
    if missing := selection.unmatched_experiments(pairs):
        have = ", ".join(repr(name) for _, name in pairs[:5]) or "none"
        raise SelectionError(
            f"no experiment {missing[0]!r} in {archive.path}; it has {have}{', …' if pairs[5:] else ''}"
        )
    return {key: name for key, name in pairs if selection.matches_experiment(key, name)}


def _select(archive: Archive, query: RunQuery, names: Mapping[str, str]) -> pa.Table:
    rows = archive.table("runs")
    if query.experiments:
        rows = rows.filter(pc.is_in(rows["experiment_id"], pa.array(sorted(names), pa.string())))
    if query.statuses:
        rows = rows.filter(pc.is_in(rows["status"], pa.array(query.statuses, pa.string())))
    if query.stage is not None:
        rows = rows.filter(pc.equal(rows["lifecycle_stage"], query.stage))
    ids: set[str] | None = None
    for table, wanted in (("params", query.params), ("tags", query.tags)):
        for key, value in wanted.items():
            ids = _both(ids, {run for run, found in _values(archive, table, key).items() if found == value})
    for condition in query.metrics:
        holds, bound = OPERATORS[condition.operator], condition.value
        latest = _values(archive, "metrics", condition.key)
        ids = _both(ids, {run for run, value in latest.items() if _holds(holds, value, bound)})
    return rows if ids is None else rows.filter(pc.is_in(rows["run_id"], pa.array(sorted(ids), pa.string())))


def _holds(holds: Callable[[float, float], bool], value: float, bound: float) -> bool:
    if math.isnan(bound):  # "loss=nan" asks for runs that diverged, which no comparison of floats finds
        return holds in (op.eq, op.ne) and math.isnan(value) == (holds is op.eq)
    return holds(value, bound)


def _both(first: set[str] | None, second: set[str]) -> set[str]:
    return second if first is None else first & second


def _values(archive: Archive, table: str, key: str) -> dict[str, Any]:
    """Return run id to the value of one key; of a metric the latest one: greatest step, then time, then value."""
    found: dict[str, Any] = {}
    columns = ["run_id", "key", "value"]
    for rows in archive.batches(table, columns=columns):
        kept = rows.filter(pc.equal(rows["key"], key))
        # Rows are sorted by run, key, step, timestamp and value, so the last one of a run is the latest.
        found.update(zip(kept["run_id"].to_pylist(), kept["value"].to_pylist(), strict=True))
    return found


def _add_keyed(archive: Archive, rows: list[Record], names: Sequence[str]) -> None:
    for name in names:
        table, _, key = name.partition(".")
        values = _values(archive, table, key)
        for row in rows:
            row[name] = values.get(row["run_id"])


def _sorted(rows: list[Record], sort: str | None, allowed: Sequence[str]) -> list[Record]:
    if sort is None:
        return rows
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    if name not in allowed:
        raise SelectionError(f"there is no column {name!r} to sort by; there are {', '.join(allowed)}")
    known = [row for row in rows if not _absent(row[name])]
    if _holds_text(name):
        known.sort(key=lambda row: _natural(row[name]), reverse=descending)
    else:
        known.sort(key=lambda row: row[name], reverse=descending)
    return known + [row for row in rows if _absent(row[name])]


def _holds_text(name: str) -> bool:
    """Say whether a column holds texts that may be numbers: params, tags and ids."""
    return name.startswith(("params.", "tags.")) or name == "experiment_id"


def _natural(text: str) -> tuple[int, float, str]:
    """Order numbers by value and before other texts: params are text, but ``lr`` is a number to people."""
    try:
        number = float(text)
    except ValueError:
        return (1, 0.0, text)
    return (1, 0.0, text) if math.isnan(number) else (0, number, text)


def _absent(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
