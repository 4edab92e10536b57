"""Restore an archive as the command does, and compare what two archives hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.restore import PreflightSink, RestoreOptions, RestoreSink
from mlflow_archive.sinks.restore.locate import locate_database
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.writer.export import ArchiveSink
from tests.support.reading import bits, plain_rows

MOVED = {
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
}
"""Columns that a new artifact root changes."""

MOVED_TAGS = ("mlflow.artifactLocation", "mlflow.trace.archiveLocation")
"""Tags of traces that it changes."""


def export(uri: str, path: Path, selection: Selection | None = None, **options: Any) -> Path:
    """Export a source into a new archive and return its path."""
    copy(locate_source(uri, **options), ArchiveSink(path, tool="test 1", clock_ms=lambda: 0), selection)
    return path


def restore(
    path: Path,
    uri: str,
    *,
    artifact_root: str | None = None,
    artifacts_destination: str | None = None,
    merge: bool = False,
    selection: Selection | None = None,
) -> Report:
    """Restore an archive: both passes."""
    options = RestoreOptions(artifact_root=artifact_root, artifacts_destination=artifacts_destination, merge=merge)
    database = locate_database(uri)
    with open_archive(path) as archive:
        try:
            database.open()
            preflight = PreflightSink(database, options)
            copy(ArchiveSource(archive), preflight, Selection(artifacts=False))
            sink = RestoreSink(database, options=options, existing=preflight.existing)
            return copy(ArchiveSource(archive), sink, selection or Selection(artifacts=artifact_root is not None))
        finally:
            database.rollback()


def _moves(name: str, column: str, row: dict[str, Any]) -> bool:
    return (name, column) in MOVED or ((name, column) == ("trace_tags", "value") and row["key"] in MOVED_TAGS)


def content(path: Path, *, moved: bool = False) -> dict[str, Counter[Any]]:
    """Return all rows of an archive by table, but for where blobs lie; with ``moved`` without artifact locations."""
    found = {}
    with open_archive(path) as archive:
        for name in TABLES:
            if name not in ("blobs", "fingerprints"):
                rows = plain_rows(archive.table(name))
                found[name] = Counter(
                    tuple(
                        (column, bits(value) if isinstance(value, float) else value)
                        for column, value in row.items()
                        if not moved or not _moves(name, column, row)
                    )
                    for row in rows
                )
    return found
