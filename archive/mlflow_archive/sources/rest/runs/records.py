"""From the server's JSON of an experiment or a run to rows of the archive's tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from mlflow_archive.flow.chunk import Chunk, Known
from mlflow_archive.kinds import EXPERIMENT
from mlflow_archive.sources.reading.fields import Fields, row_of
from mlflow_archive.sources.reading.rows import pair_rows
from mlflow_archive.sources.rest.cells import Json, Row, table_of
from mlflow_archive.sources.rest.scope import Contents, Scope, TableRows

_RUN_TABLES: Final = ("runs", "params", "tags", "datasets", "dataset_inputs", "dataset_input_tags", "model_outputs")
POINT: Final = frozenset({"key", "value", "timestamp", "step", "dataset_name", "dataset_digest", "model_id", "run_id"})
"""The fields of a point, in a search and in a history; a logged model that it names has it, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestPoint:
    """The latest point of a metric as a search answer shows it; ``time_ms`` since the epoch."""

    step: int
    time_ms: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRun:
    """One run of a server, without its histories.

    ``info`` holds columns of ``runs`` with times as milliseconds; ``tables`` its rows by table; ``latest`` the latest
    point of each metric.
    """

    run_id: str
    info: Row
    params: dict[str, str]
    tags: dict[str, str | None]
    latest: dict[str, LatestPoint]
    tables: Mapping[str, pa.Table]


def parse_run(run: Fields) -> RestRun:
    """Check a run of a search answer and build its rows; raise one of UNREADABLE_ROW where it is malformed."""
    info, data = run.object("info"), run.object("data")
    params, tags = data.pairs("params"), data.pairs_with_nulls("tags")
    columns = row_of(
        "runs",
        info,
        {"run_id": ("run_id", "run_uuid")},
        run_name=info.text("run_name") if "run_name" in info else tags.get("mlflow.runName"),
        lifecycle_stage=info.text("lifecycle_stage") or "active",
    )
    run_id = columns["run_id"]
    inputs, outputs = run.object("inputs"), run.object("outputs")
    inputs.known("model_inputs")  # a search leaves them out: they are asked for, and read, apart
    rows: TableRows = {
        "runs": [columns],
        "params": pair_rows(params, run_id=run_id),
        "tags": pair_rows(tags, run_id=run_id),
        **_dataset_rows(run_id, columns["experiment_id"], inputs),
        "model_outputs": model_edges(run_id, outputs, "model_outputs"),
    }
    return RestRun(
        run_id=run_id,
        info=columns,
        params=params,
        tags=tags,
        latest={str(metric["key"]): _latest(metric) for metric in data.items("metrics", POINT)},
        tables={name: table_of(name, rows[name]) for name in _RUN_TABLES if rows[name]},
    )


def model_edges(run_id: str, edges: Fields, name: str) -> list[Row]:
    """Return the rows of ``model_inputs`` or ``model_outputs``, as ``name`` says, of a run."""
    rows = [
        {"run_id": run_id, "model_id": edge.required("model_id"), "step": edge.integer("step") or 0}
        for edge in edges.objects(name)
    ]
    return list({row["model_id"]: row for row in rows}.values())


def _latest(metric: Json) -> LatestPoint:
    return LatestPoint(
        step=int(metric.get("step", 0)), time_ms=int(metric["timestamp"]), value=float(metric.get("value", 0.0))
    )


def _dataset_rows(run_id: str, experiment_id: str, inputs: Fields) -> TableRows:
    rows: TableRows = {"datasets": [], "dataset_inputs": [], "dataset_input_tags": []}
    for entry in inputs.objects("dataset_inputs"):
        source = entry.object("dataset")
        texts = {name: source.text(name) or "" for name in ("source_type", "source")}
        dataset = row_of("datasets", source, experiment_id=experiment_id, **texts)
        edge = {"run_id": run_id, "dataset_name": dataset["name"], "dataset_digest": dataset["digest"]}
        rows["datasets"].append(dataset)
        rows["dataset_inputs"].append(edge)
        rows["dataset_input_tags"] += [{**edge, "key": k, "value": value} for k, value in entry.pairs("tags").items()]
    return rows


def read_experiments(scope: Scope, experiments: Iterable[Json], known: Known) -> Iterator[Chunk]:
    """Yield a chunk of experiments with their tags; what is malformed becomes a gap."""
    contents = Contents(scope, EXPERIMENT)
    for raw in experiments:
        contents.add(str(raw["experiment_id"]), raw, _experiment_rows)
    yield from contents.chunks()


def _experiment_rows(experiment: Fields) -> TableRows:
    stage = experiment.text("lifecycle_stage") or "active"
    experiment.known("effective_trace_archival_retention")  # follows from a tag of it, its workspace and the server
    row = row_of("experiments", experiment, lifecycle_stage=stage)
    own = {"experiment_id": row["experiment_id"]}
    tags = pair_rows(experiment.pairs_with_nulls("tags"), **own)
    return {"experiments": [row], "experiment_tags": tags}
