"""The sink of this program's own exports: it states this version, and the time by this machine's clock."""

from __future__ import annotations

import time
from pathlib import Path

from mlflow_archive import __version__
from mlflow_archive.flow.report import Progress
from mlflow_archive.writer.export import ArchiveSink, ExportOptions


def archive_sink(path: Path, options: ExportOptions, progress: Progress) -> ArchiveSink:
    """Return what writes one export into the archive at a path. Raises TargetError; see ArchiveSink."""
    return ArchiveSink(
        path,
        options,
        tool=f"mlflow-archive {__version__}",
        clock_ms=lambda: time.time_ns() // 1_000_000,
        progress=progress,
    )
