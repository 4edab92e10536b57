"""Which objects of an exported folder are selected, by what the index of its documents knows, and cut into shards."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.flow.absences import absences
from mlflow_archive.flow.chunk import Shard, gap_shards
from mlflow_archive.kinds import AFTER_RUNS, EVALUATION_DATASET, EXPERIMENT, LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.selecting.catalog import Where, related_in, rows_from
from mlflow_archive.selecting.chosen_versions import ChosenVersions
from mlflow_archive.selecting.model_versions import ModelDependencies
from mlflow_archive.selecting.run_levels import by_depth
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.selecting.selector import Passes, Selector
from mlflow_archive.sources.exim.entries import (
    IS_PROMPT,
    PARENT_TAG,
    SOURCE_RUN,
    ExperimentEntry,
    LoggedModelEntry,
    ModelEntry,
    RunEntry,
    TraceEntry,
    VersionEntry,
    number_of,
)
from mlflow_archive.sources.exim.index import Index
from mlflow_archive.sources.exim.runs.runs import read_run
from mlflow_archive.sources.exim.traces.traces import read_trace
from mlflow_archive.sources.filtering.run_filter import Matches, compile_filter
from mlflow_archive.sources.filtering.trace_filter import SearchedTrace, TraceFilter, compile_trace_filter
from mlflow_archive.sources.reading.records import ACTIVE, DELETED

_WITHOUT_FILES: Final = Selection(artifacts=False)
_EDGES: Final = ("model_inputs", "model_outputs")

Record = Mapping[str, Any]


class ExportedCatalog:
    """The Catalog of an exported folder."""

    def __init__(self, index: Index) -> None:
        self.place: object = index.root
        self._index = index

    def rows(self, table: str, columns: Sequence[str], where: Where | None = None) -> Iterator[pa.Table]:
        if table in _EDGES:
            yield rows_from(table, self._edges(table, where), columns, where)
        else:
            yield rows_from(table, list(self._records(table)), columns, where)

    def dependencies(self, names: Sequence[str], versions: ChosenVersions) -> ModelDependencies:
        """Return the runs and logged models that versions name, and the makers of these logged models."""
        entries = [entry for entries in self._index.models.values() for entry in entries if entry.name in names]
        taken = [
            version
            for entry in entries
            for version in entry.versions
            if versions.takes(entry.owner_id, number_of(version.number))
        ]
        model_ids = set(filter(None, (version.model_id for version in taken)))
        logged_models = self._index.logged_models
        makers = {logged_models[model_id].run_id for model_id in model_ids & logged_models.keys()}
        run_ids = makers | {version.run_id for version in taken}
        return ModelDependencies(
            names=tuple(names),
            runs=frozenset(filter(None, run_ids)),
            logged_models=frozenset(model_ids),
            experiments=frozenset().union(*(entry.experiments for entry in entries)),
        )

    def related(self, runs: Collection[str], *, children: bool) -> Collection[str]:
        return related_in(self, runs, children=children)

    def unreadable(self, kind: str, ids: Collection[str]) -> Collection[str]:
        """Return those of which there are gaps and nothing else."""
        return {i for i in ids if i not in self._index.of(kind) and self._index.gaps.has(kind, i)}

    def _records(self, table: str) -> Iterable[Record]:
        index = self._index
        by_table: dict[str, Iterable[Record]] = {
            "experiments": map(_experiment, index.experiments.values()),
            "runs": map(_run, index.runs.values()),
            "logged_models": map(_logged_model, index.logged_models.values()),
            "traces": map(_trace, index.traces.values()),
            "trace_metadata": map(_trace, index.traces.values()),
            "tags": map(_parent, index.runs.values()),
            "registered_models": (_identity(entries[0]) for entries in index.models.values()),
            "registered_model_tags": map(_mark, chain.from_iterable(index.models.values())),
            "model_versions": chain.from_iterable(map(_versions, index.models.values())),
            "evaluation_datasets": (
                {"dataset_id": dataset.dataset_id, "name": dataset.name} for dataset in index.datasets.values()
            ),
            "evaluation_dataset_experiments": (
                {"dataset_id": dataset.dataset_id, "experiment_id": experiment_id}
                for dataset in index.datasets.values()
                for experiment_id in dataset.experiments
            ),
        }
        return by_table.get(table, ())

    def _edges(self, table: str, where: Where | None) -> list[Record]:
        if where is None or where[0] != "run_id":
            return self._every_edge[table]
        return self._edges_of([self._index.runs[i] for i in where[1] if i in self._index.runs])[table]

    @cached_property
    def _every_edge(self) -> Mapping[str, list[Record]]:
        return self._edges_of(self._index.runs.values())

    def _edges_of(self, runs: Collection[RunEntry]) -> Mapping[str, list[Record]]:
        """Return which logged models some runs took and gave, by table; their documents are read again for it."""
        edges = [read_run(entry, self._index.gaps, _WITHOUT_FILES, self._index.root)[0].edges for entry in runs]
        return {table: [row for of_run in edges for row in getattr(of_run, table)] for table in _EDGES}


def _experiment(entry: ExperimentEntry) -> Record:
    return {"experiment_id": entry.experiment_id, "name": entry.name, "lifecycle_stage": _stage(deleted=entry.deleted)}


def _run(entry: RunEntry) -> Record:
    ids = {"run_id": entry.run_id, "experiment_id": entry.experiment_id}
    return {**ids, "lifecycle_stage": _stage(deleted=entry.deleted), "start_time": entry.start_time}


def _logged_model(entry: LoggedModelEntry) -> Record:
    return {"model_id": entry.model_id, "experiment_id": entry.experiment_id, "source_run_id": entry.run_id}


def _trace(entry: TraceEntry) -> Record:
    """Return a trace with the only metadata that is asked for."""
    ids = {"trace_id": entry.trace_id, "experiment_id": entry.experiment_id}
    return {**ids, "request_time": entry.request_time, "key": SOURCE_RUN, "value": entry.run_id}


def _parent(entry: RunEntry) -> Record:
    """Return the only tag that is asked for."""
    return {"run_id": entry.run_id, "key": PARENT_TAG, "value": entry.parent}


def _identity(entry: ModelEntry) -> Record:
    return {"name": entry.name, "workspace": entry.workspace}


def _mark(entry: ModelEntry) -> Record:
    """Return the only tag of a registered model that is asked for."""
    return {**_identity(entry), "key": IS_PROMPT, "value": str(entry.is_prompt).lower()}


def _versions(entries: Sequence[ModelEntry]) -> list[Record]:
    """Return the versions of a registered model, each as the first document has it."""
    versions: dict[int | None, VersionEntry] = {}
    for entry in entries:
        for version in entry.versions:
            versions.setdefault(number_of(version.number), version)
    identity = _identity(entries[0])
    return [
        {**identity, "version": number, "current_stage": version.stage}
        for number, version in versions.items()
        if number is not None
    ]


def _stage(*, deleted: bool) -> str:
    return DELETED if deleted else ACTIVE


PER_SHARD: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsPayload:
    """What a shard holds: objects of one kind by id."""

    kind: str
    ids: tuple[str, ...]
    selection: Selection


class EximPlanner:
    """Plans one export. Raises SelectionError before the first shard for what matches nothing."""

    def __init__(self, index: Index, selection: Selection) -> None:
        self._index, self._selection = index, selection
        filters: dict[str, Passes] = {}
        if selection.filter_string:
            filters[RUN] = partial(self._matching_runs, compile_filter(selection.filter_string))
        if selection.trace_filter:
            filters[TRACE] = partial(self._matching_traces, compile_trace_filter(selection.trace_filter))
        self.selector = Selector(ExportedCatalog(index), selection, filters)

    def shards(self) -> Iterator[Shard]:
        """Yield shards: gaps of what is missing, experiments, runs with parents before children, all else by kind."""
        yield from absences(self.selector.missing)
        gaps = [gap for owner in self._leftovers() for gap in self._index.gaps.of(*owner).by_place.values()]
        yield from gap_shards("what is not there", gaps)
        yield from self._cut(EXPERIMENT, self._ids(EXPERIMENT), 0)
        stage = 1
        for stage, ids in enumerate(self._runs_by_depth(), start=1):
            yield from self._cut(RUN, ids.to_pylist(), stage)
        for kind in AFTER_RUNS:
            stage += 1
            yield from self._cut(kind, self._ids(kind), stage)

    def _ids(self, kind: str) -> list[str]:
        ids = {owner_id for piece in self.selector.ids(kind) for owner_id in piece.to_pylist()}
        if kind == REGISTERED_MODEL:
            return [owner for owner, entries in self._index.models.items() if entries[0].name in ids]
        return [object_id for object_id in self._index.of(kind) if object_id in ids]

    def _runs_by_depth(self) -> Iterator[pa.Array]:
        """Yield runs without a parent among those selected, then their children, and so on; loops come last."""
        run_ids = sorted(self._ids(RUN))
        parents = [self._index.runs[run_id].parent for run_id in run_ids]
        links = (pa.chunked_array([run_ids], pa.string()), pa.chunked_array([parents], pa.string()))
        return by_depth(links[0].combine_chunks(), [links])

    def _matching_runs(self, matches: Matches, ids: Sequence[str]) -> list[str]:
        records = {i: read_run(self._index.runs[i], self._index.gaps, _WITHOUT_FILES, self._index.root)[0] for i in ids}
        return [i for i, record in records.items() if matches(record, record.latest.points.values())]

    def _matching_traces(self, matches: TraceFilter, ids: Sequence[str]) -> list[str]:
        traces = (read_trace(self._index.traces[i], self._index.gaps, _WITHOUT_FILES, self._index.root) for i in ids)
        return [trace.trace_id for trace in matches([SearchedTrace.of_rows(trace.rows) for trace in traces])]

    def _leftovers(self) -> Iterator[tuple[str, str]]:
        """Yield the owners of gaps that are missing and might be selected."""
        for kind, owner in self._index.gaps.owners():
            if owner in self._index.of(kind):
                continue
            if (kind not in _KNOWN or self._selection.wants_kind(kind)) and self._might_want(kind, owner):
                yield kind, owner

    def _might_want(self, kind: str, owner: str) -> bool:
        dependencies = self.selector.dependencies
        if self._selection.only_named:
            of_models = dependencies.runs if dependencies is not None else ()
            return kind == RUN and (owner in self._selection.runs or owner in of_models)
        if kind == EXPERIMENT:
            return self._selection.matches_experiment(owner, owner)
        if kind == REGISTERED_MODEL:
            return self._selection.everything
        return self._index.gaps.experiment_of(kind, owner) in (None, *self.selector.experiments)

    def _cut(self, kind: str, ids: Iterable[str], stage: int) -> Iterator[Shard]:
        listed = list(ids)
        for start in range(0, len(listed), PER_SHARD):
            part = tuple(listed[start : start + PER_SHARD])
            payload = ObjectsPayload(kind=kind, ids=part, selection=self._selection)
            yield Shard(name=f"{kind} from {part[0]}", stage=stage, kind=kind, weight=len(part), payload=payload)


_KNOWN: Final = frozenset({RUN, LOGGED_MODEL, TRACE, EVALUATION_DATASET, REGISTERED_MODEL})
