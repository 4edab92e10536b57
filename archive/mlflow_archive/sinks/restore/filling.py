"""What a database must have and an archive may lack: ids of edges, and fields that other sources do not show."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import TABLES
from mlflow_archive.sinks.restore.database import RestoreDatabase, TargetSchema
from mlflow_archive.sinks.restore.derived import ISSUE_CATEGORIES, issue_categories
from mlflow_archive.sinks.restore.inverting import dataset_id, input_id

_NEEDED: Final = {"user_id": "", "status": "FINISHED", "start_time": 0}
"""Columns of ``runs`` without which MLflow fails to show any page with the run, and what is put there."""

_EDGE: Final = ("run_id", "dataset_name", "dataset_digest")
_ASSOCIATIONS: Final = {
    "trace_links": ("trace_id", "destination_type", "destination_id"),
    "evaluation_dataset_experiments": ("dataset_id", "experiment_id"),
}
"""Tables of edges whose ids no answer of the API has, and the columns that identify an edge."""
Tables = Mapping[str, pa.Table]


class Filling:
    """Fills in what is missing, always the same for the same archive; used by several threads.

    ``exact`` leaves the columns of runs as they are, even null: the source was a database and had them so.
    ``counts`` says for each column how often it was filled in.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._datasets: dict[tuple[str, str, str], str] = {}
        self._lock = Lock()
        self._exact = True

    def begin(self, database: RestoreDatabase, *, exact: bool) -> None:
        """Read which datasets the target has already."""
        self._exact = exact
        if not database.fresh:
            columns = ("experiment_id", "name", "digest", "dataset_uuid")
            for experiment, name, digest, uuid in database.rows("datasets", columns):
                self._datasets[str(experiment), name, digest] = uuid

    def filled(self, tables: Tables) -> dict[str, pa.Table]:
        """Return the tables of a chunk with the values that columns of the archive lack."""
        filled = dict(tables)
        if "datasets" in filled:
            filled["datasets"] = self._with_ids(filled["datasets"])
        if "runs" in filled and not self._exact:
            filled["runs"] = self._with_needed(filled["runs"])
        return filled

    def further_columns(self, name: str, rows: pa.Table, tables: Tables) -> dict[str, Any]:
        """Return columns of the database that follow from other rows of the same chunk, or from datasets before it."""
        if name == "dataset_inputs":
            return self._edges(rows, tables)
        if name == "dataset_input_tags":
            edges = tables.get("dataset_inputs", TABLES["dataset_inputs"].schema.empty_table())
            by_edge = dict(zip(_keys(edges, *_EDGE), _input_ids(edges), strict=True))
            # An archive may lack an input, but for its tags: MLflow shows neither then.
            ids = [by_edge.get(key) or input_id(key[0], "input", *key[1:]) for key in _keys(rows, *_EDGE)]
            return {"input_uuid": pa.array(ids, pa.string())}
        if name in ("model_inputs", "model_outputs"):
            ids = [input_id(run_id, name, model_id) for run_id, model_id in _keys(rows, "run_id", "model_id")]
            return {"input_uuid": pc.coalesce(rows["input_uuid"], pa.array(ids, pa.string()))}
        if ends := _ASSOCIATIONS.get(name):
            ids = [input_id(key[0], name, *key[1:]) for key in _keys(rows, *ends)]
            return {"association_id": pc.coalesce(rows["association_id"], pa.array(ids, pa.string()))}
        return {derived.name: derived.of_rows(rows) for derived in TABLES[name].derived}

    def further_rows(self, tables: Tables, schema: TargetSchema) -> list[tuple[str, pa.Table]]:
        """Return rows of tables of the database that follow from others, where it has such tables."""
        issues = tables.get("issues")
        if issues is None or ISSUE_CATEGORIES not in schema:
            return []
        rows = issue_categories(issues)
        return [(ISSUE_CATEGORIES, rows)] if rows.num_rows else []

    def _edges(self, rows: pa.Table, tables: Tables) -> dict[str, Any]:
        runs = tables["runs"]
        experiments = dict(zip(runs["run_id"].to_pylist(), runs["experiment_id"].to_pylist(), strict=True))
        places = [(experiments[run_id], name, digest) for run_id, name, digest in _keys(rows, *_EDGE)]
        with self._lock:
            sources = [self._datasets.get(place) or dataset_id(*place) for place in places]
        return {"input_uuid": pa.array(_input_ids(rows), pa.string()), "source_id": pa.array(sources, pa.string())}

    def _with_ids(self, rows: pa.Table) -> pa.Table:
        names = ("experiment_id", "name", "digest")
        keys = [(str(e), str(n), str(d)) for e, n, d in _keys(rows, *names)]
        ids = [uuid or dataset_id(*key) for key, uuid in zip(keys, rows["dataset_uuid"].to_pylist(), strict=True)]
        with self._lock:
            for key, uuid in zip(keys, ids, strict=True):
                self._datasets.setdefault(key, uuid)
        return _with(rows, "dataset_uuid", pa.array(ids, pa.string()))

    def _with_needed(self, rows: pa.Table) -> pa.Table:
        for name, value in _NEEDED.items():
            missing = rows[name].null_count
            if missing:
                with self._lock:
                    self.counts[f"runs.{name}"] = self.counts.get(f"runs.{name}", 0) + missing
                rows = _with(rows, name, pc.fill_null(rows[name], pa.scalar(value).cast(rows[name].type)))
        return rows


def _input_ids(rows: pa.Table) -> list[str]:
    uuids = rows["input_uuid"].to_pylist()
    return [uuid or input_id(key[0], "input", *key[1:]) for key, uuid in zip(_keys(rows, *_EDGE), uuids, strict=True)]


def _keys(rows: pa.Table, *names: str) -> list[tuple[str, ...]]:
    return list(zip(*(rows[name].to_pylist() for name in names), strict=True))


def _with(rows: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), rows.schema.field(name), values)
