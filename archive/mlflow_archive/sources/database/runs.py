"""Runs of a database as records: what a fingerprint and a filter are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format.fingerprint import Fingerprint, LatestMetric, run_fingerprint
from mlflow_archive.kinds import TIMESTAMP


@dataclass(slots=True, kw_only=True)
class DatabaseRun:
    """A run without its history; times are milliseconds. ``points`` are the numbers of its points by key."""

    run_id: str
    info: dict[str, Any]
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str | None] = field(default_factory=dict)
    inputs: list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]] = field(default_factory=list)
    latest: list[LatestMetric] = field(default_factory=list)
    points: dict[str, int] = field(default_factory=dict)
    files: list[ArtifactFile] = field(default_factory=list)

    def fingerprint(self) -> Fingerprint:
        """Return the run's fingerprint (spec/format.md, "Fingerprints")."""
        return run_fingerprint(self.info, self.params, self.tags, self.latest, self.files, self.points)


def run_records(tables: Mapping[str, pa.Table], latest: Iterable[tuple[str, LatestMetric]]) -> dict[str, DatabaseRun]:
    """Return the runs of some tables by id, in the order of the table ``runs``."""
    records = {row["run_id"]: DatabaseRun(run_id=row["run_id"], info=row) for row in plain(tables["runs"])}
    for name in ("params", "tags"):
        for row in plain(tables[name]):
            if record := records.get(row["run_id"]):
                getattr(record, name)[row["key"]] = row["value"]
    edges: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in plain(tables["dataset_inputs"]):
        tags: list[Mapping[str, Any]] = []
        edges[row["run_id"], row["dataset_name"], row["dataset_digest"]] = tags
        if record := records.get(row["run_id"]):
            record.inputs.append((row, tags))
    for row in plain(tables["dataset_input_tags"]):
        edges.get((row["run_id"], row["dataset_name"], row["dataset_digest"]), []).append(row)
    for run_id, metric in latest:
        if record := records.get(run_id):
            record.latest.append(metric)
    return records


def plain(rows: pa.Table) -> Sequence[dict[str, Any]]:
    """Return rows as dictionaries, times as milliseconds: Python's own end in the year 9999."""
    for index, column in enumerate(rows.schema):
        if column.type == TIMESTAMP:
            rows = rows.set_column(index, column.name, rows[column.name].cast(pa.int64()))
    return rows.to_pylist()  # type: ignore[no-any-return]
