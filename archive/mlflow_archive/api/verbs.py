"""The verbs of the command for Python. Those that copy return the report.

    report = ma.export("backup.mlfa", "http://127.0.0.1:5000", selection=ma.Selection(experiments=("churn*",)))
    report.complete, report.counts, report.gaps

A report with gaps is a partial success; an exception means that nothing was committed. ``progress`` is told the unit
(``runs``, ``bytes``, …), how much of it is done, and how much is expected so far; from several threads, one at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import Literal

from mlflow_archive.api.as_archive import as_archive
from mlflow_archive.api.diffing import Comparison, Diff, differences, hidden_columns
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.selecting.selection import Selection

OnProgress = Callable[[str, int, int], None]
ArchivePath = str | os.PathLike[str]


class _Told:
    """A Progress that adds up and tells a function."""

    def __init__(self, tell: OnProgress) -> None:
        self._tell = tell
        self._lock = Lock()
        self._done: dict[str, int] = {}
        self._expected: dict[str, int] = {}

    def expect(self, unit: str, amount: int) -> None:
        with self._lock:
            self._expected[unit] = self._expected.get(unit, 0) + amount
            self._tell(unit, self._done.get(unit, 0), self._expected[unit])

    def advance(self, unit: str, amount: int) -> None:
        with self._lock:
            self._done[unit] = self._done.get(unit, 0) + amount
            self._tell(unit, self._done[unit], self._expected.get(unit, 0))

    def note(self, message: str) -> None: ...


def _progress(tell: OnProgress | None) -> Progress:
    return Quiet() if tell is None else _Told(tell)


def export(
    archive: ArchivePath,
    source: str | None = None,
    *,
    selection: Selection | None = None,
    append: bool = False,
    jobs: int = 4,
    artifact_map: Sequence[tuple[str, str]] = (),
    artifacts_destination: str | None = None,
    progress: OnProgress | None = None,
) -> Report:
    """Export a tracking URI, None what MLflow itself would use, into an archive; see ``mlflow-archive export``.

    Raises SelectionError, ServerError, StoreError, TargetError; then nothing was committed, and the same call goes on.
    """
    from mlflow_archive.api.archiving import archive_sink  # noqa: PLC0415 - looking needs no writer
    from mlflow_archive.sources.locate import locate_source  # noqa: PLC0415 - sources bring drivers with them
    from mlflow_archive.writer.export import ExportOptions  # noqa: PLC0415

    told = _progress(progress)
    read = locate_source(source, artifact_map=artifact_map, artifacts_destination=artifacts_destination, progress=told)
    sink = archive_sink(Path(archive), ExportOptions(append=append, jobs=jobs), told)
    return copy(read, sink, selection, jobs=jobs, progress=told)


def replay(
    archive: ArchivePath,
    to: str | None = None,
    *,
    selection: Selection | None = None,
    experiment_prefix: str = "",
    model_prefix: str = "",
    source_tags: bool = True,
    user: Literal["source", "importer"] = "source",
    spans_in_table: bool = True,
    artifact_root: str | None = None,
    workspace: str | None = None,
    dry_run: bool = False,
    jobs: int = 4,
    progress: OnProgress | None = None,
) -> Report:
    """Replay an archive into a tracking server or store; see ``mlflow-archive import``.

    ``report.details`` is the receipt. Raises SelectionError, ServerError, TargetError, ArchiveError; repeated, it goes
    on.
    """
    from mlflow_archive.sinks.replay import ReplayOptions  # noqa: PLC0415
    from mlflow_archive.sinks.replay.locate import locate_replay  # noqa: PLC0415 - brings MLflow with it

    told = _progress(progress)
    options = ReplayOptions(
        source_tags=source_tags,
        experiment_prefix=experiment_prefix,
        model_prefix=model_prefix,
        user=user,
        spans_in_table=spans_in_table,
        dry_run=dry_run,
    )
    with open_archive(archive) as opened:
        sink = locate_replay(
            to, opened, options=options, artifact_root=artifact_root, workspace=workspace, progress=told
        )
        return copy(ArchiveSource(opened), sink, selection, jobs=jobs, progress=told)


def restore(
    archive: ArchivePath,
    to: str,
    *,
    artifact_root: str | None,
    artifacts_destination: str | None = None,
    merge: bool = False,
    selection: Selection | None = None,
    dry_run: bool = False,
    jobs: int = 2,
    progress: OnProgress | None = None,
) -> Report:
    """Restore an archive into a backend database with every id kept; see ``mlflow-archive restore``.

    ``artifact_root`` is the folder or URL for artifacts, None keeps their locations and writes none. Raises
    RestoreRefusedError (a TargetError) with every conflict before anything is written, ServerError, ArchiveError.
    """
    from mlflow_archive.api.restoring import restore_archive  # noqa: PLC0415 - brings MLflow with it
    from mlflow_archive.sinks.restore import RestoreOptions  # noqa: PLC0415

    options = RestoreOptions(artifact_root=artifact_root, artifacts_destination=artifacts_destination, merge=merge)
    told = _progress(progress)
    with open_archive(archive) as opened:
        return restore_archive(opened, to, options, selection, dry_run=dry_run, jobs=jobs, progress=nullcontext(told))


def diff(
    before: ArchivePath,
    after: ArchivePath,
    *,
    artifacts: bool = True,
    locations: bool = True,
    jobs: int = 4,
    progress: OnProgress | None = None,
) -> Diff:
    """List which objects were added, removed or changed, field by field; see ``mlflow-archive diff``.

    Each side is the path of an archive, or a tracking URI, which is exported into a temporary archive first. Without
    ``artifacts`` these are not compared, without ``locations`` not where they lie. Raises ArchiveError,
    SelectionError, ServerError, StoreError; TargetError where a source has gaps.
    """
    told, selection = _progress(progress), Selection(artifacts=artifacts)
    with (
        as_archive(os.fspath(before), selection=selection, jobs=jobs, progress=told) as one,
        as_archive(os.fspath(after), selection=selection, jobs=jobs, progress=told) as other,
    ):
        hidden = hidden_columns(one, other)
        changes = tuple(differences(one, other, Comparison(artifacts=artifacts, locations=locations, hidden=hidden)))
    return Diff(changes=changes, not_compared=hidden)


def serve(
    archive: ArchivePath,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], None] = print,
    progress: OnProgress | None = None,
) -> None:
    """Show an archive in MLflow's web pages, read-only, until interrupted; see ``mlflow-archive serve``.

    Port 0 takes a free one; ``ready`` is told the URL once it can be opened. Sets MLflow's server up in this process,
    for one archive. Raises ArchiveError, TargetError, MlflowArchiveError where full MLflow is missing.
    """
    from mlflow_archive.api.serving.server import serve as serve_pages  # noqa: PLC0415 - brings MLflow with it

    serve_pages(archive, host=host, port=port, ready=ready, progress=nullcontext(_progress(progress)))
