"""Workspaces, which other kinds lie in."""

from __future__ import annotations

from typing import Final

from mlflow_archive.kinds.model import WORKSPACE, Kind, listing, text, uri

WORKSPACES: Final = Kind(
    name=WORKSPACE,
    owner=(text("name", "workspaces.name", "Name."),),
    lists=(listing("workspaces", "name description"),),
)

KINDS: Final = (WORKSPACES,)

TABLES: Final = (
    WORKSPACES.table(
        "workspaces",
        "Workspaces.",
        text("description", "workspaces.description", "Description.", null=True),
        uri("default_artifact_root", "workspaces.default_artifact_root", "Artifact root."),
        uri("trace_archival_location", "workspaces.trace_archival_location", "Where traces go."),
        text("trace_archival_retention", "workspaces.trace_archival_retention", "And when.", null=True),
    ),
)
