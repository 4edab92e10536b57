"""What the target must hold of experiments, datasets and runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mlflow_archive.api.proof.comparing import Excused, Expected
from mlflow_archive.api.proof.planning import RowsByTable, Share
from mlflow_archive.api.proof.rules import Rule
from mlflow_archive.format.source_tags import shorten_key
from mlflow_archive.kinds import EXPERIMENT, LOGGED_MODEL, RUN
from mlflow_archive.sinks.replay.places.experiments import Bound
from mlflow_archive.sinks.replay.runs.planned_run import PlannedRun
from mlflow_archive.sinks.replay.runs.run_fitting import RunFitter
from mlflow_archive.sinks.replay.runs.run_rows import RunRows, runs_of
from mlflow_archive.sinks.replay.runs.runs import RunWriter
from mlflow_archive.sinks.replay.target.target import DatasetInput
from mlflow_archive.sinks.replay.writing.references import (
    HISTORY,
    LARGEST_MLMODEL,
    RUN_NAME,
    Mapped,
    is_mlmodel,
    remap_history,
    remap_mlmodel,
)
from mlflow_archive.sinks.replay.writing.rows import Row, rows_of


def expected_experiments(part: Share) -> RowsByTable:
    """Return rows of experiments with the names and tags that the import gives them."""
    experiments = part.context.experiments
    experiments.write(part.chunk)
    tags: dict[str, dict[str, str | None]] = {}
    for row in rows_of(part.chunk, "experiment_tags"):
        tags.setdefault(row["experiment_id"], {})[row["key"]] = row["value"]
    rows: list[Expected] = []
    tag_rows: list[Expected] = []
    originals = {source["experiment_id"]: row for row, source in part.pairs("experiments")}
    for planned, name, fitted in experiments.planned():
        original = originals.get(planned["experiment_id"])
        if original is None or planned["experiment_id"] not in part.sides.ids.of(EXPERIMENT):
            continue
        rows.append(Expected({**original, "name": name}, original))
        owner = {"experiment_id": original["experiment_id"]}
        tag_rows += part.tags("experiment_tags", owner, fitted, _key_of(part))
    return {"experiments": rows, "experiment_tags": tag_rows}


def _key_of(part: Share) -> Any:
    limit = part.context.options.limits.key
    return lambda key: shorten_key(key, limit)


class ExpectedRuns:
    """Plans runs as the replay does."""

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer

    def datasets(self, part: Share) -> RowsByTable:
        """Return the rows of datasets, cut as they come with a run."""
        self._writer.take_datasets(part.chunk)
        fitter = RunFitter(part.context.options.limits, part.context.receipt, "")
        rows = []
        for original, source in part.pairs("datasets"):
            item = fitter.dataset(original, ())
            columns = ("name", "digest", "source_type", "source", "schema", "profile")
            row = {**original, **{name: getattr(item, name) for name in columns}}
            rows.append(Expected(row, original, unseen=Rule.LEFT_OUT if part.leaves_out(source) else None))
        return {"datasets": rows}

    def rows(self, part: Share) -> RowsByTable:
        """Return all rows of runs but their points."""
        tables: dict[str, list[Expected]] = {name: [] for name in ("runs", "params", "tags", "artifacts")}
        tables |= {name: [] for name in ("dataset_inputs", "dataset_input_tags")}
        originals = {row["run_id"]: row for row in part.originals("runs")}
        for rows in runs_of(part.chunk):
            target_id = part.sides.ids.of(RUN).get(rows.run_id)
            if target_id is not None and rows.info is not None:
                self._add(part, rows, originals[target_id], tables)
        models = set(part.sides.ids.of(LOGGED_MODEL).values())
        for name in ("model_inputs", "model_outputs"):
            tables[name] = [
                link if link.row["model_id"] in models else replace(link, unseen=Rule.LEFT_OUT)
                for link in part.as_they_are(name)
            ]
        return tables

    def _add(self, part: Share, rows: RunRows, original: Row, tables: dict[str, list[Expected]]) -> None:
        (plan, bound), target_id = self._writer.plan(rows), original["run_id"]
        tables["runs"].append(Expected(_info(plan, bound, original), original))
        tables["tags"] += _tags(part, plan, target_id)
        params = {row["key"]: row for row in part.originals("params") if row["run_id"] == target_id}
        by_key = {_key_of(part)(key): row for key, row in params.items()}
        tables["params"] += [
            Expected({"run_id": target_id, "key": key, "value": value}, by_key.get(key)) for key, value in plan.params
        ]
        for item in plan.inputs:
            self._add_input(part, item, original, tables)
        tables["artifacts"] += expected_files(part, target_id, _ids_in_files(part, rows.run_id))

    def _add_input(self, part: Share, item: DatasetInput, run: Row, tables: dict[str, list[Expected]]) -> None:
        edge = {"run_id": run["run_id"], "dataset_name": item.name, "dataset_digest": item.digest}
        origin = _origin(part, "dataset_inputs", edge)
        tables["dataset_inputs"].append(Expected(edge, origin))
        for key, value in item.tags:
            row = {**edge, "key": key, "value": value}
            tables["dataset_input_tags"].append(
                Expected(row, _origin(part, "dataset_input_tags", {**edge, "key": key}))
            )


def _origin(part: Share, table: str, key: Mapping[str, Any]) -> Row | None:
    """Return the row of the archive with a key; where texts of that were cut, one that is like it."""
    rows = [row for row in part.originals(table) if row["run_id"] == key["run_id"]]
    exact = (row for row in rows if all(row[name] == value for name, value in key.items()))
    cut = (row for row in rows if all(str(row[name])[:10] == str(value)[:10] for name, value in key.items()))
    return next(exact, None) or next(cut, None)


def _info(plan: PlannedRun, bound: Bound, original: Row) -> Row:
    return {
        **original,
        "run_name": plan.name or Excused(Rule.MADE_UP),
        "user_id": plan.user_id,
        "status": plan.status or Excused(Rule.MADE_UP),
        "start_time": plan.start_time,
        "end_time": plan.end_time,
        "lifecycle_stage": "deleted" if plan.deleted or bound.ends_deleted else "active",
    }


def _tags(part: Share, plan: PlannedRun, target_id: str) -> Iterator[Expected]:
    tags: dict[str, Any] = {**plan.tags, **plan.late_tags(target_id)}
    if HISTORY in tags:
        tags[HISTORY] = remap_history(tags[HISTORY], part.sides.ids.of(LOGGED_MODEL).get)
    if not plan.name:
        tags[RUN_NAME] = Excused(Rule.MADE_UP)
    yield from part.tags("tags", {"run_id": target_id}, tags, _key_of(part))


def _ids_in_files(part: Share, run_id: str) -> Mapped:
    """Return what an MLmodel file of a run is remapped by: the run itself, and logged models."""
    ids = part.sides.ids
    own = {run_id: ids.of(RUN).get(run_id)}
    return lambda source_id: own.get(source_id) or ids.of(LOGGED_MODEL).get(source_id)


def expected_files(part: Share, target_id: str, ids_in_files: Mapped, prefix: str = "") -> Iterator[Expected]:
    """Yield the rows of an object's artifacts; MLmodel files get the ids of the target."""
    for row in part.originals("artifacts"):
        if row["owner_id"] != target_id or not row["path"].startswith(prefix):
            continue
        if not is_mlmodel(row["path"]) or row["size"] > LARGEST_MLMODEL:
            yield Expected(row, row)
            continue
        with part.sides.blobs.open(row["digest"]) as stored:
            data = remap_mlmodel(stored.read(), ids_in_files)
        digest = hashlib.sha256(data).hexdigest()
        yield Expected({**row, "size": len(data), "digest": digest}, row, Rule.REFERENCE)
