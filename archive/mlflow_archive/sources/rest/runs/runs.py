"""Runs of one workspace: pages of them as batches, with histories, artifacts, and what they tell of other kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final

import pyarrow as pa

from mlflow_archive.artifact_roots.declared import HISTORY_TAG, missing_declared
from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Gap, Known, gap_table
from mlflow_archive.format import gaps as gap_codes
from mlflow_archive.format.fingerprint import Fingerprint, run_fingerprint
from mlflow_archive.http.refusals import check_answered
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.selecting.catalog import PARENT_TAG
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.reading.fields import Fields, refuse
from mlflow_archive.sources.rest.artifacts import Owner
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW, Json, table_of, unexpected_shape
from mlflow_archive.sources.rest.lookups import fetch_run, model_ids_of, run_id_of
from mlflow_archive.sources.rest.paging import search
from mlflow_archive.sources.rest.runs.histories import Histories, HistoryPart, expected_points
from mlflow_archive.sources.rest.runs.paging import PAGE_RUNS, RunPage, RunPager
from mlflow_archive.sources.rest.runs.records import RestRun, model_edges, parse_run
from mlflow_archive.sources.rest.scope import Scope, gap_of

_GROUP: Final = 50
_SHARD_POINTS: Final = 100_000


@dataclass(slots=True)
class _Entry:
    """A run on its way: its record, its selected files, its gaps, tables beside the record's, its fingerprint."""

    record: RestRun
    files: list[ArtifactFile] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    more_tables: dict[str, pa.Table] = field(default_factory=dict)
    fingerprint: Fingerprint = field(default_factory=lambda: Fingerprint(""))


def fits_filter(scope: Scope, run: Json) -> bool:
    """Return whether the selection's filter takes a run. Raises ServerError."""
    conditions = f"attributes.run_id = '{run_id_of(run)}' AND {scope.selection.filter_string}"
    body = {"experiment_ids": [str(run["info"].get("experiment_id"))], "filter": conditions, "run_view_type": "ALL"}
    return bool(search(scope, "runs", {**body, "max_results": 1})[0])


def check_run_filter(scope: Scope) -> None:
    """Raise SelectionError if the server does not understand the filter for runs."""
    try:
        for ids in _id_groups(scope)[:1]:
            RunPager(scope, scope.selection, ids).check()
    except ServerError as exc:
        if exc.status != 400:
            return  # what it cannot answer comes up page by page
        message = f"the server does not understand the filter {scope.selection.filter_string!r}: {exc}"
        raise SelectionError(message) from exc


def _id_groups(scope: Scope) -> list[list[str]]:
    ids = scope.experiment_ids
    return [ids[n : n + _GROUP] for n in range(0, len(ids), _GROUP)]


def all_pages(scope: Scope, selection: Selection | None = None) -> Iterator[RunPage]:
    """Yield all runs of a selection, by default the scope's, that lie in its experiments.

    They come from some experiments at a time, or from one at a time where the server searches in one only.
    """
    selection = selection or scope.selection
    for group in _id_groups(scope):
        for ids in [[experiment_id] for experiment_id in group] if scope.searches_in_one else [group]:
            pager = RunPager(scope, selection, ids)
            yield from pager.pages()
            yield from _unanswered_pages(scope, selection, pager, ids)


def children_pages(scope: Scope, run_id: str) -> Iterator[RunPage]:
    """Yield the runs in a scope's experiments of which a run is the parent, whatever else is selected."""
    mark = '"' if "'" in run_id else "'"
    yield from all_pages(scope, Selection(filter_string=f"tags.`{PARENT_TAG}` = {mark}{run_id}{mark}"))


def _unanswered_pages(scope: Scope, selection: Selection, pager: RunPager, ids: Sequence[str]) -> Iterator[RunPage]:
    """Yield the runs of experiments that a search in several does not answer for, if the server has any."""
    if pager.answered_for_several():
        scope.searches_in_one = False
    if len(ids) == 1 or scope.searches_in_one is False:
        return
    for experiment_id in pager.unanswered():
        if scope.searches_in_one or pager.holds_run(experiment_id):
            scope.searches_in_one = True
            yield from RunPager(scope, selection, [experiment_id]).pages()


class RunReader:
    """Plans and reads the runs of one workspace; used by several threads.

    ``look_for_traces`` looks for the traces of runs, given their ids, puts them into the scope's findings and returns
    gaps for what it could not ask.
    """

    def __init__(self, scope: Scope, look_for_traces: Callable[[Sequence[str]], list[Gap]]) -> None:
        self._scope = scope
        self._histories = Histories(scope)
        self._look_for_traces = look_for_traces

    def pages(self) -> Iterator[RunPage]:
        """Yield the selected runs in parts of about the same work."""
        named = self._scope.named_runs
        if named is not None:
            pages = iter([RunPage(runs=named[n : n + PAGE_RUNS]) for n in range(0, len(named), PAGE_RUNS)])
            pages = chain(pages, [RunPage(runs=[], gaps=self._scope.run_gaps)])
        else:
            pages = all_pages(self._scope)
        for page in pages:
            if self._scope.models_need_runs or self._scope.only_named:
                self._scope.findings.run_ids.update(run_id_of(run) for run in page.runs)
            yield from _parts(page)

    def read(self, page: RunPage, known: Known) -> Iterator[Chunk]:
        """Yield the chunks of a part."""
        gaps = self._look_for_traces([run_id_of(run) for run in page.runs])
        entries: dict[str, _Entry] = {}
        if self._scope.selection.wants_kind(RUN):
            entries, unreadable = self._entries(page, known)
            gaps += unreadable
        elif self._scope.selection.wants_kind(LOGGED_MODEL) and not self._scope.only_named:
            self._add_models_of(page.runs)
        if gaps:
            yield Chunk(tables={"gaps": gap_table(gaps)})
        for part in self._histories.read([entry.record for entry in entries.values()]):
            yield _chunk(part, entries)
            for record in part.complete:
                self._scope.unknown.add(RUN, record.run_id, self._histories.take_unread(record.run_id))

    def _entries(self, page: RunPage, known: Known) -> tuple[dict[str, _Entry], list[Gap]]:
        """Return what is new among the runs of a page, by id, and the gaps of what could not even be listed."""
        entries: dict[str, _Entry] = {}
        gaps = list(page.gaps)
        for raw in page.runs:
            record = self._scope.read(RUN, run_id_of(raw), raw, parse_run, gaps)
            if record is None:
                continue
            self._add_to_findings(record.tables.get("model_outputs"))
            entry = self._entry(record)
            if not entry.gaps and entry.fingerprint.agrees_with(known(RUN, record.run_id)):
                self._scope.progress.advance("skipped", 1)
                continue
            self._add_models(entry, raw)
            entries[record.run_id] = entry
        return entries, gaps

    def _entry(self, record: RestRun) -> _Entry:
        entry = _Entry(record)
        selection = self._scope.selection
        if selection.artifacts and record.info["artifact_uri"]:
            listing = self._scope.artifacts.of(run_owner(record))
            entry.gaps = listing.gaps
            if not any(gap.code == gap_codes.ARTIFACT_LISTING for gap in listing.gaps):
                paths = [file.path for file in listing.files]
                entry.gaps += missing_declared(RUN, record.run_id, record.tags.get(HISTORY_TAG), paths)
            entry.files = listing.selected(selection)
        latest = ((key, point.step, point.time_ms, point.value) for key, point in record.latest.items())
        entry.fingerprint = run_fingerprint(record.info, record.params, record.tags, latest, entry.files)
        return entry

    def _add_models(self, entry: _Entry, raw: Json) -> None:
        """Add which logged models a run took and gave: searches show no inputs, older ones no outputs either."""
        record = entry.record
        if not (self._scope.has_logged_models or "model_outputs" in record.tables):
            return
        try:
            whole = Fields(_whole(self._scope, raw), refuse)
            for side in ("inputs", "outputs"):
                name, part = f"model_{side}", whole.object(side)
                edges = model_edges(record.run_id, part, name)
                if edges and name not in record.tables:
                    entry.more_tables[name] = table_of(name, edges)
                    self._add_to_findings(entry.more_tables[name])
                    unread = (field for field in part.unread() if field.startswith(f"{side}/{name}/"))
                    self._scope.unknown.add(RUN, record.run_id, unread)
        except ServerError as exc:
            check_answered(exc)
            entry.gaps.append(gap_of(RUN, record.run_id, "models", str(exc), code=gap_codes.FIELD_UNREADABLE))
        except UNREADABLE_ROW as exc:
            reason = unexpected_shape(exc)
            entry.gaps.append(gap_of(RUN, record.run_id, "models", reason, code=gap_codes.FIELD_UNREADABLE))

    def _add_models_of(self, runs: Sequence[Json]) -> None:
        """Put the logged models of runs that are not carried themselves into the findings.

        Where they only lead to deleted ones, which no list shows, what a search tells of runs must do.
        """
        for raw in runs:
            whole = _whole(self._scope, raw) if self._scope.models_need_runs else raw
            self._scope.findings.add_models(model_ids_of(whole))

    def _add_to_findings(self, edges: pa.Table | None) -> None:
        if edges is not None:
            self._scope.findings.add_models(edges["model_id"].to_pylist())


def _whole(scope: Scope, raw: Json) -> Json:
    """Return a run with its model inputs, which a search leaves out."""
    return raw if "model_inputs" in raw.get("inputs", {}) else fetch_run(scope, run_id_of(raw))


def run_owner(record: RestRun) -> Owner:
    """Return a run as an owner of artifacts."""
    return Owner(
        kind=RUN,
        id=record.run_id,
        uri=record.info["artifact_uri"],
        list_folder=partial(_list_folder, record.run_id),
        get_file=lambda path: ("/get-artifact", {"run_uuid": record.run_id, "path": path}),
    )


def _list_folder(run_id: str, folder: str) -> tuple[str, dict[str, str]]:
    return "/api/2.0/mlflow/artifacts/list", {"run_id": run_id, **({"path": folder} if folder else {})}


def _parts(page: RunPage) -> Iterator[RunPage]:
    """Cut a page where its runs have many points, so that several threads share the work."""
    runs: list[Json] = []
    expected, gaps = 0, page.gaps
    for raw in page.runs:
        expected += _expected(raw)
        runs.append(raw)
        if expected >= _SHARD_POINTS:
            yield RunPage(runs=runs, gaps=gaps)
            runs, expected, gaps = [], 0, []
    if runs or gaps:
        yield RunPage(runs=runs, gaps=gaps)


def _expected(raw: Json) -> int:
    try:
        metrics = raw.get("data", {}).get("metrics", [])
        return expected_points(int(metric.get("step", 0)) for metric in metrics)
    except UNREADABLE_ROW:
        return 0  # it becomes a gap when its rows are built


def _chunk(part: HistoryPart, entries: dict[str, _Entry]) -> Chunk:
    """Put together all tables of the runs that end in this part, and its points."""
    tables: dict[str, list[pa.Table]] = {"metrics": [part.points]}
    without_history = {gap.owner_id for gap in part.gaps}
    files: list[ArtifactFile] = []
    gaps = list(part.gaps)
    prints = []
    for record in part.complete:
        entry = entries[record.run_id]
        for name, table in (*record.tables.items(), *entry.more_tables.items()):
            tables.setdefault(name, []).append(table)
        files += entry.files
        gaps += entry.gaps
        if not entry.gaps and record.run_id not in without_history:
            prints.append(entry.fingerprint.row(RUN, record.run_id))
    tables |= {"fingerprints": [table_of("fingerprints", prints)], "gaps": [gap_table(gaps)]}
    merged = {name: pa.concat_tables(parts) for name, parts in tables.items()}
    with_rows = {name: table for name, table in merged.items() if table.num_rows}
    return Chunk(tables=with_rows, artifacts=files, complete=bool(part.complete))
