"""Archives thinned out from Python; see ``mlflow-archive compact``.

>>> report = ma.compact("backup.mlfa", "small.mlfa", keep=ma.Keep(last=3, monthly=12))  # doctest: +SKIP
>>> report.freed, [export.before for export in report.kept_exports]  # doctest: +SKIP
"""

from __future__ import annotations

import os
import time

from mlflow_archive import __version__
from mlflow_archive.api.progress import OnProgress, as_progress
from mlflow_archive.flow.report import Progress
from mlflow_archive.format.location import local_path
from mlflow_archive.writer.compacting.compact import CompactOptions, CompactReport, estimate
from mlflow_archive.writer.compacting.compact import compact as compact_with
from mlflow_archive.writer.compacting.policy import Keep

__all__ = ["CompactReport", "Keep", "compact"]


def compact(
    archive: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    keep: Keep,
    level: int = 3,
    jobs: int = 2,
    dry_run: bool = False,
    progress: Progress | OnProgress | None = None,
) -> CompactReport:
    """Write an archive with some exports of another, each as it was, without what only the others needed.

    The old one is not changed; the new one is read at a kept export (``at=``) row for row as the old one was. ``level``
    is that of zstd for what is written anew. A dry run writes nothing, needs no ``output``, and says about how many
    bytes are freed. Raises SelectionError where nothing is to be kept or for a delta, ArchiveError, TargetError; then
    nothing was written.
    """
    if dry_run:
        return estimate(local_path(archive), keep)
    if output is None:
        raise TypeError("compact() needs the path of the new archive, or dry_run=True")
    options = CompactOptions(
        tool=f"mlflow-archive {__version__}", clock_ms=lambda: time.time_ns() // 1_000_000, level=level, jobs=jobs
    )
    return compact_with(local_path(archive), local_path(output), keep, options, progress=as_progress(progress))
