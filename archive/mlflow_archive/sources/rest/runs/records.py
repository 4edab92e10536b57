"""From the server's JSON of an experiment or a run to rows of the archive's tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.gaps import EXPERIMENT_UNREADABLE
from mlflow_archive.kinds import EXPERIMENT
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW, Json, Row, gap_table, integer, location, table_of, text
from mlflow_archive.sources.rest.scope import gap_of

_RUN_TABLES: Final = ("runs", "params", "tags", "datasets", "dataset_inputs", "dataset_input_tags", "model_outputs")


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


def parse_run(raw: Json) -> RestRun:
    """Check a run of a search answer and build its rows; raise one of UNREADABLE_ROW where it is malformed."""
    info, data = raw["info"], raw.get("data", {})
    run_id = str(info.get("run_id") or info["run_uuid"])
    params = {str(p["key"]): str(p.get("value", "")) for p in data.get("params", [])}
    tags = {str(t["key"]): text(t.get("value")) for t in data.get("tags", [])}
    columns: Row = {
        "run_id": run_id,
        "run_uuid": text(info.get("run_uuid")),
        "experiment_id": str(info["experiment_id"]),
        "run_name": text(info.get("run_name", tags.get("mlflow.runName"))),
        "user_id": text(info.get("user_id")),
        "status": text(info.get("status")),
        "start_time": integer(info.get("start_time")),
        "end_time": integer(info.get("end_time")),
        "lifecycle_stage": str(info.get("lifecycle_stage") or "active"),
        "artifact_uri": location(info.get("artifact_uri")),
    }
    rows: dict[str, list[Row]] = {
        "runs": [columns],
        "params": [{"run_id": run_id, "key": key, "value": value} for key, value in params.items()],
        "tags": [{"run_id": run_id, "key": key, "value": value} for key, value in tags.items()],
        **_dataset_rows(run_id, columns["experiment_id"], raw.get("inputs", {}).get("dataset_inputs", [])),
        "model_outputs": model_edges(run_id, raw.get("outputs", {}).get("model_outputs", [])),
    }
    return RestRun(
        run_id=run_id,
        info=columns,
        params=params,
        tags=tags,
        latest={str(metric["key"]): _latest(metric) for metric in data.get("metrics", [])},
        tables={name: table_of(name, rows[name]) for name in _RUN_TABLES if rows[name]},
    )


def model_edges(run_id: str, edges: Sequence[Json]) -> list[Row]:
    """Return the rows of ``model_inputs`` or ``model_outputs`` of a run."""
    rows = {
        str(edge["model_id"]): {"run_id": run_id, "model_id": str(edge["model_id"]), "step": int(edge.get("step") or 0)}
        for edge in edges
    }
    return list(rows.values())


def _latest(metric: Json) -> LatestPoint:
    return LatestPoint(
        step=int(metric.get("step", 0)), time_ms=int(metric["timestamp"]), value=float(metric.get("value", 0.0))
    )


def _dataset_rows(run_id: str, experiment_id: str, inputs: Sequence[Json]) -> dict[str, list[Row]]:
    datasets: list[Row] = []
    edges: list[Row] = []
    tags: list[Row] = []
    for entry in inputs:
        dataset = entry["dataset"]
        name, digest = str(dataset["name"]), str(dataset["digest"])
        edge = {"run_id": run_id, "dataset_name": name, "dataset_digest": digest}
        edges.append(edge)
        datasets.append(
            {
                "experiment_id": experiment_id,
                "name": name,
                "digest": digest,
                "source_type": str(dataset.get("source_type", "")),
                "source": str(dataset.get("source", "")),
                "schema": text(dataset.get("schema")),
                "profile": text(dataset.get("profile")),
            }
        )
        tags += [{**edge, "key": str(tag["key"]), "value": str(tag.get("value", ""))} for tag in entry.get("tags", [])]
    return {"datasets": datasets, "dataset_inputs": edges, "dataset_input_tags": tags}


def experiment_tables(experiments: Iterable[Json]) -> dict[str, pa.Table]:
    """Build ``experiments`` and ``experiment_tags``; what is malformed becomes a row of ``gaps``."""
    parts: dict[str, list[pa.Table]] = {"experiments": [], "experiment_tags": []}
    gaps: list[Gap] = []
    for raw in experiments:
        experiment_id = str(raw["experiment_id"])
        try:
            row = {
                "experiment_id": experiment_id,
                "name": str(raw["name"]),
                "artifact_location": location(raw.get("artifact_location")),
                "lifecycle_stage": str(raw.get("lifecycle_stage") or "active"),
                "creation_time": integer(raw.get("creation_time")),
                "last_update_time": integer(raw.get("last_update_time")),
                "workspace": text(raw.get("workspace")),
            }
            tags = [
                {"experiment_id": experiment_id, "key": str(tag["key"]), "value": text(tag.get("value"))}
                for tag in raw.get("tags", [])
            ]
            built = table_of("experiments", [row]), table_of("experiment_tags", tags)
        except UNREADABLE_ROW as exc:
            reason = f"the server describes it in an unexpected shape: {exc!r}"
            gaps.append(gap_of(EXPERIMENT, experiment_id, "", reason, code=EXPERIMENT_UNREADABLE))
            continue
        parts["experiments"].append(built[0])
        parts["experiment_tags"].append(built[1])
    tables = {name: pa.concat_tables(pieces) for name, pieces in parts.items() if pieces}
    return {**tables, "gaps": gap_table(gaps)} if gaps else tables
