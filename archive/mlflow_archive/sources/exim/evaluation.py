"""One evaluation dataset of an export, with its records."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from mlflow_archive.kinds import EVALUATION_DATASET
from mlflow_archive.sources.exim.documents import read_document
from mlflow_archive.sources.exim.entries import DatasetEntry
from mlflow_archive.sources.exim.gapbook import GapBook
from mlflow_archive.sources.exim.tool_fields import ToolFields
from mlflow_archive.sources.reading.fields import ValueMalformedError, json_of, row_of
from mlflow_archive.sources.reading.records import Entity

_WRAPPED: Final = "mlflow_wrapped"
"""MLflow's database holds the outputs of a record below this name."""


def read_dataset(entry: DatasetEntry, gap_book: GapBook, root: Path) -> Entity:
    """Read an evaluation dataset. Raises DocumentUnreadableError if it has changed since the index was built."""
    dataset_id = entry.dataset_id
    entity = Entity(gaps=gap_book.copy_of(EVALUATION_DATASET, dataset_id))
    body = ToolFields(read_document(entry.path, root).body, entity.gaps.under(""))
    dataset = body.object("evaluation_dataset", place="")
    texts = {name: dataset.json(name) for name in ("schema", "profile")}
    names = {"created_time": ("created_time", "create_time")}
    row = row_of("evaluation_datasets", dataset, names, dataset_id=dataset_id, name=dataset.text("name") or "", **texts)
    entity.add("evaluation_datasets", **row)
    entity.add_pairs("evaluation_dataset_tags", dataset.pairs("tags"), dataset_id=dataset_id)
    for experiment_id in dict.fromkeys(entry.experiments):
        entity.add("evaluation_dataset_experiments", dataset_id=dataset_id, experiment_id=experiment_id)
    for number, record in enumerate(dataset.objects("records")):
        _add_record(entity, record, number)
    _report_source(dataset, dataset_id)
    dataset.known("experiment_ids", "source_type")  # read with the index; MLflow makes up a source
    entity.gaps.unread += body.unread()
    return entity


def _add_record(entity: Entity, record: ToolFields, number: int) -> None:
    inputs = _json(record, "inputs")
    if inputs is None:
        record.leave_out("inputs", "there are none, and a record stands on them")
        return
    outputs = record.value("outputs")
    source = record.value("source")
    row = row_of(
        "evaluation_dataset_records",
        record,
        dataset_id=entity.owner_id,
        dataset_record_id=record.text("dataset_record_id") or _made_id(entity.owner_id, number),
        inputs=inputs,
        outputs=None if outputs is None else _json(record, "outputs", {_WRAPPED: outputs}),
        source_id=record.text("source_id") or _trace_of(source),
        **{name: _json(record, name) for name in ("expectations", "tags", "source")},
    )
    entity.add("evaluation_dataset_records", **row)


def _json(fields: ToolFields, name: str, value: Any = None) -> str | None:
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


def _report_source(dataset: ToolFields, dataset_id: str) -> None:
    """Report a source, unless it is the one that MLflow makes up of the dataset's id."""
    source = dataset.value("source")
    if source is not None and not (isinstance(source, str) and dataset_id in source):
        dataset.bad("source", "MLflow 3 keeps no source of an evaluation dataset, and neither does an archive")
