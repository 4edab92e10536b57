"""Parts that documents of several kinds of objects have in common."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow_archive.sources.exim.fields import Fields
from mlflow_archive.sources.reading.rows import Row


def dataset_row(experiment_id: str, dataset: Fields) -> Row | None:
    """Return a row of ``datasets``; None, reported as a gap, where name or digest is missing."""
    name, digest = dataset.text("name"), dataset.text("digest")
    if name is None or digest is None:
        dataset.bad("", "it states no name and digest, which tell datasets apart")
        return None
    row = {
        "experiment_id": experiment_id,
        "name": name,
        "digest": digest,
        "source_type": dataset.text("source_type") or "",
        "source": dataset.json("source") or "",
        "schema": dataset.json("schema"),
        "profile": dataset.json("profile"),
    }
    dataset.rest()
    return row


def report_permissions(fields: Fields) -> None:
    """Report permissions of Databricks that were exported; an archive has no table for them.

    Where the export only lists which permissions there could be, nothing is lost.
    """
    permissions = fields.value("permissions")
    granted = permissions.get("permissions", permissions) if isinstance(permissions, Mapping) else permissions
    if granted:
        fields.bad("permissions", "permissions of Databricks are not carried")
