"""Experiments of an export as rows."""

from __future__ import annotations

from pathlib import Path

from mlflow_archive.kinds import EXPERIMENT
from mlflow_archive.sources.exim.documents import read_document
from mlflow_archive.sources.exim.entries import ExperimentEntry
from mlflow_archive.sources.exim.gapbook import GapBook
from mlflow_archive.sources.exim.parts import report_permissions
from mlflow_archive.sources.exim.tool_fields import ToolFields
from mlflow_archive.sources.reading.fields import row_of
from mlflow_archive.sources.reading.gaplist import GapList
from mlflow_archive.sources.reading.records import ACTIVE
from mlflow_archive.sources.reading.rows import Rows, pair_rows


def add_experiment(rows: Rows, entry: ExperimentEntry, gap_book: GapBook, root: Path) -> GapList:
    """Add an experiment's row, tags and gaps, which are returned.

    One without a document is kept by its name, so that its runs are not lost. Raises DocumentUnreadableError if it has
    changed since the index was built.
    """
    gaps = gap_book.copy_of(EXPERIMENT, entry.experiment_id)
    row = {"experiment_id": entry.experiment_id, "name": entry.name, "lifecycle_stage": ACTIVE}
    if entry.path is None:
        rows.add("experiments", row)
        rows.add_gaps(gaps)
        return gaps
    body = ToolFields(read_document(entry.path, root).body, gaps.under(""))
    experiment = body.object("experiment", place="")
    row |= {"lifecycle_stage": experiment.text("lifecycle_stage") or ACTIVE}
    rows.add("experiments", row_of("experiments", experiment, **row))
    rows.add_all({"experiment_tags": pair_rows(experiment.pairs("tags"), experiment_id=entry.experiment_id)})
    report_permissions(body)
    body.known("runs", "logged_models", "traces")  # lists of what has documents of its own
    gaps.unread += body.unread()
    rows.add_gaps(gaps)
    return gaps
