"""Runs of a database: as records, which a filter judges, and their fingerprints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format.fingerprint import Fingerprint, LatestMetric, fingerprint_of_texts
from mlflow_archive.format.owned_rows import OwnedRows, row_objects
from mlflow_archive.kinds import TABLES, TIMESTAMP


@dataclass(slots=True, kw_only=True)
class DatabaseRun:
    """A run without its history; times are milliseconds."""

    run_id: str
    info: dict[str, Any]
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str | None] = field(default_factory=dict)
    inputs: list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]] = field(default_factory=list)
    latest: list[LatestMetric] = field(default_factory=list)


def run_fingerprints(
    tables: Mapping[str, pa.Table], latest: pa.Table, files: Mapping[str, Sequence[ArtifactFile]], points: pa.Table
) -> dict[str, Fingerprint]:
    """Return the fingerprint of each run (spec/format.md, "Fingerprints"), in the order of the table ``runs``.

    ``latest`` has one row for each metric of a run, and ``points`` the number of its points as ``value``.
    """
    ids = tables["runs"]["run_id"].to_pylist()
    params, tags, counts = (
        OwnedRows(ids, rows, "run_id").objects() for rows in (tables["params"], tables["tags"], points)
    )
    newest = OwnedRows(ids, latest, "run_id").points()
    return {
        run_id: fingerprint_of_texts(
            info,
            params.get(run_id, "{}"),
            tags.get(run_id, "{}"),
            newest.get(run_id, "[]"),
            files.get(run_id, ()),
            counts.get(run_id, "{}"),
        )
        for run_id, info in zip(ids, row_objects(tables["runs"]), strict=True)
    }


def run_records(tables: Mapping[str, pa.Table], latest: pa.Table) -> dict[str, DatabaseRun]:
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
    for row in plain(latest):
        if record := records.get(row["run_id"]):
            record.latest.append((row["key"], row["step"], row["timestamp"], row["value"]))
    return records


def newest_points(pieces: Iterable[pa.Table]) -> pa.Table:
    """Return of rows of ``metrics`` the newest point of each metric of a run."""
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for rows in pieces:
        for row in plain(rows):
            place = (row["run_id"], row["key"])
            if place not in newest or _rank(row) > _rank(newest[place]):
                newest[place] = row
    return pa.Table.from_pylist(list(newest.values()), schema=TABLES["metrics"].schema)


def _rank(point: Mapping[str, Any]) -> tuple[int, int, float]:
    value = point["value"]
    return point["step"], point["timestamp"], 0.0 if value != value else value  # noqa: PLR0124 - NaN counts as 0


def plain(rows: pa.Table) -> Sequence[dict[str, Any]]:
    """Return rows as dictionaries, times as milliseconds: Python's own end in the year 9999."""
    for index, column in enumerate(rows.schema):
        if column.type == TIMESTAMP:
            rows = rows.set_column(index, column.name, rows[column.name].cast(pa.int64()))
    return rows.to_pylist()  # type: ignore[no-any-return]
