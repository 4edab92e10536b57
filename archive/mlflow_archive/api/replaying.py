"""A replay of an open archive, which tells on the way what it has done so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress, Report
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import ReplayOptions
from mlflow_archive.sinks.replay.locate import locate_replay
from mlflow_archive.verification.taken import check_taken


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions(ReplayOptions):
    """How to import: all that :class:`~mlflow_archive.sinks.replay.ReplayOptions` says."""


def replay_archive(
    archive: Archive,
    uri: str,
    options: ReplayOptions,
    selection: Selection | None = None,
    *,
    progress: Progress | None = None,
    begun: Callable[[Callable[[], Report]], None] | None = None,
) -> Report:
    """Replay what is selected of an archive into a tracking URI.

    ``begun`` is called once, with a function that returns at any time, to any thread, what has been done. Raises
    SelectionError, ServerError, TargetError, ArchiveError; DamagedError before anything is written.
    """
    check_taken(archive, selection, jobs=options.jobs, progress=progress)
    sink = locate_replay(uri, archive, options=options, progress=progress)
    if begun is not None:
        begun(sink.so_far)
    return copy(ArchiveSource(archive), sink, selection, jobs=options.jobs, progress=progress)
