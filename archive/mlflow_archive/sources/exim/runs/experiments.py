"""Experiments of an export as rows."""

from __future__ import annotations

from pathlib import Path

from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import EXPERIMENT
from mlflow_archive.sources.exim.documents import read_document
from mlflow_archive.sources.exim.entries import ExperimentEntry
from mlflow_archive.sources.exim.fields import Fields
from mlflow_archive.sources.exim.gapbook import GapBook
from mlflow_archive.sources.exim.parts import report_permissions
from mlflow_archive.sources.reading.records import ACTIVE
from mlflow_archive.sources.reading.rows import Rows


def add_experiment(rows: Rows, entry: ExperimentEntry, gap_book: GapBook, root: Path) -> None:
    """Add an experiment's row, tags and gaps. One without a document is kept by its name, so that its runs are not
    lost.

    Raises DocumentUnreadableError if it has changed since the index was built.
    """
    gaps = gap_book.copy_of(EXPERIMENT, entry.experiment_id)
    row = {"experiment_id": entry.experiment_id, "name": entry.name, "lifecycle_stage": ACTIVE}
    if entry.path is None:
        rows.add("experiments", row)
        rows.add_gaps(gaps)
        return
    body = Fields(read_document(entry.path, root).body, gaps.under(""))
    experiment = body.object("experiment", place="")
    location = experiment.text("artifact_location")
    rows.add(
        "experiments",
        {
            **row,
            "artifact_location": None if location is None else without_password(location),
            "lifecycle_stage": experiment.text("lifecycle_stage") or ACTIVE,
            "creation_time": experiment.time("creation_time"),
            "last_update_time": experiment.time("last_update_time"),
            "workspace": experiment.text("workspace"),
        },
    )
    for key, value in experiment.pairs("tags").items():
        rows.add("experiment_tags", {"experiment_id": entry.experiment_id, "key": key, "value": value})
    experiment.rest("experiment_id", "name")
    report_permissions(body)
    body.rest("runs", "logged_models", "traces")
    rows.add_gaps(gaps)
