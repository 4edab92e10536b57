"""The verbs of the command for Python. Those that copy return the report.

    report = ma.export("backup.mlfa", "http://127.0.0.1:5000", selection=ma.Selection(experiments=("churn*",)))
    report.complete, report.counts, report.gaps

A report with gaps is a partial success; an exception means that nothing was committed. What to copy is a
:class:`Selection`, how to copy a record of options, one for each verb. ``progress`` is called with the unit (``runs``,
``bytes``, …), how much of it is done, and how much is expected so far; from several threads, one at a time. A
:class:`~mlflow_archive.flow.report.Progress` can be given, too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlflow_archive import __version__
from mlflow_archive.api.progress import OnProgress, as_progress
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow import copy as loop
from mlflow_archive.flow.report import Progress, Report
from mlflow_archive.flow.sink import Sink
from mlflow_archive.format.earlier import AskedAt
from mlflow_archive.format.location import ArchivePath, ArchivePlace, archive_place
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.archive_at import archive_at
from mlflow_archive.selecting.selection import Selection, refuse_texts_as_pairs
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.private_folder import remove_left_behind
from mlflow_archive.workers.pools import pool_of, wants_workers
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from mlflow_archive.writer.target_place import base_at

if TYPE_CHECKING:
    from mlflow_archive.sinks.replay import ReplayOptions
    from mlflow_archive.sinks.replay.names import Renaming
    from mlflow_archive.sinks.restore import RestoreOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions(ArchiveOptions):
    """How to export. ``jobs`` threads read and write, ``level`` is that of zstd (1 to 19).

    ``append`` adds what is new or changed to an archive that exists; ``base``, the path of another one, writes it as a
    delta of that. With ``recheck`` also what looks unchanged comes, with ``same_source`` although an experiment
    looks like one of another source. A dry run writes nothing. Each pair of
    ``artifact_map`` says of artifacts whose URI starts with the first text that they lie at the second one now: a
    folder, of databases also a URL. ``artifacts_destination`` is, for a database, the folder or URL behind
    ``mlflow-artifacts:`` URIs, as in ``mlflow server``. ``redact`` is a file of rules by which values are taken out
    (docs/redaction.md), and ``key_file`` one with the key of pseudonyms.

    With ``processes`` that many processes of this machine read and write, with ``dask``, the address of a scheduler,
    the workers of a Dask cluster, which must be able to open source and archive.
    """

    dry_run: bool = False
    artifact_map: Sequence[tuple[str, str]] = ()
    artifacts_destination: str | None = None
    redact: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None
    processes: int = 0
    dask: str | None = None

    def __post_init__(self) -> None:
        if wants_workers(self.processes, self.dask) and self.redact is not None:
            raise SelectionError("--redact is done by threads of this machine: leave out --processes and --dask")
        refuse_texts_as_pairs("artifact_map", self.artifact_map)


def export(
    archive: ArchivePath,
    source: str | None = None,
    *,
    options: ExportOptions | None = None,
    selection: Selection | None = None,
    progress: Progress | OnProgress | None = None,
) -> Report:
    """Export a tracking URI, None what MLflow itself would use, into an archive; see ``mlflow-archive export``.

    Raises SelectionError, ServerError, StoreError, TargetError; then nothing was committed, and the same call goes on.
    """
    from mlflow_archive.api.sharing_out import export_by_workers, source_at  # noqa: PLC0415 - sources bring drivers with them
    from mlflow_archive.sources.locate import locate_source  # noqa: PLC0415

    options, listener = options or ExportOptions(), as_progress(progress)
    if selection is not None and selection.traces:
        raise SelectionError("an export names no traces; select them by run, experiment, time or trace_filter")
    if options.redact is not None:
        from mlflow_archive.api.redacting import export_redacted  # noqa: PLC0415 - few do

        return export_redacted(archive, source, options, selection or Selection(), progress=listener)
    try:
        origin = locate_source(
            source,
            artifact_map=options.artifact_map,
            artifacts_destination=options.artifacts_destination,
            progress=listener,
            coded=True,
        )
        sink = _archive_sink(archive_place(archive), options, listener)
        if isinstance(sink, ArchiveSink) and wants_workers(options.processes, options.dask):
            at = source_at(source, options.artifact_map, options.artifacts_destination)
            return export_by_workers(at, origin, sink, selection, pool_of(options.processes, options.dask), listener)
        return loop.copy(origin, sink, selection, jobs=options.jobs, progress=listener)
    finally:
        remove_left_behind()  # also where there was nothing to do: a kill may have come right behind the commit


def _archive_sink(path: ArchivePlace, options: ExportOptions, progress: Progress) -> Sink:
    if options.append and options.base is not None:
        raise SelectionError("--append adds to an archive that is there, --base writes a delta of another: give one")
    if options.dry_run:
        from mlflow_archive.sinks.counting import CountingSink  # noqa: PLC0415

        # The target is looked at as the export would, so that a dry run refuses what the export would refuse.
        base = base_at(path, append=options.append, files=Files(), of_base=options.base)
        return CountingSink(base=base, options=options, progress=progress)
    return ArchiveSink(
        path,
        options,
        tool=f"mlflow-archive {__version__}",
        clock_ms=lambda: time.time_ns() // 1_000_000,
        progress=progress,
    )


def import_archive(  # noqa: PLR0913 - what belongs to one archive stands beside the options
    archive: ArchivePath,
    to: str,
    *,
    options: ReplayOptions | None = None,
    rename_experiment: Renaming | None = None,
    rename_model: Renaming | None = None,
    base: ArchivePath | None = None,
    at: AskedAt | None = None,
    selection: Selection | None = None,
    progress: Progress | OnProgress | None = None,
) -> Report:
    """Import an archive into a tracking server or store; see ``mlflow-archive import``.

    ``options`` are :class:`~mlflow_archive.api.replaying.ImportOptions`. ``rename_experiment`` and ``rename_model`` map
    names in the archive to names in the target, or are files that do, in place of those of ``options``: they belong to
    one archive, where options may serve many. ``base`` is the archive of which ``archive`` is a delta: what the delta
    does not hold is read from it. ``at`` is as in ``ma.open``. ``report.details`` is the receipt. Raises
    SelectionError, also where two names would become one, ServerError, TargetError, ArchiveError; repeated, it goes on.
    """
    from mlflow_archive.api.replaying import ImportOptions, replay_archive  # noqa: PLC0415 - brings MLflow with it
    from mlflow_archive.sinks.replay.names import read_renames  # noqa: PLC0415

    options, listener = options or ImportOptions(), as_progress(progress)
    options = replace(
        options,
        rename_experiment=options.rename_experiment if rename_experiment is None else read_renames(rename_experiment),
        rename_model=options.rename_model if rename_model is None else read_renames(rename_model),
    )
    with open_archive(archive, base=base, at=at) as opened:
        return replay_archive(opened, to, options, selection, progress=listener)


def copy(
    source: str,
    to: str,
    *,
    options: ReplayOptions | None = None,
    reading: ExportOptions | None = None,
    selection: Selection | None = None,
    progress: Progress | OnProgress | None = None,
) -> Report:
    """Copy a server, database or folder into a tracking server or store; see ``mlflow-archive copy``.

    ``reading`` says where artifacts are found, ``options`` all else: how to write, and how many threads read and write.
    The report is that of the import, with the gaps of the export, too. Raises SelectionError, ServerError, StoreError,
    TargetError; repeated, it goes on.
    """
    from mlflow_archive.api.copying import copy_server  # noqa: PLC0415 - brings MLflow with it
    from mlflow_archive.sinks.replay import ReplayOptions  # noqa: PLC0415

    listener = as_progress(progress)
    return copy_server(
        source,
        to,
        options or ReplayOptions(),
        selection or Selection(),
        reading=reading or ExportOptions(),
        watch=lambda verb: nullcontext(listener),
    )


def restore(
    archive: ArchivePath,
    to: str,
    options: RestoreOptions,
    *,
    base: ArchivePath | None = None,
    at: AskedAt | None = None,
    selection: Selection | None = None,
    progress: Progress | OnProgress | None = None,
) -> Report:
    """Restore an archive into a backend database with every id kept; see ``mlflow-archive restore``.

    Without an ``artifact_root`` in the options, artifacts keep their locations and none is written. A delta takes its
    ``base``, too; ``at`` is as in ``ma.open``. Raises
    RestoreRefusedError (a TargetError) with every conflict before anything is written, ServerError, ArchiveError.
    """
    from mlflow_archive.api.restoring import restore_archive  # noqa: PLC0415 - brings MLflow with it

    with open_archive(archive, base=base, at=at) as opened:
        watched = nullcontext(as_progress(progress))
        opened_as = archive_at(archive, base, opened.id, at)
        return restore_archive(opened, to, options, selection, progress=watched, opened_as=opened_as)


def serve(
    archive: ArchivePath,
    *,
    at: AskedAt | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], None] = print,
    progress: Progress | OnProgress | None = None,
) -> None:
    """Show an archive in MLflow's web pages, read-only, until interrupted; see ``mlflow-archive serve``.

    Port 0 takes a free one; ``ready`` is called with the URL once it can be opened; ``at`` is as in ``ma.open``. Sets
    MLflow's server up in this process, for one archive. Raises ArchiveError, TargetError, SelectionError,
    MlflowArchiveError where full MLflow is missing.
    """
    from mlflow_archive.api.serving.server import serve as serve_pages  # noqa: PLC0415 - brings MLflow with it

    serve_pages(archive, at=at, host=host, port=port, ready=ready, progress=nullcontext(as_progress(progress)))
