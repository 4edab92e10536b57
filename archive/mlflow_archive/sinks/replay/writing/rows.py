"""From the Arrow tables of a chunk to plain rows, run by run. Times are ms since the epoch, UTC."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mlflow_archive.errors import ItemError
from mlflow_archive.flow.chunk import ArtifactFile, Chunk
from mlflow_archive.sinks.replay.target.target import Point

Row = Mapping[str, Any]
DatasetKey = tuple[str, str, str]
"""(experiment id at the source, name, digest)"""
_SHOWN = 200


@dataclass(slots=True, kw_only=True)
class RunRows:
    """What a chunk holds of one run. ``info`` is None where the chunk goes on with a run of an earlier one.

    ``inputs`` maps (dataset name, digest) to the tags of that input.
    """

    run_id: str
    info: Row | None = None
    params: list[tuple[str, str]] = field(default_factory=list)
    tags: dict[str, str | None] = field(default_factory=dict)
    metrics: list[Point] = field(default_factory=list)
    points_with_dataset: int = 0
    inputs: dict[tuple[str, str], list[tuple[str, str]]] = field(default_factory=dict)
    artifacts: list[ArtifactFile] = field(default_factory=list)


def rows_of(chunk: Chunk, name: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table of the chunk as dicts."""
    table = chunk.tables.get(name)
    if table is None or not table.num_rows:
        return
    columns = [_values(column) for column in table.columns]
    for values in zip(*columns, strict=True):
        yield dict(zip(table.column_names, values, strict=True))


def json_of(row: Row, column: str, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Return a column that holds JSON decoded, None for null. Raises ItemError where the text is not JSON.

    ``parse_constant`` is called for NaN and infinities, which are not JSON but which Python reads.
    """
    text = row[column]
    if text is None:
        return None
    try:
        return json.loads(text, parse_constant=parse_constant)
    except ValueError as exc:
        raise ItemError(f"its {column} is not JSON: {text[:_SHOWN]!r}") from exc


def _values(column: pa.ChunkedArray) -> Sequence[Any]:
    values: list[Any] = (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
    return values


def runs_of(chunk: Chunk) -> list[RunRows]:
    """Return the rows of a chunk by run, in the order of the table ``runs``, then of those that only go on."""
    runs: dict[str, RunRows] = {}
    for row in rows_of(chunk, "runs"):
        runs[row["run_id"]] = RunRows(run_id=row["run_id"], info=row)

    def of(run_id: str) -> RunRows:
        return runs.get(run_id) or runs.setdefault(run_id, RunRows(run_id=run_id))

    for row in rows_of(chunk, "params"):
        of(row["run_id"]).params.append((row["key"], row["value"]))
    for row in rows_of(chunk, "tags"):
        of(row["run_id"]).tags[row["key"]] = row["value"]
    for row in rows_of(chunk, "dataset_inputs"):
        of(row["run_id"]).inputs.setdefault((row["dataset_name"], row["dataset_digest"]), [])
    for row in rows_of(chunk, "dataset_input_tags"):
        edge = (row["dataset_name"], row["dataset_digest"])
        of(row["run_id"]).inputs.setdefault(edge, []).append((row["key"], row["value"]))
    _add_metrics(chunk, runs)
    for artifact in chunk.artifacts:
        if artifact.owner_kind == "run":
            of(artifact.owner_id).artifacts.append(artifact)
    return list(runs.values())


def _add_metrics(chunk: Chunk, runs: dict[str, RunRows]) -> None:
    table = chunk.tables.get("metrics")
    if table is None or not table.num_rows:
        return
    names = ("run_id", "key", "value", "timestamp", "step", "dataset_name")
    current: RunRows | None = None
    for run_id, key, value, time, step, dataset in zip(*(_values(table[name]) for name in names), strict=True):
        if current is None or current.run_id != run_id:
            current = runs.get(run_id) or runs.setdefault(run_id, RunRows(run_id=run_id))
        current.metrics.append((key, value, time, step))
        if dataset is not None:
            current.points_with_dataset += 1
