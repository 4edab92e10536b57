"""Repair from Python; see ``mlflow-archive repair``.

>>> report = ma.repair("damaged.mlfa", "whole.mlfa", others=["copy.mlfa"])  # doctest: +SKIP
>>> report.complete, report.lost  # doctest: +SKIP
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from mlflow_archive import __version__
from mlflow_archive.api.progress import OnProgress, as_progress
from mlflow_archive.flow.report import Progress
from mlflow_archive.format.location import local_path
from mlflow_archive.repairing.repair import RepairOptions, RepairReport
from mlflow_archive.repairing.repair import repair as repair_from
from mlflow_archive.selecting.selection import refuse_text


def repair(
    archive: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    others: Sequence[str | os.PathLike[str]] = (),
    salvage: bool = False,
    jobs: int = 2,
    progress: Progress | OnProgress | None = None,
) -> RepairReport:
    """Write a sound archive from a damaged one and other copies of it; none of these is changed.

    ``others`` are the paths of the copies, damaged or not, or of archives with the same runs. What is
    lost in all of them is in ``report.lost``, and nothing is written then; with ``salvage`` all that is sound is, with
    a gap for each thing that is lost. Raises ArchiveError, SelectionError, TargetError.
    """
    refuse_text("others", others)
    return repair_from(
        local_path(archive),
        local_path(output),
        copies=[local_path(path) for path in others],
        options=RepairOptions(
            tool=f"mlflow-archive {__version__}",
            clock_ms=lambda: time.time_ns() // 1_000_000,
            salvage=salvage,
            jobs=jobs,
        ),
        progress=as_progress(progress),
    )
