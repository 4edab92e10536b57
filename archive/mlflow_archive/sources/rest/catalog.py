"""The Catalog of a server: what a selection needs to know before anything is read, asked for once.

Where a selection names runs or models, that is which runs these are, and where their logged models and traces lie; else
the experiments only, and pages of the other kinds are read as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.errors import ServerError
from mlflow_archive.http.refusals import check_answered
from mlflow_archive.kinds import EVALUATION_DATASET, LOGGED_MODEL, RUN, TRACE
from mlflow_archive.selecting.catalog import PARENT_TAG, Where, rows_from
from mlflow_archive.selecting.chosen_versions import ChosenVersions
from mlflow_archive.selecting.model_versions import ModelDependencies
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.selecting.selector import Selector
from mlflow_archive.sources.reading.fields import Fields, refuse
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW, Json
from mlflow_archive.sources.rest.logged_models import listed_models
from mlflow_archive.sources.rest.lookups import fetch_model, fetch_run, model_ids_of, run_id_of, start_time_of, tag_of
from mlflow_archive.sources.rest.objects.evaluation import dataset_pages, experiments_of_dataset
from mlflow_archive.sources.rest.registry.registry import dependencies_of_models, models_by_name, stages_of_versions
from mlflow_archive.sources.rest.runs.paging import RunPage
from mlflow_archive.sources.rest.runs.runs import all_pages, check_run_filter, children_pages, fits_filter
from mlflow_archive.sources.rest.scope import Scope
from mlflow_archive.sources.rest.traces.trace_records import parse_trace
from mlflow_archive.sources.rest.traces.traces import TraceSearch, check_trace_filter

Record = Mapping[str, Any]

_NOT_FOUND: Final = (400, 404)


class ServerCatalog:
    """The Catalog of the workspaces of a server.

    Scopes know their experiments from the start; those in which objects are looked for are set while it is used.
    """

    def __init__(self, scopes: Sequence[Scope]) -> None:
        self._scopes = scopes
        self.place: object = scopes[0].session.uri
        self._places: dict[tuple[str, str], Scope] = {}
        self._named_runs: dict[str, Json | None] = {}
        self._models: dict[str, Record | None] = {}
        self._traces: dict[str, Record] = {}

    def rows(self, table: str, columns: Sequence[str], where: Where | None = None) -> Iterator[pa.Table]:
        if table == "runs" and where is None:
            for records in self._pages_of_runs():
                yield rows_from(table, records, columns)
        else:
            yield rows_from(table, list(self._records(table, where)), columns, where)

    def dependencies(self, names: Sequence[str], versions: ChosenVersions) -> ModelDependencies:
        """Return what versions of registered models stand on, and leave with each scope what lies in it."""
        for scope, models in zip(self._scopes, self._registered, strict=True):
            own = {name: raw for name, raw in models.items() if name in names}
            scope.dependencies = dependencies_of_models(scope, own, versions)
        parts = [scope.dependencies for scope in self._scopes if scope.dependencies is not None]
        return ModelDependencies(
            names=tuple(names),
            runs=frozenset().union(*(part.runs for part in parts)),
            logged_models=frozenset().union(*(part.logged_models for part in parts)),
            experiments=frozenset().union(*(part.experiments for part in parts)),
        )

    def related(self, runs: Collection[str], *, children: bool) -> Collection[str]:
        """Return the parents of some runs, or their children: one search for each run whose children are asked for."""
        if not children:
            tags = (tag_of(run, PARENT_TAG) for run in map(self.named_run, sorted(runs)) if run is not None)
            return {parent for parent in tags if parent}
        found: set[str] = set()
        for run_id in sorted(runs):
            scope = self._places[RUN, run_id]  # of which its children are, too
            for page in children_pages(scope, run_id):
                self._note_gaps(scope, page)
                found.update(map(run_id_of, page.runs))
        return found

    def unreadable(self, kind: str, ids: Collection[str]) -> Collection[str]:
        return ()

    def in_scope(self, scope: Scope, kind: str, ids: Iterable[str]) -> list[str]:
        """Return those of some objects that may lie in a scope: they were not found in another."""
        return sorted(owner_id for owner_id in ids if self._places.get((kind, owner_id), scope) is scope)

    def named_run(self, run_id: str) -> Json | None:
        """Return a run that is asked for by id, None where no workspace has it."""
        if run_id not in self._named_runs:
            self._named_runs[run_id] = next((run for scope in self._scopes if (run := self._run(scope, run_id))), None)
        return self._named_runs[run_id]

    def fits_filter(self, run_ids: Sequence[str]) -> list[str]:
        """Return those of some runs that the selection's filter takes; of pages that the server has filtered, all."""
        return [
            run_id
            for run_id in run_ids
            if (run := self._named_runs.get(run_id)) is None or fits_filter(self._places[RUN, run_id], run)
        ]

    def _records(self, table: str, where: Where | None) -> Iterable[Record]:
        by, ids = where if where is not None else ("", ())
        if table == "logged_models" and by == "source_run_id":
            return self._listed_models()
        by_table: Mapping[str, Callable[[Collection[str]], Iterable[Record]]] = {
            "experiments": lambda _: (raw for scope in self._scopes for raw in scope.all_experiments),
            "registered_models": lambda _: self._models_in_registry(),
            "registered_model_tags": lambda _: self._tags_in_registry(),
            "model_versions": self._versions_of,
            "evaluation_datasets": lambda _: self._datasets.values(),
            "evaluation_dataset_experiments": self._experiments_of_datasets,
            "runs": lambda ids: (_run_record(run) for run in map(self.named_run, ids) if run is not None),
            "logged_models": lambda ids: filter(None, map(self._model, ids)),
            # Outputs are among them: one answer shows both.
            "model_inputs": lambda ids: (
                {"run_id": run_id, "model_id": i} for run_id in ids for i in self._models_of(run_id)
            ),
            # The traces that were made in a run, too.
            "trace_links": lambda ids: (
                {"destination_id": run_id, "trace_id": i} for run_id in ids for i in self._traces_of(run_id)
            ),
            "traces": lambda _: self._traces.values(),
        }
        return by_table[table](ids) if table in by_table else ()

    def _models_in_registry(self) -> Iterator[Record]:
        for scope, models in zip(self._scopes, self._registered, strict=True):
            yield from ({"name": name, "workspace": scope.workspace} for name in models)

    def _tags_in_registry(self) -> Iterator[Record]:
        for scope, models in zip(self._scopes, self._registered, strict=True):
            for name, raw in models.items():
                tags = (tag for tag in raw.get("tags", []) if isinstance(tag, Mapping))
                yield from ({**tag, "name": name, "workspace": scope.workspace} for tag in tags)

    def _versions_of(self, names: Collection[str]) -> Iterator[Record]:
        for scope, models in zip(self._scopes, self._registered, strict=True):
            for name in sorted(models.keys() & names):
                yield from stages_of_versions(scope, name)

    @cached_property
    def _datasets(self) -> dict[str, Record]:
        """The evaluation datasets of all workspaces by id."""
        rows = ((scope, row) for scope in self._scopes for page in dataset_pages(scope) for row in page.rows)
        datasets = dict[str, Record]()
        for scope, row in rows:
            dataset_id = str(row.get("dataset_id"))
            self._places[EVALUATION_DATASET, dataset_id] = scope
            datasets[dataset_id] = {"dataset_id": dataset_id, "name": row.get("name")}
        return datasets

    def _experiments_of_datasets(self, ids: Collection[str]) -> Iterator[Record]:
        """Yield the links of all evaluation datasets; of those that are named, where ``ids`` are among them."""
        named = [dataset_id for dataset_id in ids if dataset_id in self._datasets]
        for dataset_id in named or self._datasets:
            try:
                experiment_ids = experiments_of_dataset(self._places[EVALUATION_DATASET, dataset_id], dataset_id)
            except ServerError as exc:
                check_answered(exc)
                continue  # reported when the dataset is read
            except UNREADABLE_ROW:
                continue
            yield from ({"dataset_id": dataset_id, "experiment_id": i} for i in experiment_ids)

    @cached_property
    def _registered(self) -> list[dict[str, Json]]:
        return [models_by_name(scope) for scope in self._scopes]

    def _pages_of_runs(self) -> Iterator[list[Record]]:
        for scope in self._scopes:
            for page in all_pages(scope):
                self._note_gaps(scope, page)
                self._places.update(((RUN, run_id_of(run)), scope) for run in page.runs)
                yield [_run_record(run) for run in page.runs]

    def _note_gaps(self, scope: Scope, page: RunPage) -> None:
        """Keep what a page lacks: where runs come by their ids, nobody asks for it again."""
        scope.run_gaps = [*dict.fromkeys([*scope.run_gaps, *page.gaps])]

    def _run(self, scope: Scope, run_id: str) -> Json | None:
        try:
            run = fetch_run(scope, run_id)
        except ServerError as exc:
            if exc.status not in _NOT_FOUND or exc.error_code is None:
                raise
            return None
        self._places[RUN, run_id] = scope
        return run

    def _listed_models(self) -> Iterator[Record]:
        for scope in self._scopes:
            for raw in listed_models(scope):
                record = self._add_model(scope, raw, deleted=False)
                if record is not None:
                    yield record

    def _model(self, model_id: str) -> Record | None:
        for scope in self._scopes if model_id not in self._models else ():
            try:
                raw, deleted = fetch_model(scope, model_id)
            except ServerError as exc:
                check_answered(exc)
                continue  # whoever reads it says why it cannot be had
            self._add_model(scope, raw, deleted=deleted)
            break
        return self._models.setdefault(model_id, None)

    def _add_model(self, scope: Scope, raw: Json, *, deleted: bool) -> Record | None:
        info = raw.get("info")
        if not isinstance(info, Mapping) or not info.get("model_id"):
            return None
        stage = "deleted" if deleted else "active"
        record = {name: info.get(name) for name in ("model_id", "experiment_id", "source_run_id")}
        self._places[LOGGED_MODEL, str(info["model_id"])] = scope
        self._models[str(info["model_id"])] = {**record, "lifecycle_stage": stage}
        return self._models[str(info["model_id"])]

    def _models_of(self, run_id: str) -> list[str]:
        scope = self._places.get((RUN, run_id))
        if scope is None or not scope.has_logged_models:
            return []
        return model_ids_of(self._named_runs.get(run_id) or fetch_run(scope, run_id))

    def _traces_of(self, run_id: str) -> Iterator[str]:
        search = self._searches.get(self._places[RUN, run_id].workspace) if (RUN, run_id) in self._places else None
        for page in search.of_run(run_id) if search is not None else ():
            for raw in page.rows:
                try:
                    info = parse_trace(Fields(raw, refuse)).info
                except UNREADABLE_ROW:
                    continue  # reported when it is read
                self._traces[info["trace_id"]] = info
                yield info["trace_id"]

    @cached_property
    def _searches(self) -> dict[str, TraceSearch]:
        """How each workspace is asked for traces, of those that have any."""
        searches = {scope.workspace: TraceSearch.of(scope) for scope in self._scopes}
        return {name: search for name, search in searches.items() if search is not None and search.shows_any()}


def select(scopes: Sequence[Scope], selection: Selection) -> Selector:
    """Select, and leave with each scope what is selected of it. Raises SelectionError."""
    catalog = ServerCatalog(scopes)
    selector = _selector(catalog, selection)
    for scope in scopes:
        scope.selector = selector
        scope.experiments = [raw for raw in scope.all_experiments if str(raw["experiment_id"]) in selector.experiments]
    if selection.filter_string:
        check_run_filter(scopes[0])
    for scope in scopes if selection.wants_kind(TRACE) else ():
        check_trace_filter(scope)
    for scope in scopes:
        _leave(scope, catalog, selector, selection)
    return selector


def select_again(scopes: Sequence[Scope], selection: Selection) -> None:
    """Have scopes ask the server what is selected, where reading needs to know it, by what they know of experiments."""
    select_once = cache(lambda: _selector(ServerCatalog(scopes), selection))
    for scope in scopes:
        scope.select = select_once


def _selector(catalog: ServerCatalog, selection: Selection) -> Selector:
    return Selector(catalog, selection, {RUN: catalog.fits_filter} if selection.filter_string else None)


def _run_record(run: Json) -> Record:
    info = run["info"]
    ids = {"run_id": run_id_of(run), "experiment_id": info.get("experiment_id")}
    return {**ids, "lifecycle_stage": info.get("lifecycle_stage"), "start_time": start_time_of(run)}


def _leave(scope: Scope, catalog: ServerCatalog, selector: Selector, selection: Selection) -> None:
    """Leave with a scope what is selected of it."""
    carried_ids = set(selector.carried_experiments)
    scope.carried_experiments = [raw for raw in scope.experiments if str(raw["experiment_id"]) in carried_ids]
    if selector.named_datasets is not None:
        scope.dataset_ids = catalog.in_scope(scope, EVALUATION_DATASET, selector.named_datasets)
    if selection.names_runs:
        run_ids = catalog.in_scope(scope, RUN, selector.runs)
        scope.named_runs = list(filter(None, map(catalog.named_run, run_ids)))
    if scope.dependencies is not None:
        scope.model_ids = sorted(scope.dependencies.logged_models)
    elif selection.only_named and selection.wants_kind(LOGGED_MODEL):
        scope.model_ids = catalog.in_scope(scope, LOGGED_MODEL, selector.linked(LOGGED_MODEL))
