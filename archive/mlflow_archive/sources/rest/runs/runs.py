"""Runs of one workspace: pages of them as batches, with histories, artifacts, and links to models and traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import pyarrow as pa

from mlflow_archive.artifact_roots.declared import HISTORY_TAG, missing_declared
from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Gap, Known
from mlflow_archive.format import gaps
from mlflow_archive.format.fingerprint import run_fingerprint
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.sources.rest.artifacts import Owner
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW, Json, gap_table, table_of
from mlflow_archive.sources.rest.paging import PAGE_RUNS, RunPage, RunPager, run_id_of, start_time_of
from mlflow_archive.sources.rest.runs.histories import Histories, HistoryPart, expected_points
from mlflow_archive.sources.rest.runs.records import RunRecord, model_edges, parse_run, run_gap
from mlflow_archive.sources.rest.scope import Scope
from mlflow_archive.sources.rest.traces.trace_links import TraceLinks

_GROUP: Final = 50
_SHARD_POINTS: Final = 100_000
_GET: Final = "/api/2.0/mlflow/runs/get"


@dataclass(slots=True)
class _Entry:
    """A run on its way: its record, its selected files, its gaps, what came after its record, its fingerprint."""

    record: RunRecord
    files: list[ArtifactFile] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    more: dict[str, pa.Table] = field(default_factory=dict)
    fingerprint: str = ""


class Runs:
    """The runs of one workspace."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._session = scope.session
        self._histories = Histories(scope.session)
        self._links = TraceLinks(scope)

    def pagers(self) -> list[RunPager]:
        """Return what pages through all selected runs."""
        ids = self._scope.experiment_ids
        return [RunPager(self._session, self._scope.selection, ids[n : n + _GROUP]) for n in range(0, len(ids), _GROUP)]

    def parts(self, named: Sequence[Json] | None) -> Iterator[RunPage]:
        """Yield the selected runs in parts of about the same work; ``named`` are those selected by id."""
        if named is not None:
            pages = iter([RunPage(runs=list(named[n : n + PAGE_RUNS])) for n in range(0, len(named), PAGE_RUNS)])
        else:
            pages = (page for pager in self.pagers() for page in pager.pages())
        for page in pages:
            if self._scope.only_of_runs:
                self._scope.chosen_runs.update(run_id_of(run) for run in page.runs)
            yield from _parts(page)

    def named(self, run_ids: Sequence[str]) -> list[Json]:
        """Return those of some runs that lie in what else is selected."""
        scope = self._scope
        ids = set(scope.experiment_ids)
        runs: list[Json] = []
        for run_id in dict.fromkeys(run_ids):
            try:
                run = fetch_run(self._session, run_id)
            except ServerError as exc:
                if exc.status not in (400, 404) or exc.error_code is None:
                    raise
                continue
            hidden = not scope.selection.deleted and run["info"].get("lifecycle_stage") == "deleted"
            in_reach = str(run["info"].get("experiment_id")) in ids and scope.selection.in_window(start_time_of(run))
            if in_reach and not hidden:
                runs.append(run)
        return runs

    def read(self, page: RunPage, known: Known) -> Iterator[Chunk]:
        """Yield the chunks of a part."""
        lost = self._links.look_for([run_id_of(run) for run in page.runs])
        entries: dict[str, _Entry] = {}
        if self._scope.selection.wants_kind(RUN):
            entries, unreadable = self._entries(page, known)
            lost += unreadable
        elif self._scope.only_of_runs and self._scope.selection.wants_kind(LOGGED_MODEL):
            self._refer_to_models(page.runs)
        if lost:
            yield Chunk(tables={"gaps": gap_table(lost)})
        for part in self._histories.read([entry.record for entry in entries.values()]):
            yield _chunk(part, entries)

    def _entries(self, page: RunPage, known: Known) -> tuple[dict[str, _Entry], list[Gap]]:
        """Return what is new among the runs of a page, by id, and the gaps of what could not even be listed."""
        entries: dict[str, _Entry] = {}
        lost = list(page.gaps)
        for raw in page.runs:
            try:
                record = parse_run(raw)
            except UNREADABLE_ROW as exc:
                reason = f"the server describes it in an unexpected shape: {exc!r}"
                lost.append(run_gap(run_id_of(raw), "", gaps.RUN_UNREADABLE, reason))
                continue
            self._refer(record.tables.get("model_outputs"))
            entry = self._entry(record)
            if not entry.gaps and known(RUN, record.run_id) == entry.fingerprint:
                self._scope.progress.advance("skipped", 1)
                continue
            self._add_models(entry, raw)
            entries[record.run_id] = entry
        return entries, lost

    def _entry(self, record: RunRecord) -> _Entry:
        entry = _Entry(record)
        selection = self._scope.selection
        if selection.artifacts and record.info["artifact_uri"]:
            listing = self._scope.artifacts.of(run_owner(record))
            entry.gaps = listing.gaps
            if not any(gap.code == gaps.ARTIFACT_LISTING for gap in listing.gaps):
                paths = [file.path for file in listing.files]
                entry.gaps += missing_declared(RUN, record.run_id, record.tags.get(HISTORY_TAG), paths)
            entry.files = [file for file in listing.files if selection.wants_artifact(file.path, file.size)]
        latest = ((key, point.step, point.time_ms, point.value) for key, point in record.latest.items())
        files = ((file.path, file.size) for file in entry.files)
        entry.fingerprint = run_fingerprint(record.info, record.params, record.tags, latest, files)
        return entry

    def _add_models(self, entry: _Entry, raw: Json) -> None:
        """Add which logged models a run took and gave: searches show no inputs, older ones no outputs either."""
        record = entry.record
        if not (self._scope.has_logged_models or "model_outputs" in record.tables):
            return
        try:
            whole = raw if "model_inputs" in raw.get("inputs", {}) else fetch_run(self._session, record.run_id)
            for side in ("inputs", "outputs"):
                name = f"model_{side}"
                edges = model_edges(record.run_id, whole.get(side, {}).get(name, []))
                if edges and name not in record.tables:
                    entry.more[name] = table_of(name, edges)
                    self._refer(entry.more[name])
        except ServerError as exc:
            if exc.status is None:
                raise
            entry.gaps.append(run_gap(record.run_id, "models", gaps.FIELD_UNREADABLE, str(exc)))
        except UNREADABLE_ROW as exc:
            reason = f"the server describes them in an unexpected shape: {exc!r}"
            entry.gaps.append(run_gap(record.run_id, "models", gaps.FIELD_UNREADABLE, reason))

    def _refer_to_models(self, runs: Sequence[Json]) -> None:
        """Remember the logged models of runs that are not carried themselves."""
        for raw in runs:
            whole = raw if "model_inputs" in raw.get("inputs", {}) else fetch_run(self._session, run_id_of(raw))
            for side in ("inputs", "outputs"):
                self._scope.refer([str(each.get("model_id")) for each in whole.get(side, {}).get(f"model_{side}", [])])

    def _refer(self, edges: pa.Table | None) -> None:
        if edges is not None:
            self._scope.refer(edges["model_id"].to_pylist())


def run_owner(record: RunRecord) -> Owner:
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


def fetch_run(session: TrackingSession, run_id: str) -> Json:
    """Return a run as the server's JSON; raise ServerError."""
    answer = session.get(_GET, {"run_id": run_id})
    run = answer.get("run") if isinstance(answer, dict) else None
    if not isinstance(run, dict) or not isinstance(run.get("info"), dict):
        raise ServerError(f"{session.uri} answers in an unexpected shape when asked for run {run_id!r}")
    return run


def check_filter(pager: RunPager, filter_string: str) -> None:
    """Raise SelectionError if the server does not understand a filter."""
    try:
        pager.check()
    except ServerError as exc:
        if exc.status != 400:
            return  # what it cannot answer comes up page by page
        raise SelectionError(f"the server does not understand the filter {filter_string!r}: {exc}") from exc


def _parts(page: RunPage) -> Iterator[RunPage]:
    """Cut a page where its runs have many points, so that several threads share the work."""
    runs: list[Json] = []
    expected, lost = 0, page.gaps
    for raw in page.runs:
        expected += _expected(raw)
        runs.append(raw)
        if expected >= _SHARD_POINTS:
            yield RunPage(runs=runs, gaps=lost)
            runs, expected, lost = [], 0, []
    if runs or lost:
        yield RunPage(runs=runs, gaps=lost)


def _expected(raw: Json) -> int:
    try:
        metrics = raw.get("data", {}).get("metrics", [])
        return expected_points(int(metric.get("step", 0)) for metric in metrics)
    except UNREADABLE_ROW:
        return 0  # it becomes a gap when its rows are built


def _chunk(part: HistoryPart, entries: dict[str, _Entry]) -> Chunk:
    """Put together all tables of the runs that end in this part, and its points."""
    tables: dict[str, list[pa.Table]] = {"metrics": [part.points]}
    lost = {gap.owner_id for gap in part.gaps}
    files: list[ArtifactFile] = []
    all_gaps = list(part.gaps)
    prints = []
    for record in part.complete:
        entry = entries[record.run_id]
        for name, table in (*record.tables.items(), *entry.more.items()):
            tables.setdefault(name, []).append(table)
        files += entry.files
        all_gaps += entry.gaps
        if not entry.gaps and record.run_id not in lost:
            prints.append({"owner_id": record.run_id, "owner_kind": RUN, "fingerprint": entry.fingerprint})
    if prints:
        tables["fingerprints"] = [table_of("fingerprints", prints)]
    if all_gaps:
        tables["gaps"] = [gap_table(all_gaps)]
    merged = {name: pa.concat_tables(found) for name, found in tables.items()}
    kept = {name: table for name, table in merged.items() if table.num_rows}
    return Chunk(tables=kept, artifacts=files, complete=bool(part.complete))
