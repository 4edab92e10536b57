"""From a tracking URI to its target, and to the replay sink that writes there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.format.manifest import Export
from mlflow_archive.format.source_tags import ExportFacts
from mlflow_archive.http.default_uri import scheme_of
from mlflow_archive.http.session import TrackingSession, tell_nobody
from mlflow_archive.kinds import DEFAULT_WORKSPACE, IDENTITIES
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.source import ArchiveSource, export_facts
from mlflow_archive.sinks.replay.options import ReplayOptions
from mlflow_archive.sinks.replay.sink import FactsOfRow
from mlflow_archive.sinks.replay.target.emptiness import is_empty
from mlflow_archive.sinks.replay.target.nothing_there import nothing_there
from mlflow_archive.sinks.replay.target.rest_target import RestTarget
from mlflow_archive.sinks.replay.target.store_target import StoreTarget
from mlflow_archive.sinks.replay.target.target import Target
from mlflow_archive.sinks.replay.workspace_sink import WorkspaceSink
from mlflow_archive.sinks.replay.writing.rows import Row


def open_target(uri: str, *, artifact_root: str | None = None, on_retry: Callable[[str], None] = tell_nobody) -> Target:
    """Return the target of a tracking URI: a server for http(s), else a store in this process.

    ``artifact_root`` is where a store keeps the artifacts of new experiments; a server decides that itself.
    Raises TargetError where a store cannot be opened; a server is contacted only by ``Target.check``.
    """
    if uri.startswith(("http://", "https://")):
        return RestTarget(TrackingSession(uri, on_retry=on_retry))
    return StoreTarget(uri, artifact_root=artifact_root, on_retry=on_retry)


def locate_replay(
    uri: str,
    archive: Archive,
    *,
    options: ReplayOptions | None = None,
    progress: Progress | None = None,
) -> WorkspaceSink:
    """Return the sink that replays ``archive`` into a tracking URI.

    Each run gets the facts of the export that its rows come from. Raises SelectionError or TargetError for what cannot
    be a target.
    """
    options, progress = options or ReplayOptions(), progress or Quiet()
    _check_options(uri, options)
    if options.dry_run and is_empty(uri):
        target = nothing_there(uri)
    else:
        target = open_target(uri, artifact_root=options.artifact_root, on_retry=progress.note)
    return WorkspaceSink(
        target,
        options=options,
        progress=progress,
        facts_of=facts_by_export(archive),
        only=only_workspace(archive),
        sources={facts_of_export(export).tracking_uri for export in archive.manifest.exports},
    )


def check_target(uri: str, options: ReplayOptions, *, progress: Progress) -> None:
    """Ask a target that is a server whether it is one of MLflow, before long work is done for it.

    Raises SelectionError, ServerError.
    """
    _check_options(uri, options)
    if scheme_of(uri) in ("http", "https"):
        with closing(open_target(uri, on_retry=progress.note)) as target:
            target.check()


def _check_options(uri: str, options: ReplayOptions) -> None:
    if options.artifact_root is not None and scheme_of(uri) in ("http", "https"):
        raise SelectionError(f"{uri}: a server decides itself where artifacts go; leave out --artifact-root")


def only_workspace(archive: Archive) -> str | None:
    """Return the workspace that everything in an archive is in, None where there are several."""
    workspaces: set[str] = set()
    for table in IDENTITIES.values():
        if "workspace" in table.column_names:
            for rows in archive.batches(table.name, columns=["workspace"]):
                workspaces.update(name or DEFAULT_WORKSPACE for name in rows["workspace"].unique().to_pylist())
    return workspaces.pop() if len(workspaces) == 1 else None


def facts_by_export(archive: Archive) -> FactsOfRow:
    """Return what says of a row of ``runs``, ``logged_models`` or ``traces`` by which export it came.

    All else, such as experiments, is of the newest one.
    """
    exports = {export.number: facts_of_export(export) for export in archive.manifest.exports}
    newest = archive.newest_export.number
    source = ArchiveSource(archive)
    tables = {"run_id": "runs", "model_id": "logged_models", "trace_id": "traces"}
    numbers_of = {column: source.export_of(table) for column, table in tables.items()}

    def facts_of(row: Row) -> ExportFacts:
        for column, numbers in numbers_of.items():
            if column in row:
                return exports[numbers.get(row[column], newest)]
        return exports[newest]

    return facts_of


def facts_of_export(export: Export) -> ExportFacts:
    """Return what source tags say of an export."""
    facts = export_facts(export)
    return ExportFacts(
        tracking_uri=facts.extra.get("tracking_uri", facts.uri),
        mlflow_version=facts.mlflow_version,
        exported_ms=int(facts.extra["exported_ms"]),
    )
