"""Parts that documents of several kinds of objects have in common."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow_archive.sources.exim.tool_fields import ToolFields
from mlflow_archive.sources.reading.fields import row_of
from mlflow_archive.sources.reading.rows import Row


def dataset_row(experiment_id: str, dataset: ToolFields) -> Row | None:
    """Return a row of ``datasets``; None, reported as a gap, where name or digest is missing."""
    name, digest = dataset.text("name"), dataset.text("digest")
    if name is None or digest is None:
        dataset.leave_out("", "it states no name and digest, which tell datasets apart")
        return None
    texts = {name: dataset.json(name) for name in ("schema", "profile")}
    source_type, source = dataset.text("source_type") or "", dataset.json("source") or ""
    return row_of("datasets", dataset, experiment_id=experiment_id, source_type=source_type, source=source, **texts)


def report_permissions(fields: ToolFields) -> None:
    """Report permissions of Databricks that were exported; an archive has no table for them.

    Where the export only lists which permissions there could be, nothing is lost.
    """
    permissions = fields.value("permissions")
    granted = permissions.get("permissions", permissions) if isinstance(permissions, Mapping) else permissions
    if granted:
        fields.bad("permissions", "permissions of Databricks are not carried")
