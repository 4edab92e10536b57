"""A replay of an open archive, which tells on the way what it has done so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow.compute as pc

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress, Report
from mlflow_archive.kinds import DEFAULT_WORKSPACE, EVALUATION_DATASET, EXPERIMENT, IDENTITIES, REGISTERED_MODEL
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.selecting import ArchiveSelection
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import ReplayOptions
from mlflow_archive.sinks.replay.locate import locate_replay
from mlflow_archive.sinks.replay.names import check_renames, in_workspace, not_there
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
    SelectionError, ServerError, TargetError, ArchiveError; before anything is written DamagedError, and SelectionError
    where two names would become one.
    """
    notes = check_names(archive, options, selection or Selection())
    check_taken(archive, selection, jobs=options.jobs, progress=progress)
    sink = locate_replay(uri, archive, options=options, progress=progress)
    for sentence in notes:
        sink.note(sentence)
    if begun is not None:
        begun(sink.so_far)
    return copy(ArchiveSource(archive), sink, selection, jobs=options.jobs, progress=progress)


def check_names(archive: Archive, options: ReplayOptions, selection: Selection) -> list[str]:
    """Return a sentence for each kind of which names are to be renamed that are not among what is selected.

    Raises SelectionError where two names of one workspace would become one in the target.
    """
    sentences = []
    for kind, renames in (
        (EXPERIMENT, options.rename_experiment),
        (REGISTERED_MODEL, options.rename_model),
        (EVALUATION_DATASET, options.rename_evaluation_dataset),
    ):
        if not renames:
            continue
        noun, pairs = kind.replace("_", " "), set(_names(archive, kind, selection))
        option = "model" if kind == REGISTERED_MODEL else noun
        for workspace in {workspace for workspace, _ in pairs}:
            names = (name for place, name in pairs if place == workspace)
            check_renames(option, names, in_workspace(renames, workspace), joinable=kind == EXPERIMENT)
        if missing := not_there(renames, pairs):
            listed = ", ".join(map(repr, missing))
            sentences.append(f"no {noun} of this name is imported, so that none is renamed: {listed}")
    return sentences


def _names(archive: Archive, kind: str, selection: Selection) -> Iterator[tuple[str, str]]:
    """Yield workspace and name of each selected object, but for experiments that are deleted: these keep apart."""
    table = IDENTITIES[kind]
    by, stage = table.key[0], "lifecycle_stage"
    columns = [name for name in (by, "name", "workspace", stage) if name in table.column_names]
    rows = archive.table(table.name, columns=list(dict.fromkeys(columns)))
    selected = ArchiveSelection(archive, selection).ids(kind)
    for row in rows.filter(pc.is_in(rows[by], value_set=selected)).to_pylist():
        if row.get(stage) != "deleted":
            yield row.get("workspace") or DEFAULT_WORKSPACE, row["name"]
