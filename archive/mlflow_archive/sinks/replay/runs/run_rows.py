"""From the Arrow tables of a chunk to runs, one by one. Times are ms since the epoch, UTC."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlflow_archive.flow.chunk import ArtifactFile, Chunk
from mlflow_archive.kinds import RUN
from mlflow_archive.sinks.replay.target.target import Point
from mlflow_archive.sinks.replay.writing.rows import Row, rows_of, values_of

DatasetKey = tuple[str, str, str]
"""(experiment id at the source, name, digest)"""


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
        if artifact.owner_kind == RUN:
            of(artifact.owner_id).artifacts.append(artifact)
    return list(runs.values())


def _add_metrics(chunk: Chunk, runs: dict[str, RunRows]) -> None:
    table = chunk.tables.get("metrics")
    if table is None or not table.num_rows:
        return
    names = ("run_id", "key", "value", "timestamp", "step", "dataset_name")
    current: RunRows | None = None
    for run_id, key, value, time, step, dataset in zip(*(values_of(table[name]) for name in names), strict=True):
        if current is None or current.run_id != run_id:
            current = runs.get(run_id) or runs.setdefault(run_id, RunRows(run_id=run_id))
        current.metrics.append((key, value, time, step))
        if dataset is not None:
            current.points_with_dataset += 1
