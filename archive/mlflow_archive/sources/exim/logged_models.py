"""One logged model of an export: ``logged_model.json`` and the files beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mlflow_archive.kinds import LOGGED_MODEL
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim.documents import read_document
from mlflow_archive.sources.exim.entries import LoggedModelEntry
from mlflow_archive.sources.exim.files import downloaded_files
from mlflow_archive.sources.exim.gapbook import GapBook
from mlflow_archive.sources.exim.parts import dataset_row
from mlflow_archive.sources.exim.tool_fields import ToolFields, time_of
from mlflow_archive.sources.reading.fields import ValueMalformedError, integer_of, real_of, row_of, text_of
from mlflow_archive.sources.reading.records import Entity
from mlflow_archive.sources.reading.rows import Row

_NAMES: Final = {
    "creation_timestamp": ("creation_timestamp", "creation_time"),
    "last_updated_timestamp": ("last_updated_timestamp", "last_updated_time"),
}


def read_logged_model(entry: LoggedModelEntry, gap_book: GapBook, selection: Selection, root: Path) -> Entity:
    """Read a logged model. Raises DocumentUnreadableError if it has changed since the index was built."""
    entity = Entity(gaps=gap_book.copy_of(LOGGED_MODEL, entry.model_id))
    model = ToolFields(read_document(entry.path, root).body, entity.gaps.under(""))
    location = model.text("artifact_location")
    ids = {"model_id": entry.model_id, "experiment_id": entry.experiment_id}
    texts = {"name": model.text("name") or "", "status": model.text("status") or "UNSPECIFIED"}
    entity.add("logged_models", **row_of("logged_models", model, _NAMES, **ids, **texts))
    for table, name in (("logged_model_params", "params"), ("logged_model_tags", "tags")):
        entity.add_pairs(table, model.pairs(name), **ids)
    for row in _metrics(model):
        entity.add("logged_model_metrics", **ids, **row)
    for dataset_input in model.objects("dataset_inputs"):
        dataset = dataset_row(entry.experiment_id, dataset_input.object("dataset"))
        if dataset is not None:
            entity.shared.append(("datasets", dataset))
    model.known("model_uri", "workspace")  # follow from the id and the experiment
    entity.gaps.unread += model.unread()
    if selection.artifacts:
        files = downloaded_files(entry.path.parent, location, entry.path.name, entity.gaps.add)
        entity.take_files(files, selection)
    return entity


def _metrics(model: ToolFields) -> Iterator[Row]:
    for point in model.objects("metrics"):
        try:
            place: Row = {
                "key": text_of(point.value("key")),
                "timestamp": time_of(point.value("timestamp")),
                "step": integer_of(point.value("step") or 0),
                "value": real_of(point.value("value")),
            }
        except ValueMalformedError as error:
            point.leave_out("", str(error))
            continue
        yield {
            **place,
            "run_id": point.text("run_id") or "",
            "dataset_name": point.text("dataset_name"),
            "dataset_digest": point.text("dataset_digest"),
        }
        point.known("model_id")  # the logged model itself
