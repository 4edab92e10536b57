"""Traces of one workspace: info, tags, metadata, assessments, spans, links and files.

Read after runs, which tell (``RunFindings``) which traces belong to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

from mlflow_archive.artifact_roots import Listing
from mlflow_archive.artifact_roots.proxy import quoted
from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.flow.chunk import Chunk, Gap, Known, nothing_known
from mlflow_archive.format.fingerprint import Fingerprint, entity_fingerprint
from mlflow_archive.http.refusals import check_answered, is_unknown_request
from mlflow_archive.kinds import TRACE
from mlflow_archive.sources.rest.cells import Json, Row
from mlflow_archive.sources.rest.findings import RunFindings, every_finding
from mlflow_archive.sources.rest.lists import Ask, Page, asking, pages, posting
from mlflow_archive.sources.rest.scope import (
    Batch,
    Listed,
    Scope,
    add_rows,
    batches,
    chunk_of,
    gaps_of,
    read_gaps,
)
from mlflow_archive.sources.rest.traces.cut_values import cut_values
from mlflow_archive.sources.rest.traces.trace_files import TraceFiles
from mlflow_archive.sources.rest.traces.trace_links import ORDER, SEARCH, prompt_links, search_body, trace_id_of
from mlflow_archive.sources.rest.traces.trace_records import SOURCE_RUN, TraceRecord, parse_trace

PAGE: Final = 100
CHARACTERS_PER_CHUNK: Final = 8 << 20
_SEARCH_2: Final = "/api/2.0/mlflow/traces"
TRACES: Final = "/api/3.0/mlflow/traces"
_NAMES_RUN: Final = re.compile(r"run_id|mlflow\.sourceRun", re.IGNORECASE)


def plan_traces(scope: Scope) -> Iterator[Batch]:
    """Yield the selected traces in batches."""
    search = None if scope.selection.models else TraceSearch.of(scope)
    if search is None:
        return
    if gaps := _find_prompts(scope):
        yield Batch(name="links of traces to prompts", read=read_gaps, request=gaps)
    if scope.only_named:
        # Which traces belong to the runs is known only when these have been read, in an earlier stage.
        yield Batch(name="traces of runs", read=_read_of_runs, request=search.newer, needs=every_finding)
        return
    all_pages = (page for ids in scope.groups() for page in pages(search.ask(ids), trace_id_of, size=PAGE))
    yield from batches("traces", TRACE, all_pages, _read_listed, _findings_of_traces)


def _find_prompts(scope: Scope) -> list[Gap]:
    """Put the links of traces to prompts into the findings; return gaps for what could not be asked."""
    gaps: list[Gap] = []
    for link in prompt_links(scope):
        if isinstance(link, Gap):
            gaps.append(link)
        else:
            scope.findings.prompts.setdefault(link[0], set()).add(link[1])
    return gaps


def _findings_of_traces(findings: RunFindings, listed: Listed) -> RunFindings:
    return findings.of_traces(map(trace_id_of, listed.rows))


def check_trace_filter(scope: Scope) -> None:
    """Raise SelectionError if the server does not understand the filter for traces."""
    search = TraceSearch.of(scope) if scope.selection.trace_filter else None
    if search is not None:
        search.check(next(scope.groups()))


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSearch:
    """How one server is asked for traces: with the API of MLflow 3, or of MLflow 2."""

    scope: Scope
    newer: bool

    @classmethod
    def of(cls, scope: Scope) -> TraceSearch | None:
        """Return how a server is asked, None where it has no traces or no experiment is selected."""
        first = next(scope.groups(), None)
        for newer in (True, False) if first is not None else ():
            search = cls(scope=scope, newer=newer)
            try:
                search.ask(first or (), filtered=False)(1, None)
            except ServerError as exc:
                check_answered(exc)
                if is_unknown_request(exc):
                    continue
            return search
        return None

    def ask(self, experiment_ids: Sequence[str], filter_string: str | None = None, *, filtered: bool = True) -> Ask:
        conditions = [*(self._conditions() if filtered else ()), filter_string]
        condition = " AND ".join(filter(None, conditions)) or None
        if self.newer:
            return posting(self.scope, TRACE, SEARCH, "traces", **search_body(experiment_ids, condition))
        params = {"experiment_ids": list(experiment_ids), "order_by": list(ORDER), "filter": condition}
        return asking(self.scope, TRACE, _SEARCH_2, "traces", **params)

    def shows_any(self) -> bool:
        """Return whether there is any trace in the selected experiments; where that cannot be asked, there may be."""
        try:
            return any(self.ask(ids, filtered=False)(1, None)[0] for ids in self.scope.groups())
        except ServerError as exc:
            check_answered(exc)
            return True

    def of_run(self, run_id: str) -> Iterator[Page]:
        """Yield the selected traces that were made in a run or are linked to it.

        Of several conditions on the run MLflow looks at the last only, so a filter that has one is asked by itself.
        """
        condition = f"attributes.run_id = '{run_id}'"
        for ids in self.scope.groups():
            if not _NAMES_RUN.search(self.scope.selection.trace_filter or ""):
                yield from pages(self.ask(ids, condition), trace_id_of, size=PAGE)
                continue
            of_run: set[object] = set()
            for page in pages(self.ask(ids, condition, filtered=False), trace_id_of, size=PAGE):
                of_run.update(map(trace_id_of, page.rows))
                yield replace(page, rows=[])
            for page in pages(self.ask(ids), trace_id_of, size=PAGE):
                yield replace(page, rows=[row for row in page.rows if trace_id_of(row) in of_run])

    def _conditions(self) -> list[str | None]:
        """Return what the selection asks of traces, in MLflow's search syntax."""
        selection = self.scope.selection
        return [
            None if selection.since_ms is None else f"timestamp_ms >= {selection.since_ms}",
            None if selection.until_ms is None else f"timestamp_ms < {selection.until_ms}",
            selection.trace_filter,
        ]

    def check(self, experiment_ids: Sequence[str]) -> None:
        """Raise SelectionError if the server does not understand the filter."""
        try:
            self.ask(experiment_ids)(1, None, careful=True)
        except ServerError as exc:
            if exc.status == HTTPStatus.BAD_REQUEST:
                message = f"the server does not understand the filter {self.scope.selection.trace_filter!r}: {exc}"
                raise SelectionError(message) from exc


def _read_listed(scope: Scope, listed: Listed, known: Known) -> Iterator[Chunk]:
    yield from scope.once(_Reader).read(listed.rows, listed.gaps, known)


def _read_of_runs(scope: Scope, newer: bool, known: Known) -> Iterator[Chunk]:
    search, reader = TraceSearch(scope=scope, newer=newer), scope.once(_Reader)
    seen_ids: set[object] = set()
    for run_id in sorted(scope.findings.run_ids):
        for page in search.of_run(run_id):
            fresh = [row for row in page.rows if trace_id_of(row) not in seen_ids]
            seen_ids.update(trace_id_of(row) for row in fresh)
            yield from reader.read(fresh, gaps_of(TRACE, page.losses), known)


def read_trace(scope: Scope, trace_id: str) -> Iterator[Chunk]:
    """Yield a trace of an MLflow 3 by its id, without its links; nothing where it is not there. Raises ServerError."""
    try:
        answer = scope.session.get(f"{TRACES}/{quoted(trace_id)}")
    except ServerError as exc:
        if exc.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return
    trace = answer.get("trace") if isinstance(answer, dict) else None
    info = trace.get("trace_info") if isinstance(trace, dict) else None
    if not isinstance(info, dict):
        raise ServerError(f"{scope.session.uri} answers in an unexpected shape when asked for trace {trace_id!r}")
    yield from _Reader(scope, alone=True).read([info], [], nothing_known)


@dataclass(slots=True)
class _Entry:
    """A trace on its way, with its artifacts, and all its gaps in ``listing``."""

    record: TraceRecord
    listing: Listing = field(default_factory=Listing)
    fingerprint: Fingerprint = field(default_factory=lambda: Fingerprint(""))


class _Reader:
    """Reads batches of traces; used by several threads."""

    def __init__(self, scope: Scope, *, alone: bool = False) -> None:
        self._scope = scope
        self._files = TraceFiles(scope, alone=alone)

    def read(self, traces: Sequence[Json], gaps: Sequence[Gap], known: Known) -> Iterator[Chunk]:
        """Yield chunks of whole traces, of about CHARACTERS_PER_CHUNK."""
        entries, unreadable = self._entries(traces)
        gaps = [*gaps, *unreadable]
        rows: dict[str, list[Row]] = {}
        files = []
        size = 0
        for entry in entries:
            record, listing = entry.record, entry.listing
            if not listing.gaps and entry.fingerprint.agrees_with(known(TRACE, record.trace_id)):
                self._scope.progress.advance("skipped", 1)
                continue
            spans = self._files.spans(record, listing)
            add_rows(rows, {**record.rows, "spans": spans})
            files += listing.selected(self._scope.selection)
            gaps += listing.gaps
            if not listing.gaps:
                rows.setdefault("fingerprints", []).append(entry.fingerprint.row(TRACE, record.trace_id))
            size += sum(len(span["content"]) for span in spans)
            if size >= CHARACTERS_PER_CHUNK:
                yield chunk_of(rows, gaps, artifacts=files)
                rows, gaps, files, size = {}, [], [], 0
        if rows or gaps:
            yield chunk_of(rows, gaps, artifacts=files)

    def _entries(self, traces: Sequence[Json]) -> tuple[list[_Entry], list[Gap]]:
        """Return the traces with links, artifacts and fingerprint, and gaps of what could not be parsed."""
        gaps: list[Gap] = []
        entries: list[_Entry] = []
        for raw in traces:
            record = self._scope.read(TRACE, str(trace_id_of(raw)), raw, parse_trace, gaps)
            if record is None:
                continue
            record.rows["trace_links"] = self._links(record)
            entries.append(_Entry(record, self._files.listing(record)))
        cut: dict[str, list[Gap]] = {}
        for gap in cut_values(self._scope, [entry.record for entry in entries]):
            cut.setdefault(gap.owner_id, []).append(gap)
        for entry in entries:
            entry.listing.gaps += cut.get(entry.record.trace_id, [])
            files = entry.listing.selected(self._scope.selection)
            entry.fingerprint = entity_fingerprint(entry.record.rows, files)
        return entries, gaps

    def _links(self, record: TraceRecord) -> list[Row]:
        """Return the links of a trace; the run that it was made in is in its metadata and is not a link."""
        findings = self._scope.findings
        runs = findings.trace_runs.get(record.trace_id, set()) - {record.metadata.get(SOURCE_RUN)}
        pairs = [("run", run_id) for run_id in sorted(runs)]
        pairs += [("prompt_version", prompt) for prompt in sorted(findings.prompts.get(record.trace_id, set()))]
        return [{"trace_id": record.trace_id, "destination_type": kind, "destination_id": i} for kind, i in pairs]
