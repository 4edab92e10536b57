"""Deltas from Python; see ``mlflow-archive join`` and ``mlflow-archive index``.

>>> ma.export("week.mlfa", uri, options=ma.ExportOptions(base="backup.mlfa"))  # doctest: +SKIP
>>> ma.index("all.mlfa", "all.index").size  # doctest: +SKIP
>>> ma.join("backup.mlfa", "all.mlfa", deltas=["week.mlfa"]).archive_id  # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from mlflow_archive.api.progress import OnProgress, as_progress
from mlflow_archive.flow.report import Progress
from mlflow_archive.format.location import ArchivePath, local_path
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import refuse_text
from mlflow_archive.writer.index import IndexReport, write_index
from mlflow_archive.writer.join import JoinReport
from mlflow_archive.writer.join import join as join_members


def join(
    base: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    deltas: Sequence[str | os.PathLike[str]] = (),
    progress: Progress | OnProgress | None = None,
) -> JoinReport:
    """Write one archive from a base and ``deltas`` of it, at least one, in their order; none of these is changed.

    It is what exports with ``append`` would have made of the base, with the same archive id. Raises SelectionError for
    a delta of something else, ArchiveError, TargetError; then nothing was written.
    """
    refuse_text("deltas", deltas)
    return join_members(
        local_path(base), [local_path(path) for path in deltas], local_path(output), progress=as_progress(progress)
    )


def index(
    archive: ArchivePath,
    output: str | os.PathLike[str],
    *,
    base: ArchivePath | None = None,
) -> IndexReport:
    """Write the index of an archive: what ``ExportOptions(base=…)`` takes where the archive is not at hand.

    Of a delta it is that of the archive which the delta makes with ``base``. Raises ArchiveError, SelectionError,
    TargetError.
    """
    with open_archive(archive, base=base) as opened:
        return write_index(opened, local_path(output))
