"""One evaluation dataset of an export, with its records."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from mlflow_archive.kinds import EVALUATION_DATASET
from mlflow_archive.sources.exim.documents import read_document
from mlflow_archive.sources.exim.entries import DatasetEntry
from mlflow_archive.sources.exim.fields import Fields, ValueMalformedError, json_of
from mlflow_archive.sources.exim.gapbook import GapBook
from mlflow_archive.sources.reading.records import Entity

_WRAPPED: Final = "mlflow_wrapped"
"""MLflow's database holds the outputs of a record below this name."""


def read_dataset(entry: DatasetEntry, gap_book: GapBook, root: Path) -> Entity:
    """Read an evaluation dataset. Raises DocumentUnreadableError if it has changed since the index was built."""
    dataset_id = entry.dataset_id
    entity = Entity(gaps=gap_book.copy_of(EVALUATION_DATASET, dataset_id))
    body = Fields(read_document(entry.path, root).body, entity.gaps.under(""))
    dataset = body.object("evaluation_dataset", place="")
    entity.add(
        "evaluation_datasets",
        dataset_id=dataset_id,
        name=dataset.text("name") or "",
        schema=dataset.json("schema"),
        profile=dataset.json("profile"),
        digest=dataset.text("digest"),
        created_time=dataset.time("created_time", "create_time"),
        last_update_time=dataset.time("last_update_time"),
        created_by=dataset.text("created_by"),
        last_updated_by=dataset.text("last_updated_by"),
        workspace=dataset.text("workspace"),
    )
    for key, value in dataset.pairs("tags").items():
        entity.add("evaluation_dataset_tags", dataset_id=dataset_id, key=key, value=value)
    for experiment_id in dict.fromkeys(entry.experiments):
        entity.add("evaluation_dataset_experiments", dataset_id=dataset_id, experiment_id=experiment_id)
    for number, record in enumerate(dataset.objects("records")):
        _add_record(entity, record, number)
    _report_source(dataset, dataset_id)
    dataset.rest("dataset_id", "experiment_ids", "source_type")
    body.rest()
    return entity


def _add_record(entity: Entity, record: Fields, number: int) -> None:
    inputs = _json(record, "inputs")
    if inputs is None:
        record.bad("inputs", "there are none, and a record stands on them")
        return
    outputs = record.value("outputs")
    source = record.value("source")
    entity.add(
        "evaluation_dataset_records",
        dataset_id=entity.owner_id,
        dataset_record_id=record.text("dataset_record_id") or _made_id(entity.owner_id, number),
        inputs=inputs,
        outputs=None if outputs is None else _json(record, "outputs", {_WRAPPED: outputs}),
        expectations=_json(record, "expectations"),
        tags=_json(record, "tags"),
        source=_json(record, "source"),
        source_id=record.text("source_id") or _trace_of(source),
        source_type=record.text("source_type"),
        created_time=record.time("created_time"),
        last_update_time=record.time("last_update_time"),
        created_by=record.text("created_by"),
        last_updated_by=record.text("last_updated_by"),
        input_hash=record.text("input_hash"),
    )
    record.rest("dataset_id")


def _json(fields: Fields, name: str, value: Any = None) -> str | None:
    value = fields.value(name) if value is None else value
    try:
        return None if value is None else json_of(value)
    except ValueMalformedError as error:
        fields.bad(name, str(error))
        return None


def _trace_of(source: Any) -> str | None:
    """Return the trace that a record comes from; MLflow's database states it a second time."""
    data = source.get("source_data") if isinstance(source, dict) else None
    trace_id = data.get("trace_id") if isinstance(data, dict) else None
    return trace_id if isinstance(trace_id, str) else None


def _made_id(dataset_id: str, number: int) -> str:
    """Return an id for a record that has none, the same each time."""
    return "dr-" + hashlib.sha256(f"{dataset_id}/{number}".encode()).hexdigest()[:32]


def _report_source(dataset: Fields, dataset_id: str) -> None:
    """Report a source, unless it is the one that MLflow makes up of the dataset's id."""
    source = dataset.value("source")
    if source is not None and not (isinstance(source, str) and dataset_id in source):
        dataset.bad("source", "MLflow 3 keeps no source of an evaluation dataset, and neither does an archive")
