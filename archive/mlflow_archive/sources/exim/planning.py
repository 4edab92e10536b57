"""Which objects of an exported folder are selected, cut into shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.absences import Absences
from mlflow_archive.flow.chunk import Shard
from mlflow_archive.kinds import AFTER_RUNS, EVALUATION_DATASET, EXPERIMENT, LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim.entries import RunEntry, TraceEntry
from mlflow_archive.sources.exim.index import Index
from mlflow_archive.sources.exim.registry.version_files import Carried
from mlflow_archive.sources.exim.runs.runs import read_run
from mlflow_archive.sources.exim.traces.traces import read_trace
from mlflow_archive.sources.filtering.run_filter import Matches, compile_filter
from mlflow_archive.sources.filtering.trace_filter import SearchedTrace, TraceFilter, compile_trace_filter
from mlflow_archive.sources.reading.no_match import deleted_hint, no_match

PER_SHARD: Final = 100
LEFTOVERS: Final = "leftovers"
"""The kind of a payload of gaps whose owners are missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsPayload:
    """What a shard holds: objects of one kind by id; of leftovers, kinds and ids of the gaps' owners.

    ``carried`` are the runs and logged models that come, None where all do.
    """

    kind: str
    ids: tuple[str, ...] = ()
    owners: tuple[tuple[str, str], ...] = ()
    selection: Selection
    carried: Carried = None


class EximPlanner:
    """Plans one export. Raises SelectionError before the first shard for what matches nothing."""

    def __init__(self, index: Index, selection: Selection) -> None:
        self._index, self._selection = index, selection
        self._absences = Absences(selection)
        self._experiments = self._select_experiments()
        self._models = self._select_models()
        self._matches: Matches | None = compile_filter(selection.filter_string) if selection.filter_string else None
        self._trace_matches: TraceFilter | None = (
            compile_trace_filter(selection.trace_filter) if selection.trace_filter else None
        )
        self._check_runs()

    def shards(self) -> Iterator[Shard]:
        """Yield shards: gaps of what is missing, experiments, runs with parents before children, all else by kind."""
        yield from self._absences.shards()
        owners = tuple(self._leftovers())
        if owners:
            payload = ObjectsPayload(kind=LEFTOVERS, owners=owners, selection=self._selection)
            yield Shard(name="what is not there", payload=payload)
        yield from self._cut(EXPERIMENT, self._selected_experiments(), 0)
        stage = 1
        for stage, ids in enumerate(self._runs_by_depth(), start=1):
            yield from self._cut(RUN, ids, stage)
        for kind in AFTER_RUNS:
            stage += 1
            yield from self._cut(kind, self._ids(kind), stage)

    @property
    def _narrowed(self) -> bool:
        """Whether single objects are named or filtered, so that only what belongs to them is selected."""
        return bool(self._selection.runs or self._selection.filter_string or self._selection.models)

    @property
    def _everything(self) -> bool:
        s = self._selection
        return not (self._narrowed or s.experiments) and s.since_ms is None and s.until_ms is None

    def _select_experiments(self) -> dict[str, str]:
        entries = self._index.experiments.values()
        pairs = [(e.experiment_id, e.name) for e in entries if self._selection.deleted or not e.deleted]
        if unmatched := self._selection.unmatched_experiments(pairs):
            names = [f"{name!r} (id {number})" for number, name in pairs]
            error = no_match("experiment", self._index.root, unmatched, names, self._hint)
            self._absences.add(EXPERIMENT, unmatched, self._selection.experiments, error)
        return {number: name for number, name in pairs if self._selection.matches_experiment(number, name)}

    def _select_models(self) -> list[str]:
        names = {owner: entries[0].name for owner, entries in self._index.models.items()}
        if unmatched := self._selection.unmatched_models(list(names.values())):
            error = no_match("registered model", self._index.root, unmatched, list(map(repr, names.values())))
            self._absences.add(REGISTERED_MODEL, unmatched, self._selection.models, error)
        return [owner for owner, name in names.items() if self._selection.matches_model(name)]

    def _check_runs(self) -> None:
        missing = set(self._selection.runs) - {entry.run_id for entry in self._in_reach()}
        missing = {run_id for run_id in missing if not self._is_unreadable(run_id)}
        if missing:
            ids = ", ".join(sorted(missing))
            error = SelectionError(f"no run {ids} in the selected experiments of {self._index.root}{self._hint}")
            self._absences.add(RUN, missing, self._selection.runs, error)

    def _is_unreadable(self, run_id: str) -> bool:
        return run_id not in self._index.runs and self._index.gaps.has(RUN, run_id)

    @property
    def _hint(self) -> str:
        return deleted_hint(deleted=self._selection.deleted)

    def _in_reach(self) -> Iterator[RunEntry]:
        """Yield the runs that are selected but for the filter."""
        selection, of_models = self._selection, self._of_models(RUN) if self._selection.models else None
        for entry in self._index.runs.values():
            if (
                entry.experiment_id in self._experiments
                and (not selection.runs or entry.run_id in selection.runs)
                and (of_models is None or entry.run_id in of_models)
                and (selection.deleted or not entry.deleted)
                and selection.in_window(entry.start_time)
            ):
                yield entry

    @cached_property
    def _runs(self) -> dict[str, RunEntry]:
        if not self._selection.wants_kind(RUN) and not self._narrowed:
            return {}
        return self._chosen_runs

    @cached_property
    def _chosen_runs(self) -> dict[str, RunEntry]:
        """The selected runs, whether runs come or only what belongs to them."""
        return {entry.run_id: entry for entry in self._in_reach() if self._passes(entry)}

    def _passes(self, entry: RunEntry) -> bool:
        if self._matches is None:
            return True
        record, _ = read_run(entry, self._index.gaps, _WITHOUT_FILES, self._index.root)
        return self._matches(record, record.latest.points.values())

    def _of_models(self, kind: str) -> set[str]:
        """Return the runs or logged models that the selected registered models stand on."""
        entries = [entry for owner in self._models for entry in self._index.models[owner]]
        versions = [version for entry in entries for version in entry.versions]
        model_ids = {version.model_id for version in versions if version.model_id}
        if kind == LOGGED_MODEL:
            return model_ids
        logged_models = self._index.logged_models
        makers = {logged_models[model_id].run_id for model_id in model_ids if model_id in logged_models}
        return {run_id for run_id in {*makers, *(version.run_id for version in versions)} if run_id}

    def _selected_experiments(self) -> Iterator[str]:
        kinds = self._selection.kinds
        if not self._narrowed and (not kinds or RUN in kinds):
            yield from self._experiments
            return
        used = {entry.experiment_id for entry in self._runs.values()}
        for kind in (LOGGED_MODEL, TRACE):
            used.update(self._experiment_of(kind, object_id) for object_id in self._ids(kind))
        for dataset_id in self._ids(EVALUATION_DATASET):
            used.update(self._index.datasets[dataset_id].experiments)
        if self._selection.models:
            used.update(
                number for owner in self._models for entry in self._index.models[owner] for number in entry.experiments
            )
        yield from (experiment_id for experiment_id in self._experiments if experiment_id in used)

    def _runs_by_depth(self) -> Iterator[Iterable[str]]:
        """Yield runs without a parent among those selected, then their children, and so on; loops come last."""
        remaining = dict(self._runs) if self._selection.wants_kind(RUN) else {}
        while remaining:
            level = [i for i, entry in remaining.items() if entry.parent not in remaining or entry.parent == i]
            level = level or list(remaining)  # only loops remain
            for run_id in level:
                del remaining[run_id]
            yield level

    def _ids(self, kind: str) -> list[str]:
        selection = self._selection
        if not selection.wants_kind(kind):
            return []
        if kind == REGISTERED_MODEL:
            return self._models if selection.models or self._everything else []
        return [object_id for object_id in self._index.of(kind) if self._wants(kind, object_id)]

    def _wants(self, kind: str, object_id: str) -> bool:
        selection = self._selection
        if kind == EVALUATION_DATASET:
            linked = self._index.datasets[object_id].experiments
            in_reach = not selection.experiments and self._everything
            return in_reach or (not self._narrowed and not self._experiments.keys().isdisjoint(linked))
        if self._experiment_of(kind, object_id) not in self._experiments:
            return False
        if kind == LOGGED_MODEL:
            return self._wants_logged_model(object_id)
        if selection.models:
            return False
        entry = self._index.traces[object_id]
        return (not self._narrowed or entry.run_id in self._runs) and self._passes_trace(entry)

    def _wants_logged_model(self, model_id: str) -> bool:
        if self._selection.models:
            return model_id in self._of_models(LOGGED_MODEL)
        run_id = self._index.logged_models[model_id].run_id
        if not self._narrowed and not (run_id and self._selection.leaves_out_runs):
            return True
        return run_id in self._chosen_runs or model_id in self._used_by_runs

    @cached_property
    def _used_by_runs(self) -> set[str]:
        """The logged models that are inputs or outputs of the selected runs."""
        used: set[str] = set()
        for entry in self._chosen_runs.values():
            record, _ = read_run(entry, self._index.gaps, _WITHOUT_FILES, self._index.root)
            used |= record.edges.model_ids()
        return used

    def _passes_trace(self, entry: TraceEntry) -> bool:
        if self._trace_matches is None:
            return True
        trace = read_trace(entry, self._index.gaps, _WITHOUT_FILES, self._index.root)
        return bool(self._trace_matches([SearchedTrace.of_rows(trace.rows)]))

    def _experiment_of(self, kind: str, object_id: str) -> str:
        entries: Mapping[str, Any] = self._index.of(kind)
        return str(entries[object_id].experiment_id)

    def _leftovers(self) -> Iterator[tuple[str, str]]:
        """Yield the owners of gaps that are missing and might be selected."""
        for kind, owner in self._index.gaps.owners():
            if owner in self._index.of(kind):
                continue
            if (kind not in _KNOWN or self._selection.wants_kind(kind)) and self._might_want(kind, owner):
                yield kind, owner

    def _might_want(self, kind: str, owner: str) -> bool:
        if self._narrowed:
            return kind == RUN and (owner in self._selection.runs or owner in self._missing_of_models)
        if kind == EXPERIMENT:
            return self._selection.matches_experiment(owner, owner)
        if kind == REGISTERED_MODEL:
            return self._everything
        return self._index.gaps.experiment_of(kind, owner) in (None, *self._experiments)

    @cached_property
    def _missing_of_models(self) -> set[str]:
        return self._of_models(RUN) if self._selection.models else set()

    def _carried(self) -> Carried:
        selection = self._selection
        if not (selection.kinds or self._narrowed or selection.leaves_out_runs):
            return None
        run_ids = self._runs if selection.wants_kind(RUN) else ()
        return frozenset((*run_ids, *self._ids(LOGGED_MODEL)))

    def _cut(self, kind: str, ids: Iterable[str], stage: int) -> Iterator[Shard]:
        listed = list(ids)
        carried = self._carried() if kind == REGISTERED_MODEL else None
        for start in range(0, len(listed), PER_SHARD):
            part = tuple(listed[start : start + PER_SHARD])
            payload = ObjectsPayload(kind=kind, ids=part, selection=self._selection, carried=carried)
            yield Shard(
                name=f"{kind} from {part[0]}", stage=stage, weight=len(part) if kind == RUN else 0, payload=payload
            )


_WITHOUT_FILES: Final = Selection(artifacts=False)
_KNOWN: Final = frozenset({RUN, LOGGED_MODEL, TRACE, EVALUATION_DATASET, REGISTERED_MODEL})
