"""The Catalog of an exported folder: what the index of its documents knows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.selecting.catalog import Where, rows_from
from mlflow_archive.selecting.model_versions import ModelDependencies
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim.entries import SOURCE_RUN, ExperimentEntry, LoggedModelEntry, RunEntry, TraceEntry
from mlflow_archive.sources.exim.index import Index
from mlflow_archive.sources.exim.runs.runs import read_run
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

    def dependencies(self, names: Sequence[str]) -> ModelDependencies:
        """Return the runs and logged models that versions name, and the makers of these logged models."""
        entries = [entry for entries in self._index.models.values() for entry in entries if entry.name in names]
        versions = [version for entry in entries for version in entry.versions]
        model_ids = set(filter(None, (version.model_id for version in versions)))
        logged_models = self._index.logged_models
        makers = {logged_models[model_id].run_id for model_id in model_ids & logged_models.keys()}
        run_ids = makers | {version.run_id for version in versions}
        return ModelDependencies(
            names=tuple(names),
            runs=frozenset(filter(None, run_ids)),
            logged_models=frozenset(model_ids),
            experiments=frozenset().union(*(entry.experiments for entry in entries)),
        )

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
            "registered_models": ({"name": entries[0].name} for entries in index.models.values()),
            "evaluation_datasets": ({"dataset_id": dataset_id} for dataset_id in index.datasets),
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


def _stage(*, deleted: bool) -> str:
    return DELETED if deleted else ACTIVE
