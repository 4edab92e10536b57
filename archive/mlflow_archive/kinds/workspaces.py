"""Workspaces, which other kinds lie in."""

from __future__ import annotations

from typing import Final

from mlflow_archive.kinds.model import WORKSPACE, Kind, Table, listing, text, uri

WORKSPACE_KINDS: Final = (Kind(name=WORKSPACE, lists=(listing("workspaces", "name description"),)),)

WORKSPACE_TABLES: Final = (
    Table(
        name="workspaces",
        entity=WORKSPACE,
        owner=("name",),
        key=("name",),
        description="Workspaces.",
        columns=(
            text("name", "workspaces.name", "Name."),
            text("description", "workspaces.description", "Description.", null=True),
            uri("default_artifact_root", "workspaces.default_artifact_root", "Artifact root."),
            uri("trace_archival_location", "workspaces.trace_archival_location", "Where traces go."),
            text("trace_archival_retention", "workspaces.trace_archival_retention", "And when.", null=True),
        ),
    ),
)
