"""The Catalog of a file store: ids are names of folders, and a meta.yaml is read only for what these do not say.

A folder that cannot be listed has no objects here; who reads it reports that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.errors import StoreError
from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE, named_owner
from mlflow_archive.kinds.version_source import TOMBSTONE
from mlflow_archive.selecting.catalog import PARENT_TAG, Where, related_in, rows_from
from mlflow_archive.selecting.chosen_versions import ChosenVersions
from mlflow_archive.selecting.model_versions import PROMPT_EXPERIMENTS, ModelDependencies, prompt_experiments
from mlflow_archive.sources.mlruns.index import StoreIndex
from mlflow_archive.sources.mlruns.keyfiles import read_values
from mlflow_archive.sources.mlruns.layout import TAGS, ExperimentFolder, RunFolder, find_registered_models
from mlflow_archive.sources.mlruns.logged_models import read_model_meta, source_run_of
from mlflow_archive.sources.mlruns.meta import Meta, MetaUnreadableError
from mlflow_archive.sources.mlruns.registry.registry import model_identity, model_name, version_metas
from mlflow_archive.sources.mlruns.runs.experiments import Experiment
from mlflow_archive.sources.mlruns.runs.inputs import read_edges
from mlflow_archive.sources.mlruns.runs.runs import is_deleted, read_run_meta, start_time
from mlflow_archive.sources.mlruns.traces import traces
from mlflow_archive.sources.reading.gaplist import GapList
from mlflow_archive.sources.reading.records import ACTIVE, DELETED

Folder = RunFolder | Path
"""The folder of a run, or of a logged model or trace."""

_AT_ONCE: Final = 1_000
_KEYS: Final = MappingProxyType({RUN: "run_id", LOGGED_MODEL: "model_id", TRACE: "trace_id"})
_KINDS: Final = MappingProxyType({"runs": RUN, "logged_models": LOGGED_MODEL, "traces": TRACE})


class _Shelf:
    """A folder in which objects of one kind lie, such as ``example``."""

    __slots__ = ("_place", "_trashed", "experiment")

    def __init__(self, experiment: Experiment, place: Path, example: Folder) -> None:
        self.experiment, self._place = experiment, place
        self._trashed = example.trashed if isinstance(example, RunFolder) else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shelf) and self._place == other._place

    def __hash__(self) -> int:
        return hash(self._place)

    def folder(self, owner_id: str) -> Folder:
        """Return where an object lies."""
        path = self._place / owner_id
        return path if self._trashed is None else RunFolder(path=path, trashed=self._trashed)


class StoreCatalog:
    """The Catalog of the store at ``root``. What ``folders`` has met is looked up again without listing folders."""

    def __init__(self, root: Path, experiments: Sequence[Experiment], index: StoreIndex) -> None:
        self.place: object = root
        self._root, self._index = root, index
        self._experiments = {experiment.experiment_id: experiment for experiment in experiments}
        # Of each object its name and a pointer: there may be millions.
        self._met: dict[str, dict[str, tuple[_Shelf, ...]]] = {kind: {} for kind in _KEYS}
        self._listed: dict[str, set[str]] = {kind: set() for kind in _KEYS}

    def narrow(self, experiments: Collection[str]) -> list[Experiment]:
        """Look in some experiments only, and return them."""
        self._experiments = {number: e for number, e in self._experiments.items() if number in experiments}
        return list(self._experiments.values())

    def folders(self, kind: str, experiment: Experiment) -> Iterator[Folder]:
        """Yield the folders of the objects of a kind in an experiment. Raises StoreError."""
        shelves: dict[Path, tuple[_Shelf]] = {}
        met = self._met[kind]
        try:
            for folder in _folders(kind, experiment.folder):
                place = path_of(folder).parent
                shelf = shelves.setdefault(place, (_Shelf(experiment, place, folder),))
                earlier = met.setdefault(id_of(folder), shelf)
                if shelf[0] not in earlier:
                    met[id_of(folder)] = (*earlier, *shelf)
                yield folder
        except StoreError:
            self._listed[kind].add(experiment.experiment_id)
            raise
        self._listed[kind].add(experiment.experiment_id)

    def met(self, kind: str, ids: Collection[str]) -> Iterator[tuple[Experiment, Folder]]:
        """Yield the folders of some objects of a kind; of those that lie in several experiments, each."""
        if not self._met[kind].keys() >= set(ids):
            unlisted = [e for number, e in self._experiments.items() if number not in self._listed[kind]]
            for _ in self._all(kind, unlisted):
                pass
        for owner_id in ids:
            yield from ((s.experiment, s.folder(owner_id)) for s in self._met[kind].get(owner_id, ()))

    def rows(self, table: str, columns: Sequence[str], where: Where | None = None) -> Iterator[pa.Table]:
        for values in self._values(table, {*columns, *([where[0]] if where is not None else ())}, where):
            yield rows_from(table, values, columns, where)

    def dependencies(self, names: Sequence[str], versions: ChosenVersions) -> ModelDependencies:
        """Return the runs and logged models that versions name or lie below, and the makers of these logged models."""
        folders = [folder for folder in find_registered_models(self._root) if model_name(folder) in names]
        run_ids: set[str] = set()
        model_ids: set[str] = set()
        for meta in chain.from_iterable(_chosen_metas(folder, versions) for folder in folders):
            locations = (meta.text("source"), meta.text("storage_location"))
            run_ids |= self._index.runs_in(meta.text("run_id"), *locations)
            model_ids |= self._index.logged_models_in(meta.text("model_id"), *locations)
        for model_id in model_ids:
            place = self._index.logged_model(model_id)
            run_ids |= self._index.runs_in(None if place is None else source_run_of(place))
        tags = [_tags_of(folder) for folder in folders]
        return ModelDependencies(
            names=tuple(names),
            runs=frozenset(run_ids),
            logged_models=frozenset(model_ids),
            experiments=prompt_experiments(values.get(PROMPT_EXPERIMENTS) for values in tags),
        )

    def related(self, runs: Collection[str], *, children: bool) -> Collection[str]:
        return related_in(self, runs, children=children)

    def unreadable(self, kind: str, ids: Collection[str]) -> Collection[str]:
        return {id_of(folder) for _, folder in self.met(kind, ids) if not _facts(kind, folder)}

    def _values(self, table: str, columns: Collection[str], where: Where | None) -> Iterator[list[Mapping[str, Any]]]:
        """Yield what is known of some rows, at least of those that are asked for."""
        if table == "experiments":
            yield [_of_experiment(experiment) for experiment in self._experiments.values()]
        elif table in _REGISTRY:
            yield [row for folder in find_registered_models(self._root) for row in _REGISTRY[table](folder)]
        elif table == "tags":  # of which only the parent is asked for
            yield self._parents
        elif table in ("model_inputs", "model_outputs"):
            run_ids = _ids_in(where, "run_id")
            yield (self._every_edge if run_ids is None else _edges(self.met(RUN, run_ids)))[table]
        elif table == "trace_metadata":  # of which only the run is asked for
            yield [
                {"trace_id": id_of(folder), "key": traces.SOURCE_RUN, "value": traces.source_run_of(path_of(folder))}
                for _, folder in self._all(TRACE)
            ]
        elif kind := _KINDS.get(table):
            yield from self._of_kind(kind, columns, _ids_in(where, _KEYS[kind]))

    def _of_kind(
        self, kind: str, columns: Collection[str], ids: Collection[str] | None
    ) -> Iterator[list[Mapping[str, Any]]]:
        places = self._all(kind) if ids is None else self.met(kind, ids)
        while part := tuple(islice(places, _AT_ONCE)):
            yield [_of_object(kind, experiment, folder, columns) for experiment, folder in part]

    @cached_property
    def _parents(self) -> list[Mapping[str, Any]]:
        """The tags of runs that name their parents."""
        pairs = ((id_of(folder), _tags_of(path_of(folder)).get(PARENT_TAG)) for _, folder in self._all(RUN))
        return [{"run_id": run_id, "key": PARENT_TAG, "value": parent} for run_id, parent in pairs if parent]

    @cached_property
    def _every_edge(self) -> dict[str, list[Mapping[str, Any]]]:
        return _edges(self._all(RUN))

    def _all(self, kind: str, experiments: Iterable[Experiment] | None = None) -> Iterator[tuple[Experiment, Folder]]:
        for experiment in self._experiments.values() if experiments is None else experiments:
            try:
                for folder in self.folders(kind, experiment):
                    yield experiment, folder
            except StoreError:
                continue  # becomes a gap of the experiment


def _models(folder: Path) -> list[Mapping[str, Any]]:
    return [model_identity(folder)]


def _model_tags(folder: Path) -> list[Mapping[str, Any]]:
    return [{**model_identity(folder), "key": key, "value": value} for key, value in _tags_of(folder).items()]


def _versions(folder: Path) -> list[Mapping[str, Any]]:
    numbered = [(number, meta) for number, meta in version_metas(folder) if number is not None]
    stages = [{"version": number, "current_stage": meta.text("current_stage")} for number, meta in numbered]
    return [{**model_identity(folder), **stage} for stage in stages]


_REGISTRY: Final[Mapping[str, Callable[[Path], list[Mapping[str, Any]]]]] = MappingProxyType(
    {"registered_models": _models, "registered_model_tags": _model_tags, "model_versions": _versions}
)


def _chosen_metas(folder: Path, versions: ChosenVersions) -> Iterator[Meta]:
    """Yield the meta.yaml of each version that comes; deleted ones stand on nothing."""
    owner_id = named_owner(**model_identity(folder))
    for number, meta in version_metas(folder):
        if versions.takes(owner_id, number) and meta.text("current_stage") != TOMBSTONE:
            yield meta


def _ids_in(where: Where | None, column: str) -> Collection[str] | None:
    """Return the ids that are asked for in a column, None where all are."""
    return where[1] if where is not None and where[0] == column else None


def id_of(folder: Folder) -> str:
    """Return the id of an object by its folder."""
    return path_of(folder).name


def path_of(folder: Folder) -> Path:
    """Return where an object lies."""
    return folder.path if isinstance(folder, RunFolder) else folder


def _folders(kind: str, folder: ExperimentFolder) -> Iterator[Folder]:
    if kind == RUN:
        return folder.runs()
    return folder.logged_models() if kind == LOGGED_MODEL else folder.traces()


def _edges(runs: Iterable[tuple[Experiment, Folder]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return which logged models some runs took and gave, by table."""
    # What cannot be read of them is reported when they are carried.
    edges = [
        read_edges(path_of(folder), experiment.folder.path, GapList(owner_kind=RUN, owner_id=id_of(folder)))
        for experiment, folder in runs
    ]
    return {
        "model_inputs": [row for of_run in edges for row in of_run.model_inputs],
        "model_outputs": [row for of_run in edges for row in of_run.model_outputs],
    }


def _of_experiment(experiment: Experiment) -> Mapping[str, Any]:
    stage = DELETED if experiment.deleted else ACTIVE
    return {"experiment_id": experiment.experiment_id, "name": experiment.name, "lifecycle_stage": stage}


def _of_object(kind: str, experiment: Experiment, folder: Folder, columns: Collection[str]) -> Mapping[str, Any]:
    ids = {_KEYS[kind]: id_of(folder), "experiment_id": experiment.experiment_id}
    return ids if ids.keys() >= set(columns) else {**ids, **_facts(kind, folder)}


def _facts(kind: str, folder: Folder) -> Mapping[str, Any]:
    """Return what the meta.yaml of an object says; nothing of one that cannot be read."""
    try:
        if isinstance(folder, RunFolder):
            meta = read_run_meta(folder)
            return {"lifecycle_stage": DELETED if is_deleted(folder, meta) else ACTIVE, "start_time": start_time(meta)}
        if kind == TRACE:
            return {"request_time": traces.request_time_of(folder)}
        meta = read_model_meta(folder)
        return {name: meta.text(name) for name in ("lifecycle_stage", "source_run_id")}
    except MetaUnreadableError:
        return {}


def _tags_of(folder: Path) -> dict[str, str]:
    return read_values(folder / TAGS, _ignore)


def _ignore(key: str, reason: str) -> None:
    """Leave it: the same files are read again when the object is carried, and reported then."""
