"""Which objects a selection takes: one answer for every source, from its catalog.

What every option means is said by ``Selection``; what each kind follows from is said here, once:

* what lies in an experiment comes with it; a run, too, if its stage and start are selected and a filter takes it, and
  a trace if its time is and a filter takes it;
* a logged model whose maker is left out by time or stage comes only if a run that is selected names it;
* where runs are named, by id or filter, only what belongs to them comes: their logged models and traces, as far as
  these lie in selected experiments, and traces that are named; on request the runs above or below them, too, as far
  as the way to these leads through runs whose experiment, stage and start are selected;
* where registered models are named, only these and what the versions of them that come stand on;
* an evaluation dataset comes with any of its experiments, or where it is named; everything else that lies in no
  experiment only where nothing is left out by experiment, name or time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import (
    EVALUATION_DATASET,
    EXPERIMENT,
    IDENTITIES,
    KINDS,
    LOGGED_MODEL,
    REGISTERED_MODEL,
    RUN,
    TRACE,
    WORKSPACE,
    Table,
)
from mlflow_archive.selecting.catalog import Catalog, records
from mlflow_archive.selecting.chosen_versions import ChosenVersions
from mlflow_archive.selecting.model_versions import ModelDependencies
from mlflow_archive.selecting.no_match import no_match
from mlflow_archive.selecting.registered import names_in_registry, version_rows
from mlflow_archive.selecting.selection import PROMPTS, Selection

Passes = Callable[[Sequence[str]], Sequence[str]]
"""Given ids of runs or traces, returns those that a filter takes."""

_JUDGED_AT_ONCE: Final = 128
_EXAMPLES: Final = 6
_STAGE: Final = "lifecycle_stage"
_DELETED: Final = "deleted"
_TIMES: Final = {RUN: "start_time", TRACE: "request_time"}
_EDGES: Final = ("model_inputs", "model_outputs")
_DATASET_LINKS: Final = "evaluation_dataset_experiments"
_SOURCE_RUN: Final = "mlflow.sourceRun"
"""The metadata of a trace that names the run it was made in; such a trace has no link to that run."""


class Selector:
    """The objects of a catalog that a selection takes, by the first key of their kind.

    Raises SelectionError for a name that matches nothing, as ``Selection.on_missing`` says; those that are passed over
    are in ``missing``, as (kind, name). ``filters`` judge runs and traces. Usable from several threads once it is made.
    """

    def __init__(self, catalog: Catalog, selection: Selection, filters: Mapping[str, Passes] | None = None) -> None:
        self._catalog, self._selection, self._filters = catalog, selection, {} if filters is None else filters
        self.missing: list[tuple[str, str]] = []
        self.experiments: dict[str, str] = self._experiments()
        """Names by id of those in which objects are looked for."""
        self.registered: frozenset[str] | None = self._registered()
        """The names of registered models and prompts that come, where the registry does; None is all."""
        self.versions: ChosenVersions = self._versions() if selection.chooses_versions else ChosenVersions()
        """The versions of these that come."""
        self.dependencies: ModelDependencies | None = self._dependencies() if selection.models else None
        """Of models selected by name: these, and what their versions stand on."""
        self.named_datasets: frozenset[str] | None = self._datasets() if selection.evaluation_datasets else None
        """The ids of evaluation datasets that are named, None where none are."""
        self._named_runs = self._runs_by_name()
        self._named_traces = self._traces_by_name() if selection.traces else frozenset[str]()

    def ids(self, kind: str, among: Collection[str] | None = None) -> Iterator[pa.StringArray]:
        """Yield the selected objects of a kind in pieces, in the order of the catalog; only some of them if asked."""
        if kind == EXPERIMENT:
            yield _texts(self.carried_experiments)
        elif kind == WORKSPACE:
            yield self._workspaces()
        elif self._selection.wants_kind(kind):
            yield from self.chosen(kind, among)

    def chosen(self, kind: str, among: Collection[str] | None = None) -> Iterator[pa.StringArray]:
        """Yield the same of a kind whose objects need not come themselves, as other kinds follow from them."""
        if kind == RUN and self._selection.relatives:
            return self._in_reach(RUN, _both(self._with_relatives, among))
        if kind == RUN:
            return self._passing(RUN, self._in_reach(RUN, _both(self._named_runs, among)))
        if kind == EVALUATION_DATASET and self.named_datasets is not None:
            return iter([_texts(self.named_datasets)])
        if self.dependencies is not None:
            return self._of_versions(kind, self.dependencies, among)
        if self._selection.only_named:
            return self._of_runs(kind, among)
        return self._of_experiments(kind, among)

    def among(self, kind: str, ids: Collection[str]) -> set[str]:
        """Return those of some objects of a kind that come."""
        return {owner_id for piece in self.ids(kind, ids) for owner_id in piece.to_pylist()} if ids else set()

    @cached_property
    def carried_experiments(self) -> list[str]:
        """The experiments that come, if a kind that refers to them is selected.

        Where something is named, those in which what comes lies, and those to which prompts and evaluation datasets
        belong.
        """
        selection = self._selection
        if not selection.only_named:
            referring = any(EXPERIMENT in KINDS[kind].refers for kind in selection.kinds or KINDS)
            return list(self.experiments) if referring else []
        used_ids = self._experiments_of_registry_and_datasets()
        for kind in (RUN, LOGGED_MODEL, TRACE):
            ids = list(_ids(self.ids(kind)))
            used_ids |= self._values(IDENTITIES[kind].name, "experiment_id", IDENTITIES[kind].key[0], ids)
        return [experiment_id for experiment_id in self.experiments if experiment_id in used_ids]

    def _experiments_of_registry_and_datasets(self) -> set[str]:
        """Return those to which prompts and evaluation datasets belong that are named and come."""
        used_ids: set[str] = set()
        if self.dependencies is not None and self._selection.wants_kind(REGISTERED_MODEL):
            used_ids |= self.dependencies.experiments
        if self.named_datasets is not None and self._selection.wants_kind(EVALUATION_DATASET):
            used_ids |= self._values(_DATASET_LINKS, "experiment_id", "dataset_id", self.named_datasets)
        return used_ids

    @cached_property
    def runs(self) -> list[str]:
        """The selected runs, sorted, whether or not they come; for a selection of few."""
        return sorted(run_id for piece in self.chosen(RUN) for run_id in piece.to_pylist())

    def _of_experiments(self, kind: str, among: Collection[str] | None) -> Iterator[pa.StringArray]:
        table = IDENTITIES[kind]
        if kind == EVALUATION_DATASET and not self._selection.everything:
            links = self._values(_DATASET_LINKS, "dataset_id", "experiment_id", self.experiments)
            return iter([_texts(links)])
        if not _lies_in_experiment(table):
            named = self.registered if kind == REGISTERED_MODEL else None
            return self._all(table, named) if self._selection.everything else iter(())
        pieces = self._in_reach(kind, among)
        if kind == LOGGED_MODEL and self._selection.leaves_out_runs:
            return map(self._with_their_runs, pieces)
        return self._passing(kind, pieces)

    def _of_runs(self, kind: str, among: Collection[str] | None) -> Iterator[pa.StringArray]:
        return self._passing(kind, self._in_reach(kind, _both(self.linked(kind), among)))

    def linked(self, kind: str) -> Collection[str]:
        """Return the logged models or traces that belong to the selected runs, and traces that are named, wherever."""
        if kind == LOGGED_MODEL:
            return self._models_of_runs
        return self._traces_of_runs | self._named_traces if kind == TRACE else ()

    @cached_property
    def _models_of_runs(self) -> set[str]:
        made_by = self._values("logged_models", "model_id", "source_run_id", self.runs)
        return made_by.union(*(self._values(edges, "model_id", "run_id", self.runs) for edges in _EDGES))

    @cached_property
    def _traces_of_runs(self) -> set[str]:
        if not self.runs:
            return set()
        traces = self._values("trace_links", "trace_id", "destination_id", self.runs)
        for made_in in self._catalog.rows("trace_metadata", ("trace_id", "value"), ("key", (_SOURCE_RUN,))):
            in_runs = pc.is_in(made_in["value"], value_set=_texts(self.runs))
            traces.update(made_in.filter(in_runs)["trace_id"].to_pylist())
        return traces

    def _of_versions(
        self, kind: str, dependencies: ModelDependencies, among: Collection[str] | None
    ) -> Iterator[pa.StringArray]:
        if kind == REGISTERED_MODEL:
            return iter([_texts(dependencies.names)])
        if kind == LOGGED_MODEL:
            return self._in_reach(kind, _both(dependencies.logged_models, among))
        return iter(())

    def _in_reach(self, kind: str, among: Collection[str] | None) -> Iterator[pa.StringArray]:
        """Yield the objects of a kind that lie in selected experiments, and whose stage and time are selected."""
        if among is not None and not among:
            return
        table, selection = IDENTITIES[kind], self._selection
        key = table.key[0]
        stage = "" if selection.deleted or _STAGE not in table.column_names else _STAGE
        time = _TIMES.get(kind, "") if selection.cut_by_time else ""
        columns = [key, "experiment_id", *filter(None, (stage, time))]
        experiments = _texts(self.experiments)
        for rows in self._catalog.rows(table.name, columns, None if among is None else (key, among)):
            mask = pc.is_in(rows["experiment_id"], value_set=experiments)
            if stage:
                mask = pc.and_(mask, pc.fill_null(pc.not_equal(rows[stage], _DELETED), True))
            if time:
                mask = pc.and_(mask, self._in_window(kind, rows[key], rows[time].cast(pa.int64())))
            yield rows.filter(mask)[key].unique()

    def _in_window(self, kind: str, ids: pa.ChunkedArray, times: pa.ChunkedArray) -> Any:
        """Return for each object whether its time is selected; one without a time is out, unless nothing is known."""
        selection = self._selection
        mask = times.is_valid()
        if selection.since_ms is not None:
            mask = pc.and_kleene(mask, pc.greater_equal(times, selection.since_ms))
        if selection.until_ms is not None:
            mask = pc.and_kleene(mask, pc.less(times, selection.until_ms))
        unreadable = self._catalog.unreadable(kind, ids.filter(times.is_null()).to_pylist()) if times.null_count else ()
        return pc.or_(mask, pc.is_in(ids, value_set=_texts(unreadable)))

    def _passing(self, kind: str, pieces: Iterable[pa.StringArray]) -> Iterator[pa.StringArray]:
        """Yield what a filter takes, if there is one."""
        passes = self._filters.get(kind)
        if passes is None:
            yield from pieces
            return
        for piece in pieces:
            for at in range(0, len(piece), _JUDGED_AT_ONCE):
                yield pa.array(passes(piece.slice(at, _JUDGED_AT_ONCE).to_pylist()), pa.string())

    def _with_their_runs(self, models: pa.StringArray) -> pa.StringArray:
        """Return those of some logged models that a selected run made or names, or that no run made."""
        model_ids = models.to_pylist()
        if not model_ids:
            return models
        pairs = [*self._pairs("logged_models", "source_run_id", model_ids)]
        pairs += [pair for edges in _EDGES for pair in self._pairs(edges, "run_id", model_ids)]
        run_ids = {run_id for _, run_id in pairs if run_id}
        carriers = {"", None, *_ids(self.chosen(RUN, run_ids))}
        with_runs = {model_id for model_id, run_id in pairs if run_id in carriers}
        return models.filter(pc.is_in(models, value_set=_texts(with_runs)))

    def _pairs(self, table: str, column: str, model_ids: Collection[str]) -> Iterator[tuple[str, str | None]]:
        for row in records(self._catalog, table, ("model_id", column), ("model_id", model_ids)):
            yield row["model_id"], row[column]

    def _all(self, table: Table, named: Collection[str] | None = None) -> Iterator[pa.StringArray]:
        """Yield all objects of a kind that lies in no experiment, or those that are named."""
        last = None
        for rows in self._catalog.rows(table.name, (table.key[0],)):
            ids = rows[table.key[0]].unique()
            ids = ids if named is None else ids.filter(pc.is_in(ids, value_set=_texts(named)))
            # One name in several workspaces comes once.
            yield ids.slice(1) if len(ids) and ids[0].as_py() == last else ids
            last = ids[-1].as_py() if len(ids) else last

    def _workspaces(self) -> pa.StringArray:
        """Return the workspaces of what comes; all of them where nothing is left out."""
        names = {row["name"] for row in records(self._catalog, "workspaces", ("name",))}
        if not self._selection.everything:
            used = self._values("experiments", "workspace", "experiment_id", self.carried_experiments)
            if self.dependencies is not None:
                used |= self._values("registered_models", "workspace", "name", self.dependencies.names)
            used |= self._values("evaluation_datasets", "workspace", "dataset_id", self.named_datasets or ())
            names &= used
        return _texts(names)

    def _experiments(self) -> dict[str, str]:
        selection = self._selection
        rows = records(self._catalog, "experiments", ("experiment_id", "name", "lifecycle_stage"))
        pairs = [
            (row["experiment_id"], row["name"] or "")
            for row in rows
            if selection.deleted or row["lifecycle_stage"] != _DELETED
        ]
        names = {name: f"{name!r} (id {number})" for number, name in pairs}
        self._check(EXPERIMENT, selection.unmatched_experiments(pairs), selection.experiments, names)
        return {number: name for number, name in pairs if selection.matches_experiment(number, name)}

    def _registered(self) -> frozenset[str] | None:
        selection = self._selection
        if selection.whole_registry and not selection.models:
            return None
        names = dict.fromkeys(names_in_registry(self._catalog, selection.registry))
        shown = {name: repr(name) for name in names}
        self._check(REGISTERED_MODEL, selection.unmatched_models(list(names)), selection.models, shown)
        return frozenset(name for name in names if selection.matches_model(name))

    def _versions(self) -> ChosenVersions:
        choice = self._selection.version_choice
        rows = version_rows(self._catalog, self.registered or ())
        shown = {f"{row['name']}/{row['version']}": f"{row['name']}/{row['version']}" for row in rows}
        self._check(REGISTERED_MODEL, choice.missing(rows), choice.named(), shown, noun="version")
        prompts = set(names_in_registry(self._catalog, PROMPTS)) if choice.by_stage else ()
        return choice.of(rows, prompts)

    def _dependencies(self) -> ModelDependencies:
        return self._catalog.dependencies(sorted(self.registered or ()), self.versions)

    def _datasets(self) -> frozenset[str]:
        """Return the evaluation datasets that are named and lie in a selected experiment, if any is named."""
        selection = self._selection
        rows = list(records(self._catalog, "evaluation_datasets", ("dataset_id", "name")))
        pairs = [(row["dataset_id"], row["name"] or "") for row in rows]
        if selection.experiments:
            within = self._values(_DATASET_LINKS, "dataset_id", "experiment_id", self.experiments)
            pairs = [pair for pair in pairs if pair[0] in within]
        names = {name: f"{name!r} (id {dataset_id})" for dataset_id, name in pairs}
        self._check(EVALUATION_DATASET, selection.unmatched_datasets(pairs), selection.evaluation_datasets, names)
        return frozenset(dataset_id for dataset_id, name in pairs if selection.matches_dataset(dataset_id, name))

    def _runs_by_name(self) -> set[str] | None:
        """Return the runs that are named, or that registered models which are need; None where all are meant."""
        selection, of_models = self._selection, None if self.dependencies is None else self.dependencies.runs
        if not selection.runs:
            if of_models is None:
                return None if selection.filter_string or not selection.only_named else set()
            return set(of_models)
        run_ids = set(_both(of_models, selection.runs) or ())
        present = set(_ids(self._in_reach(RUN, run_ids)))
        missing = _without(selection.runs, present)
        missing = _without(missing, self._catalog.unreadable(RUN, missing)) if missing else missing
        self._check(RUN, missing, selection.runs, self._examples(RUN) if missing else {})
        return run_ids

    def _traces_by_name(self) -> frozenset[str]:
        """Return the traces that are named, wherever they lie, if any is there."""
        missing = _without(self._selection.traces, set(_ids(self._in_reach(TRACE, self._selection.traces))))
        missing = _without(missing, self._catalog.unreadable(TRACE, missing)) if missing else missing
        self._check(TRACE, missing, self._selection.traces, self._examples(TRACE) if missing else {})
        return frozenset(self._selection.traces)

    @cached_property
    def _with_relatives(self) -> set[str]:
        """The runs that are named and that a filter takes, and those above or below them that come with them."""
        run_ids = set(_ids(self._passing(RUN, self._in_reach(RUN, self._named_runs))))
        family = set(run_ids)
        for children, is_asked in ((False, self._selection.parents), (True, self._selection.children)):
            walked, level = set(run_ids), run_ids if is_asked else set()
            while level:
                related = set(self._catalog.related(level, children=children)) - walked
                level = set(_ids(self._in_reach(RUN, related)))
                walked |= level
            family |= walked
        return family

    def _examples(self, kind: str) -> dict[str, str]:
        return {owner_id: owner_id for owner_id in islice(_ids(self._in_reach(kind, None)), _EXAMPLES)}

    def _check(
        self, kind: str, missing: Sequence[str], patterns: Sequence[str], names: Mapping[str, str], *, noun: str = ""
    ) -> None:
        """Pass over what is missing, or raise SelectionError if that is all, or a selection wants it so."""
        if missing and (self._selection.on_missing == "fail" or set(missing) >= set(patterns)):
            noun = noun or ("run in the selected experiments" if kind == RUN else kind.replace("_", " "))
            raise no_match(noun, self._catalog.place, missing, names, deleted=self._selection.deleted)
        self.missing += ((kind, name) for name in sorted(set(missing)))

    def _values(self, table: str, column: str, by: str, among: Collection[str]) -> set[str]:
        """Return the values of a column in rows whose column ``by`` is one of some ids."""
        rows = self._catalog.rows(table, (column,), (by, among)) if among else ()
        return {value for piece in rows for value in piece[column].to_pylist() if value}


def _lies_in_experiment(table: Table) -> bool:
    """Return whether each object of a kind lies in an experiment, as its identity table says."""
    return any(column.name == "experiment_id" and not column.nullable for column in table.columns)


def _both(ids: Collection[str] | None, more_ids: Collection[str] | None) -> Collection[str] | None:
    """Return what two sets of ids have in common; None is all ids."""
    if ids is None or more_ids is None:
        return more_ids if ids is None else ids
    return set(ids) & set(more_ids)


def _ids(pieces: Iterable[pa.Array]) -> Iterator[str]:
    for piece in pieces:
        yield from piece.to_pylist()


def _without(ids: Iterable[str], others: Collection[str]) -> list[str]:
    return [owner_id for owner_id in ids if owner_id not in others]


def _texts(values: Iterable[str]) -> pa.StringArray:
    return pa.array(sorted(values), pa.string())
