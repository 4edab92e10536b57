"""Evaluation datasets with their records. MLflow gives both new ids; names are not unique.

A dataset is found by the source tag with its id, a record by its inputs, which MLflow keeps only once in a dataset.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Any, Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import OWN_PREFIX, PREFIX, beyond_the_export, object_source_tags, shorten_key
from mlflow_archive.kinds import EVALUATION_DATASET, RUN, TRACE
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.object_writer import ObjectRows, ObjectWriter
from mlflow_archive.sinks.replay.target.paging import entries, paged
from mlflow_archive.sinks.replay.writing.failures import came_through, is_about_one_item, once
from mlflow_archive.sinks.replay.writing.fitting import Fitter, plain_tags
from mlflow_archive.sinks.replay.writing.rows import Row, json_of

SOURCE_DATASET_ID: Final = PREFIX + "evaluation_dataset.dataset_id"
# Written where source tags are off.
IDENTITY: Final = OWN_PREFIX + "source_dataset_id"

_API: Final = "/api/3.0/mlflow/datasets"
_USER: Final = "mlflow.user"
_RECORDS_AT_ONCE: Final = 500
_WRAPPED: Final = "mlflow_wrapped"
"""MLflow's database wraps outputs in an object with this key."""
# What MLflow makes of the records itself, and may be long.
_COMPUTED: Final = frozenset({"schema", "profile"})

TargetDataset = Mapping[str, Any]
"""A dataset of the target, as the API shows it, its tags decoded."""


class EvaluationDatasetWriter(ObjectWriter):
    """Writes evaluation datasets. Records of one may follow it in later chunks, as a server gives them in pages."""

    kinds = (EVALUATION_DATASET,)
    table, code = "evaluation_datasets", refusals.EVALUATION_DATASET_REFUSED
    api, answer, id_field = f"{_API}/create", "dataset", "dataset_id"

    def __init__(self, context: ReplayContext) -> None:
        super().__init__(context)
        self._lock = Lock()
        self._datasets: dict[str, TargetDataset] | None = None
        self._target_ids: dict[str, str | None] = {}
        """By source id, of those that have come: None where one was refused, or would be made."""

    def write_one(self, rows: ObjectRows) -> None:
        if not rows.of(self.table) and rows.source_id in self._target_ids:
            target_id = self._target_ids[rows.source_id]
            if target_id is not None:
                self._write_records(rows, target_id, new=False)
            return
        self._target_ids[rows.source_id] = None
        super().write_one(rows)

    def complete(self, rows: ObjectRows, existing: Any, *, is_new: bool) -> bool:
        changed = False
        if existing is None or not is_new:
            tags, experiments = self._tags(rows), self._experiments(rows)  # a dry run counts what cannot come of them
            changed = existing is not None and self._add_missing(existing, tags, experiments)
        if existing is not None:
            target_id = self._target_ids[rows.source_id] = str(existing["dataset_id"])
            changed |= self._write_records(rows, target_id, new=is_new)
        return changed

    def _tags(self, rows: ObjectRows) -> dict[str, str]:
        context, limits = self._context, self._context.options.limits
        row, tags = rows.row, rows.tags("evaluation_dataset_tags")
        all_tags = plain_tags(tags)
        if row["created_by"]:
            all_tags.setdefault(_USER, row["created_by"])  # the only way to set who made it
        if context.options.source_tags:
            facts = {name: value for name, value in row.items() if name not in _COMPUTED}
            all_tags |= object_source_tags("evaluation_dataset", facts, tags, export=context.export_of(row))
        else:
            all_tags[IDENTITY] = row["dataset_id"]
        fitter = Fitter(limits, context.receipt, row["dataset_id"])
        limit, key_limit = limits.evaluation_dataset_tag, limits.evaluation_dataset_tag_key
        return fitter.tags("evaluation dataset tag", all_tags, limit, key_limit)

    def _experiments(self, rows: ObjectRows) -> list[str]:
        """Return the ids in the target of linked experiments; links to one that is not there are counted."""
        target_ids = []
        for link in rows.of("evaluation_dataset_experiments"):
            try:
                bound = self._context.experiments.bind(link["experiment_id"])
            except ItemError:  # what was refused is a refusal of the experiment itself
                self._context.receipt.changed("dataset_links_without_experiment")
                continue
            if bound.target_id is not None:
                target_ids.append(bound.target_id)
        return list(dict.fromkeys(target_ids))

    def body(self, rows: ObjectRows) -> dict[str, Any]:
        name, limit = rows.row["name"], self._context.options.limits.evaluation_dataset_name
        if len(name) > limit:
            self._context.receipt.shortened(rows.source_id, "evaluation dataset name", name, len(name))
        tags = json.dumps(self._tags(rows))
        return {"name": shorten_key(name, limit), "experiment_ids": self._experiments(rows), "tags": tags}

    def make(self, rows: ObjectRows) -> Any:
        body = self.body(rows)

        def look() -> TargetDataset | None:
            with self._lock:
                self._datasets = None
            return self.find(rows)

        return once(lambda: self.create(body), look)

    def _add_missing(self, dataset: TargetDataset, tags: Mapping[str, str], experiments: Sequence[str]) -> bool:
        """Add tags and experiments that a dataset of the target lacks; return whether there were any."""
        api, path = self._context.api, f"{_API}/{dataset['dataset_id']}"
        differ = {key: value for key, value in tags.items() if dataset["tags"].get(key) != value}
        differ = beyond_the_export(differ, dataset["tags"])
        linked = set(api.get(f"{path}/experiment-ids").get("experiment_ids", [])) if experiments else set()
        missing = [experiment for experiment in experiments if experiment not in linked]
        if differ and not self._context.options.dry_run:
            api.patch(f"{path}/tags", {"tags": json.dumps(differ)})
        if missing:
            self.send(f"{path}/add-experiments", {"experiment_ids": missing})
        return bool(differ or missing)

    def find(self, rows: ObjectRows) -> TargetDataset | None:
        with self._lock:
            if self._datasets is None:
                self._datasets = dict(self._load())
            return self._datasets.get(rows.source_id)

    def _load(self) -> Iterator[tuple[str, TargetDataset]]:
        """Yield all datasets of the target that an import made, by the id they had at the source."""

        def ask(page: dict[str, Any]) -> Any:
            return self._context.api.post(f"{_API}/search", {"order_by": ["created_time DESC"], **page})

        for dataset in entries(ask, "datasets"):
            tags = json.loads(dataset.get("tags") or "{}")
            source_id = tags.get(IDENTITY) or tags.get(SOURCE_DATASET_ID)
            if source_id:
                yield source_id, {**dataset, "tags": tags}

    def _write_records(self, rows: ObjectRows, target_id: str, *, new: bool) -> bool:
        """Add the records that are not there; return whether there were any."""
        existing = set() if new else set(self._records_there(target_id))
        missing = [body for key, body in self._record_bodies(rows).items() if key not in existing]
        # MLflow cannot take an object as outputs into a dataset whose first outputs were none.
        missing.sort(key=lambda body: not (isinstance(body["outputs"], dict) and body["outputs"]))
        if not self._context.options.dry_run:
            for at in range(0, len(missing), _RECORDS_AT_ONCE):
                self._upsert(rows.source_id, target_id, missing[at : at + _RECORDS_AT_ONCE])
        return bool(missing)

    def _record_bodies(self, rows: ObjectRows) -> dict[str, dict[str, Any]]:
        """Return the records by the hash of their inputs; those that no body can be made of are refused."""
        bodies: dict[str, dict[str, Any]] = {}
        records = rows.of("evaluation_dataset_records")
        for row in sorted(records, key=lambda row: (row["created_time"] or 0, row["dataset_record_id"])):
            try:
                body = record_body(row, self._context)
            except ItemError as exc:
                path = row["dataset_record_id"]
                self._context.refuse(EVALUATION_DATASET, rows.source_id, refusals.RECORDS_REFUSED, exc, path=path)
                continue
            key = _input_hash(body["inputs"])
            self._context.receipt.changed("records_with_equal_inputs", key in bodies)
            bodies.setdefault(key, body)
        return bodies

    def _records_there(self, target_id: str) -> Iterator[str]:
        for answer in paged(lambda page: self._context.api.get(f"{_API}/{target_id}/records", page)):
            for record in json.loads(answer.get("records") or "[]"):
                yield _input_hash(record["inputs"])

    def _upsert(self, source_id: str, target_id: str, bodies: Sequence[Mapping[str, Any]]) -> None:
        """Add records; where they are refused, by halves, to find what the target does not take."""
        try:
            self._context.api.post(f"{_API}/{target_id}/records", {"records": json.dumps(bodies)})
        except ServerError as exc:
            if len(bodies) == 1 or not is_about_one_item(exc) or not came_through(exc):
                path = json.dumps(bodies[0]["inputs"])[:200]
                self._context.refuse(EVALUATION_DATASET, source_id, refusals.RECORDS_REFUSED, exc, path=path)
                return
            middle = len(bodies) // 2
            self._upsert(source_id, target_id, bodies[:middle])
            self._upsert(source_id, target_id, bodies[middle:])
        else:
            self._context.receipt.count("evaluation_dataset_records", len(bodies))


def record_body(row: Row, context: ReplayContext) -> dict[str, Any]:
    """Return a record with the references of the target. Raises ItemError where a text is not JSON as expected."""
    inputs = json_of(row, "inputs")
    if not isinstance(inputs, dict):
        message = f"its inputs are {row['inputs'][:200]!r}, expected an object"
        raise ItemError(message)
    outputs = json_of(row, "outputs")
    if isinstance(outputs, dict) and outputs.keys() == {_WRAPPED}:
        outputs = outputs[_WRAPPED]
    tags = json_of(row, "tags")
    user = tags.get(_USER) if isinstance(tags, dict) else None
    context.receipt.changed("record_creators", row["created_by"] not in (None, user))
    body = {
        "inputs": inputs,
        "outputs": outputs,  # null must be said, or MLflow makes it an empty object
        "expectations": json_of(row, "expectations"),
        "tags": tags,
        "source": _source(row, context),
    }
    return {name: value for name, value in body.items() if value is not None or name == "outputs"}


def _input_hash(inputs: Any) -> str:
    """Return what MLflow identifies a record by."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _source(row: Row, context: ReplayContext) -> Any:
    source = json_of(row, "source")
    data = source.get("source_data") if isinstance(source, dict) else None
    if not isinstance(data, dict):
        return source
    mapped = dict(data)
    for name, kind in (("trace_id", TRACE), ("run_id", RUN)):
        if isinstance(data.get(name), str):
            mapped[name] = context.mapped(kind, data[name]) or data[name]
    return {**source, "source_data": mapped}
