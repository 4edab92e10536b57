"""Permissions of Databricks, which an archive has no table for."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow_archive.sources.exim.fields import Fields


def tell_permissions(fields: Fields) -> None:
    """Tell of permissions that were exported; that the export only lists which there could be is nothing lost."""
    found = fields.value("permissions")
    granted = found.get("permissions", found) if isinstance(found, Mapping) else found
    if granted:
        fields.bad("permissions", "permissions of Databricks are not carried")
