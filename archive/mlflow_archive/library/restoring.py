"""A restore is two copies: one that looks whether everything can be written, and one that writes it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from mlflow_archive.copy import copy
from mlflow_archive.pipeline import Progress, Quiet, Report, Selection
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.sinks.restore import UNCHECKED, PreflightSink, RestoreOptions, RestoreSink
from mlflow_archive.sinks.restore.locate import locate_database


def restore_archive(
    archive: Archive,
    uri: str,
    options: RestoreOptions,
    selection: Selection | None = None,
    *,
    dry_run: bool = False,
    jobs: int = 2,
    progress: AbstractContextManager[Progress] | None = None,
) -> Report:
    """Restore what is selected of an archive into the database at a URI; ``progress`` watches the second copy only.

    Raises RestoreRefusedError with all that stands against it before anything is written, SelectionError,
    ServerError, TargetError; after any of them the database is as it was.
    """
    selection = replace(selection or Selection(), artifacts=options.artifact_root is not None)
    database = locate_database(uri)
    try:
        database.open()
        preflight = PreflightSink(database, options)
        source = ArchiveSource(archive, leave_out=() if dry_run else UNCHECKED.get(database.dialect, ()))
        found = copy(source, preflight, replace(selection, artifacts=False), jobs=jobs)
        if dry_run:
            return found
        quiet: Progress = Quiet()
        with progress or nullcontext(quiet) as told:
            sink = RestoreSink(database, options=options, existing=preflight.existing, progress=told)
            return copy(ArchiveSource(archive), sink, selection, jobs=jobs, progress=told)
    finally:
        database.rollback()
