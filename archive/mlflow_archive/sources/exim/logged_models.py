"""One logged model of an export: ``logged_model.json`` and the files beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import LOGGED_MODEL
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim.documents import read_document
from mlflow_archive.sources.exim.entity import Entity
from mlflow_archive.sources.exim.entries import LoggedModelEntry
from mlflow_archive.sources.exim.fields import Fields, Malformed, integer_of, real_of, text_of, time_of
from mlflow_archive.sources.exim.files import downloaded_files
from mlflow_archive.sources.exim.gapbook import GapBook
from mlflow_archive.sources.exim.runs.runs import dataset_row


def read_logged_model(entry: LoggedModelEntry, gap_book: GapBook, selection: Selection, root: Path) -> Entity:
    """Read a logged model. Raises DocumentUnreadableError if it has changed since it was found."""
    entity = Entity(kind=LOGGED_MODEL, owner_id=entry.model_id, gaps=gap_book.copy_of(LOGGED_MODEL, entry.model_id))
    found = Fields(read_document(entry.path, root).body, entity.gaps.under(""))
    location = found.text("artifact_location")
    entity.add(
        "logged_models",
        model_id=entry.model_id,
        experiment_id=entry.experiment_id,
        name=found.text("name") or "",
        artifact_location=None if location is None else without_password(location),
        creation_timestamp=found.time("creation_timestamp", "creation_time"),
        last_updated_timestamp=found.time("last_updated_timestamp", "last_updated_time"),
        status=found.text("status") or "UNSPECIFIED",
        model_type=found.text("model_type"),
        source_run_id=found.text("source_run_id"),
        status_message=found.text("status_message"),
    )
    ids = {"model_id": entry.model_id, "experiment_id": entry.experiment_id}
    for table, name in (("logged_model_params", "params"), ("logged_model_tags", "tags")):
        for key, value in found.pairs(name).items():
            entity.add(table, **ids, key=key, value=value)
    for row in _metrics(found):
        entity.add("logged_model_metrics", **ids, **row)
    for each in found.objects("dataset_inputs"):
        dataset = dataset_row(entry.experiment_id, each.object("dataset"))
        if dataset is not None:
            entity.shared.append(("datasets", dataset))
    found.rest("model_id", "experiment_id", "model_uri", "workspace")
    if selection.artifacts:
        files = downloaded_files(entry.path.parent, location, entry.path.name, entity.gaps.add)
        entity.take_files(files, selection)
    return entity


def _metrics(found: Fields) -> Iterator[dict[str, Any]]:
    for each in found.objects("metrics"):
        try:
            row: dict[str, Any] = {
                "key": text_of(each.value("key")),
                "timestamp": time_of(each.value("timestamp")),
                "step": integer_of(each.value("step") or 0),
                "value": real_of(each.value("value")),
            }
        except Malformed as error:
            each.bad("", str(error))
            continue
        yield {
            **row,
            "run_id": each.text("run_id") or "",
            "dataset_name": each.text("dataset_name"),
            "dataset_digest": each.text("dataset_digest"),
        }
        each.rest("model_id")
