"""Experiments of a file store as rows.

One that lies in ``.trash`` is deleted whatever its meta.yaml says, as older versions of MLflow only moved it. One of
which the meta.yaml cannot be read is kept under its id as its name, with a gap, so that its runs are not lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from mlflow_archive.artifact_roots.names import printable
from mlflow_archive.errors import StoreError
from mlflow_archive.format.gaps import EXPERIMENT_UNREADABLE, OBJECT_UNREADABLE, RUN_UNREADABLE
from mlflow_archive.kinds import EXPERIMENT, LOGGED_MODEL, RUN, TRACE
from mlflow_archive.sources.mlruns.keyfiles import read_values
from mlflow_archive.sources.mlruns.layout import TAGS, TRASH, ExperimentFolder
from mlflow_archive.sources.mlruns.meta import Meta, MetaUnreadableError, read_meta
from mlflow_archive.sources.mlruns.runs.inputs import dataset_rows
from mlflow_archive.sources.reading.fields import row_of
from mlflow_archive.sources.reading.gaplist import GapList
from mlflow_archive.sources.reading.records import ACTIVE, DELETED
from mlflow_archive.sources.reading.rows import Row, Rows, pair_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """An experiment; without ``meta`` it has a ``problem``. ``shadowed`` is a trashed one with the same id."""

    folder: ExperimentFolder
    meta: Meta | None = None
    problem: str = ""
    shadowed: ExperimentFolder | None = None

    @property
    def experiment_id(self) -> str:
        return self.folder.experiment_id

    @property
    def name(self) -> str:
        return (self.meta.text("name") if self.meta else None) or self.experiment_id

    @property
    def deleted(self) -> bool:
        return self.folder.trashed or (self.meta is not None and self.meta.text("lifecycle_stage") == DELETED)


def load_experiments(folders: Iterable[ExperimentFolder]) -> list[Experiment]:
    """Return the experiments in these folders by id; of two with one id the first, which MLflow shows too."""
    by_id: dict[str, Experiment] = {}
    for folder in folders:
        if first := by_id.get(folder.experiment_id):
            by_id[folder.experiment_id] = replace(first, shadowed=folder)
            continue
        try:
            by_id[folder.experiment_id] = Experiment(folder=folder, meta=_read(folder))
        except MetaUnreadableError as error:
            by_id[folder.experiment_id] = Experiment(folder=folder, problem=str(error))
    return sorted(by_id.values(), key=lambda experiment: experiment.experiment_id)


def _read(folder: ExperimentFolder) -> Meta:
    meta = read_meta(folder.path)
    if meta.text("name") is None:
        raise MetaUnreadableError("its meta.yaml has no name")
    return meta


def add_experiment(rows: Rows, experiment: Experiment) -> GapList:
    """Add the experiment's row, tags, datasets and gaps, which are returned."""
    gaps = GapList(owner_kind=EXPERIMENT, owner_id=experiment.experiment_id)
    if experiment.problem:
        gaps.add("", EXPERIMENT_UNREADABLE, f"{experiment.problem}; its runs are kept under its id as its name")
    if experiment.shadowed is not None:
        _add_shadowed(rows, gaps, experiment.shadowed)
    rows.add("experiments", _row(experiment, gaps))
    path = experiment.folder.path
    tags = pair_rows(read_values(path / TAGS, gaps.under(TAGS)), experiment_id=experiment.experiment_id)
    rows.add_all({"experiment_tags": tags, "datasets": dataset_rows(path, gaps)})
    rows.add_gaps(gaps)
    return gaps


def _add_shadowed(rows: Rows, gaps: GapList, folder: ExperimentFolder) -> None:
    """Add gaps for a deleted experiment that has the id of an active one, and for each object that lies in it."""
    trashed = f"{TRASH}/{folder.experiment_id}"
    reason = "a deleted experiment has the id of an active one and is left out"
    count = 0
    for kind, code in ((RUN, RUN_UNREADABLE), (LOGGED_MODEL, OBJECT_UNREADABLE), (TRACE, OBJECT_UNREADABLE)):
        try:
            paths = list(_paths(folder, kind))
        except StoreError as error:
            reason = f"{reason}; {error}"
            continue
        for path in paths:
            left_out = GapList(owner_kind=kind, owner_id=printable(path.name))
            place = printable(f"{trashed}/{path.relative_to(folder.path).as_posix()}")
            left_out.add(place, code, "its experiment is deleted, and an active one has the id of that; it is left out")
            rows.add_gaps(left_out)
        count += len(paths)
    gaps.add(trashed, EXPERIMENT_UNREADABLE, f"{reason}, with {count} objects in it")


def _paths(folder: ExperimentFolder, kind: str) -> Iterable[Path]:
    if kind == RUN:
        return (run.path for run in folder.runs())
    return folder.logged_models() if kind == LOGGED_MODEL else folder.traces()


def _row(experiment: Experiment, gaps: GapList) -> Row:
    fields = (experiment.meta or Meta()).fields(gaps.under(""))
    stage = DELETED if experiment.deleted else ACTIVE
    own = {"experiment_id": experiment.experiment_id, "name": experiment.name, "lifecycle_stage": stage}
    row = row_of("experiments", fields, **own)
    gaps.unread += fields.unread()
    return row
