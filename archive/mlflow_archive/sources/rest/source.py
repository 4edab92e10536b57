"""The REST source: experiments, runs, histories and artifacts of a tracking server as shards and chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.format import gaps
from mlflow_archive.format.fingerprint import run_fingerprint
from mlflow_archive.format.tables import RUN
from mlflow_archive.pipeline import (
    ArtifactFile,
    Chunk,
    Gap,
    Known,
    Progress,
    Quiet,
    Selection,
    Shard,
    SourceFacts,
)
from mlflow_archive.sources.rest.artifacts import Artifacts
from mlflow_archive.sources.rest.histories import Histories, HistoryPart, expected_points
from mlflow_archive.sources.rest.paging import (
    PAGE_RUNS,
    Json,
    RunPage,
    RunPager,
    all_experiments,
    run_id_of,
    start_time_of,
)
from mlflow_archive.sources.rest.records import (
    UNREADABLE_ROW,
    RunRecord,
    experiment_tables,
    gap_table,
    parse_run,
    run_gap,
    table_of,
)
from mlflow_archive.tracking.server import probe
from mlflow_archive.tracking.session import TrackingSession

_GROUP = 50
_SHARD_POINTS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Experiments:
    """Payload of the first shards: experiments as the server's JSON."""

    experiments: Sequence[Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """Payload of the other shards: runs as the server's JSON."""

    page: RunPage
    selection: Selection


@dataclass(slots=True)
class _Entry:
    """A run on its way: its record, its selected files, its gaps and its fingerprint."""

    record: RunRecord
    files: list[ArtifactFile] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    fingerprint: str = ""


class RestSource:
    """A tracking server as a :class:`mlflow_archive.pipeline.Source`; owns the session and closes it.

    ``artifact_map`` holds (from, to) prefixes of artifact URIs, for artifacts that lie elsewhere now. Large files
    are held in ``folder`` while they are on their way, by default where temporary files go.
    """

    def __init__(
        self,
        session: TrackingSession,
        *,
        artifact_map: Sequence[tuple[str, str]] = (),
        progress: Progress | None = None,
        folder: Path | None = None,
    ) -> None:
        self._session = session
        self._progress: Progress = progress or Quiet()
        self._histories = Histories(session)
        self._artifacts = Artifacts(session, artifact_map, folder)

    def facts(self) -> SourceFacts:
        """Say which server this is; raise ServerError where it is none or refuses us."""
        return SourceFacts(kind="rest", uri=self._session.uri, mlflow_version=probe(self._session))

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        """Yield a shard of experiments, then one for each page of runs, read as the plan goes on."""
        experiments = self._experiments(selection)
        named = self._named_runs(selection, experiments) if selection.runs else None
        if named is not None and not selection.experiments:
            used = {str(run["info"].get("experiment_id")) for run in named}
            experiments = [raw for raw in experiments if str(raw["experiment_id"]) in used]
        ids = [str(raw["experiment_id"]) for raw in experiments]
        pagers = [RunPager(self._session, selection, ids[n : n + _GROUP]) for n in range(0, len(ids), _GROUP)]
        if selection.filter_string and pagers:
            _check_filter(pagers[0], selection.filter_string)
        for number in range(0, len(experiments), 1000):
            some = _Experiments(experiments=experiments[number : number + 1000])
            yield Shard(name=f"experiments-{number // 1000:05d}", payload=some)
        if named is not None:
            pages = iter([RunPage(runs=named[n : n + PAGE_RUNS]) for n in range(0, len(named), PAGE_RUNS)])
        else:
            pages = (page for pager in pagers for page in pager.pages())
        for number, part in enumerate(part for page in pages for part in _parts(page)):
            progress.expect("runs", len(part.runs))
            yield Shard(name=f"runs-{number:05d}", weight=len(part.runs), payload=_Runs(page=part, selection=selection))

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        """Yield the chunks of a shard of this source's own plan."""
        payload = shard.payload
        if isinstance(payload, _Experiments):
            yield Chunk(tables=experiment_tables(payload.experiments))
        elif isinstance(payload, _Runs):
            entries, lost = self._entries(payload, known)
            if lost:
                yield Chunk(tables={"gaps": gap_table(lost)})
            for part in self._histories.read([entry.record for entry in entries.values()]):
                yield _chunk(part, entries)
        else:
            message = f"shard {shard.name} is of another source"
            raise TypeError(message)

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def _experiments(self, selection: Selection) -> list[Json]:
        found = list(all_experiments(self._session, deleted=selection.deleted))
        names = [(str(raw["experiment_id"]), str(raw.get("name", ""))) for raw in found]
        if unmatched := selection.unmatched_experiments(names):
            some = ", ".join(repr(name) for _, name in names[:5]) or "no experiment"
            hidden = "" if selection.deleted else "; deleted ones are left out"
            raise SelectionError(
                f"{self._session.uri} has no experiment {', '.join(map(repr, unmatched))}; it has {some}"
                f"{' and others' if len(names) > 5 else ''}{hidden}"
            )
        return [raw for raw, pair in zip(found, names, strict=True) if selection.matches_experiment(*pair)]

    def _named_runs(self, selection: Selection, experiments: Sequence[Json]) -> list[Json]:
        if selection.filter_string:
            raise SelectionError("runs are named by id, so there is nothing to filter; leave out --filter or --run")
        ids = {str(raw["experiment_id"]) for raw in experiments}
        runs, unknown = [], []
        for run_id in dict.fromkeys(selection.runs):
            try:
                run = self._run(run_id)
            except ServerError as exc:
                if exc.status not in (400, 404) or exc.error_code is None:
                    raise
                unknown.append(run_id)
                continue
            hidden = not selection.deleted and run["info"].get("lifecycle_stage") == "deleted"
            if str(run["info"].get("experiment_id")) in ids and not hidden and selection.in_window(start_time_of(run)):
                runs.append(run)
            else:
                unknown.append(run_id)
        if unknown:
            raise SelectionError(
                f"{self._session.uri} has no run {', '.join(map(repr, unknown))} among those selected; "
                "ids are 32 hexadecimal digits, as `mlflow-archive ls` and MLflow's UI show them"
            )
        return runs

    def _run(self, run_id: str) -> Json:
        answer = self._session.get("/api/2.0/mlflow/runs/get", {"run_id": run_id})
        run = answer.get("run") if isinstance(answer, dict) else None
        if not isinstance(run, dict) or not isinstance(run.get("info"), dict):
            raise ServerError(f"{self._session.uri} answers in an unexpected shape when asked for run {run_id!r}")
        return run

    def _entries(self, payload: _Runs, known: Known) -> tuple[dict[str, _Entry], list[Gap]]:
        """Return what is new among the runs of a page, by id, and the gaps of what could not even be listed."""
        entries: dict[str, _Entry] = {}
        lost = list(payload.page.gaps)
        for raw in payload.page.runs:
            try:
                record = parse_run(raw)
            except UNREADABLE_ROW as exc:
                reason = f"the server describes it in an unexpected shape: {exc!r}"
                lost.append(run_gap(run_id_of(raw), "", gaps.RUN_UNREADABLE, reason))
                continue
            entry = self._entry(record, payload.selection)
            if not entry.gaps and known(RUN, record.run_id) == entry.fingerprint:
                self._progress.advance("skipped", 1)
                continue
            entries[record.run_id] = entry
        return entries, lost

    def _entry(self, record: RunRecord, selection: Selection) -> _Entry:
        entry = _Entry(record)
        if selection.artifacts:
            listing = self._artifacts.of_run(record)
            entry.gaps = listing.gaps
            entry.files = [file for file in listing.files if selection.wants_artifact(file.path, file.size)]
        latest = ((key, point.step, point.time_ms, point.value) for key, point in record.latest.items())
        files = ((file.path, file.size) for file in entry.files)
        entry.fingerprint = run_fingerprint(record.info, record.params, record.tags, latest, files)
        return entry


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


def _check_filter(pager: RunPager, filter_string: str) -> None:
    try:
        pager.check()
    except ServerError as exc:
        if exc.status != 400:
            return  # what it cannot answer comes up page by page
        raise SelectionError(f"the server does not understand the filter {filter_string!r}: {exc}") from exc


def _chunk(part: HistoryPart, entries: dict[str, _Entry]) -> Chunk:
    """Put together all tables of the runs that end in this part, and its points."""
    tables: dict[str, list[pa.Table]] = {"metrics": [part.points]}
    lost = {gap.owner_id for gap in part.gaps}
    files: list[ArtifactFile] = []
    all_gaps = list(part.gaps)
    prints = []
    for record in part.complete:
        entry = entries[record.run_id]
        for name, table in record.tables.items():
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
