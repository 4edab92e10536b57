"""A restore is two copies: one that looks whether everything can be written, and one that writes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.http.tried import untried
from mlflow_archive.kinds import KINDS, TABLES
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.optional import mlflow_version
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.archive_at import ArchiveAt, archive_at
from mlflow_archive.reader.source import ArchiveSource
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
from mlflow_archive.sinks.restore.sharing_out import SharedFiles
from mlflow_archive.verification.taken import check_taken
from mlflow_archive.workers.pools import pool_of, wants_workers


def restore_archive(
    archive: Archive,
    uri: str,
    options: RestoreOptions,
    selection: Selection | None = None,
    *,
    progress: AbstractContextManager[Progress] | None = None,
    opened_as: ArchiveAt | None = None,
) -> Report:
    """Restore what is selected of an archive into the database at a URI; ``progress`` watches the second copy only.

    Workers open the archive as it was ``opened_as``, which need not be said of one without base and as it is now.

    Raises DamagedError, and RestoreRefusedError with all that stands against it, before anything is written,
    SelectionError (also for a delta without its base), ServerError, TargetError; after any of them the database is as
    it was.
    """
    selection = replace(selection or Selection(), artifacts=options.artifact_root is not None)
    archive.require_whole("a restore")
    database = locate_database(uri)
    check_taken(archive, selection, jobs=options.jobs)
    try:
        database.open()
        existing, report = look_ahead(archive, database, options, selection)
        if options.dry_run:
            return report
        quiet: Progress = Quiet()
        with progress or nullcontext(quiet) as listener:
            if sentence := untried(mlflow_version()):
                listener.note(sentence)
            with _shared_files(opened_as or archive_at(archive.path, None, archive.id), options, listener) as shared:
                sink = RestoreSink(database, options=options, existing=existing, progress=listener, shared=shared)
                return copy(ArchiveSource(archive), sink, selection, jobs=options.jobs, progress=listener)
    finally:
        database.rollback()


@contextmanager
def _shared_files(at: ArchiveAt, options: RestoreOptions, progress: Progress) -> Iterator[SharedFiles | None]:
    """Give what has workers write the artifacts, where these are asked for; the pool is closed behind the block."""
    if not wants_workers(options.processes, options.dask):
        yield None
        return
    with closing(SharedFiles(at, pool_of(options.processes, options.dask), progress)) as shared:
        yield shared


def look_ahead(
    archive: Archive, database: RestoreDatabase, options: RestoreOptions, selection: Selection
) -> tuple[Existing, Report]:
    """Make the first copy, which writes nothing: whether an open database can take what is selected.

    Of the largest tables it reads the columns that decide; all, where these are refused. Raises RestoreRefusedError.
    """
    rows_only = replace(selection, artifacts=False)
    deciding = {kind.largest: _deciding(kind.largest, database) for kind in KINDS.values() if kind.largest}
    leave_out = () if options.dry_run else [name for name, names in deciding.items() if names == ()]
    columns = {name: {*names, *TABLES[name].owner} for name, names in deciding.items() if names is not None}
    preflight = PreflightSink(database, options)
    source = ArchiveSource(archive, leave_out=leave_out, columns=columns)
    try:
        report = copy(source, preflight, rows_only, jobs=options.jobs)
    except RestoreRefusedError as error:
        if not any(obstacle.table in columns for obstacle in error.obstacles):
            raise
        preflight = PreflightSink(database, options)
        report = copy(ArchiveSource(archive), preflight, rows_only, jobs=options.jobs)
    return preflight.existing, report


def _deciding(name: str, database: RestoreDatabase) -> tuple[str, ...] | None:
    """Return the columns of a table in which something can stand against a restore; None where the target lacks it."""
    target = database.schema.get(MAPS[name].stored_in)
    return None if target is None else columns_to_check(MAPS[name], target, database.dialect)
