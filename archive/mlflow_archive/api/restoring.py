"""A restore is two copies: one that looks whether everything can be written, and one that writes it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.kinds import TABLES
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.source import LARGEST, ArchiveSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.restore import (
    PreflightSink,
    RestoreOptions,
    RestoreRefusedError,
    RestoreSink,
    columns_to_check,
)
from mlflow_archive.sinks.restore.database import RestoreDatabase
from mlflow_archive.sinks.restore.existing import Existing
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
        existing, found = _look(archive, database, options, selection, dry_run=dry_run, jobs=jobs)
        if dry_run:
            return found
        quiet: Progress = Quiet()
        with progress or nullcontext(quiet) as told:
            sink = RestoreSink(database, options=options, existing=existing, progress=told)
            return copy(ArchiveSource(archive), sink, selection, jobs=jobs, progress=told)
    finally:
        database.rollback()


def _look(
    archive: Archive,
    database: RestoreDatabase,
    options: RestoreOptions,
    selection: Selection,
    *,
    dry_run: bool,
    jobs: int,
) -> tuple[Existing, Report]:
    """Make the first copy. Of the largest tables it reads the columns that decide; all, where these are refused."""
    rows_only = replace(selection, artifacts=False)
    deciding = {name: _deciding(name, database) for name in LARGEST.values()}
    leave_out = () if dry_run else [name for name, found in deciding.items() if found == ()]
    columns = {name: {*found, *TABLES[name].owner} for name, found in deciding.items() if found is not None}
    preflight = PreflightSink(database, options)
    source = ArchiveSource(archive, leave_out=leave_out, columns=columns)
    try:
        found = copy(source, preflight, rows_only, jobs=jobs)
    except RestoreRefusedError as error:
        if not any(obstacle.table in columns for obstacle in error.obstacles):
            raise
        preflight = PreflightSink(database, options)
        found = copy(ArchiveSource(archive), preflight, rows_only, jobs=jobs)
    return preflight.existing, found


def _deciding(name: str, database: RestoreDatabase) -> tuple[str, ...] | None:
    """Return the columns of a table in which something can stand against a restore; None where the target lacks it."""
    target = database.schema.get(MAPS[name].stored_in)
    return None if target is None else columns_to_check(MAPS[name], target, database.dialect)
