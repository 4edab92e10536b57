"""Traces of one workspace: info, tags, metadata, assessments, spans, links and files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Final

from mlflow_archive.artifact_roots import Listing
from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.format import gaps
from mlflow_archive.format.fingerprint import entity_fingerprint
from mlflow_archive.http.refusals import is_unknown_request
from mlflow_archive.kinds import TRACE
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW, Json, Row
from mlflow_archive.sources.rest.lists import Ask, asking, pages, posting
from mlflow_archive.sources.rest.scope import Batch, Scope, chunk_of, gaps_of
from mlflow_archive.sources.rest.traces.cut_values import cut_values
from mlflow_archive.sources.rest.traces.trace_files import TraceFiles
from mlflow_archive.sources.rest.traces.trace_links import ORDER, SEARCH, prompt_links, search_body, trace_id_of
from mlflow_archive.sources.rest.traces.trace_records import SOURCE_RUN, TraceRecord, parse_trace

PAGE: Final = 100
CHARACTERS_PER_CHUNK: Final = 8 << 20
_SEARCH_2: Final = "/api/2.0/mlflow/traces"


def plan_traces(scope: Scope) -> Iterator[Batch]:
    """Yield the selected traces in batches."""
    groups = list(scope.groups())
    if not groups or scope.selection.models:
        return
    search = _Search.of(scope, groups[0])
    if search is None:
        return
    reader = _Reader(scope)
    if scope.only_of_runs:
        # Which traces belong to the runs is known only when these have been read, in an earlier stage.
        yield Batch(name="traces of runs", read=partial(_read_of_runs, scope, search, reader))
        return
    number = 0
    for ids in groups:
        for page in pages(search.ask(ids), trace_id_of, size=PAGE):
            yield Batch(name=f"traces-{number:05d}", read=partial(reader.read, page.rows, gaps_of(TRACE, page.lost)))
            number += 1


def check_trace_filter(scope: Scope) -> None:
    """Raise SelectionError if the server does not understand the filter for traces."""
    groups = list(scope.groups())
    if not scope.selection.trace_filter or not groups:
        return
    search = _Search.of(scope, groups[0])
    if search is not None:
        search.check(groups[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """How one server is asked for traces: with the API of MLflow 3, or of MLflow 2."""

    scope: Scope
    newer: bool

    @classmethod
    def of(cls, scope: Scope, experiment_ids: Sequence[str]) -> _Search | None:
        """Return how, None where the server has no traces."""
        for newer in (True, False):
            search = cls(scope=scope, newer=newer)
            try:
                search.ask(experiment_ids, filtered=False)(1, None)
            except ServerError as exc:
                if exc.status is None:
                    raise
                if is_unknown_request(exc):
                    continue
            return search
        return None

    def ask(self, experiment_ids: Sequence[str], filter_string: str | None = None, *, filtered: bool = True) -> Ask:
        conditions = [self.scope.selection.trace_filter if filtered else None, filter_string]
        condition = " AND ".join(each for each in conditions if each) or None
        if self.newer:
            return posting(self.scope.session, SEARCH, "traces", **search_body(experiment_ids, condition))
        params = {"experiment_ids": list(experiment_ids), "order_by": list(ORDER), "filter": condition}
        return asking(self.scope.session, _SEARCH_2, "traces", **params)

    def check(self, experiment_ids: Sequence[str]) -> None:
        """Raise SelectionError if the server does not understand the filter."""
        try:
            self.ask(experiment_ids)(1, None, careful=True)
        except ServerError as exc:
            if exc.status == HTTPStatus.BAD_REQUEST:
                message = f"the server does not understand the filter {self.scope.selection.trace_filter!r}: {exc}"
                raise SelectionError(message) from exc


def _read_of_runs(scope: Scope, search: _Search, reader: _Reader, known: Known) -> Iterator[Chunk]:
    seen: set[object] = set()
    for run_id in sorted(scope.chosen_runs):
        for ids in scope.groups():
            for page in pages(search.ask(ids, f"attributes.run_id = '{run_id}'"), trace_id_of, size=PAGE):
                fresh = [row for row in page.rows if trace_id_of(row) not in seen]
                seen.update(trace_id_of(row) for row in fresh)
                yield from reader.read(fresh, gaps_of(TRACE, page.lost), known)


@dataclass(slots=True)
class _Entry:
    """A trace on its way, with its artifacts, and all its gaps in ``listing``."""

    record: TraceRecord
    listing: Listing = field(default_factory=Listing)
    fingerprint: str = ""


class _Reader:
    """Reads batches of traces; used by several threads."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._files = TraceFiles(scope)
        self._prompts: dict[str, set[str]] = {}
        self._lost: list[Gap] = []
        for found in prompt_links(scope):
            if isinstance(found, Gap):
                self._lost.append(found)
            else:
                self._prompts.setdefault(found[0], set()).add(found[1])

    def read(self, traces: Sequence[Json], lost: list[Gap], known: Known) -> Iterator[Chunk]:
        """Yield chunks of whole traces, of about CHARACTERS_PER_CHUNK."""
        entries, unreadable = self._entries(traces)
        lost = [*lost, *unreadable, *self._take_lost()]
        rows: dict[str, list[Row]] = {}
        files = []
        size = 0
        for entry in entries:
            record, listing = entry.record, entry.listing
            if not listing.gaps and known(TRACE, record.trace_id) == entry.fingerprint:
                self._scope.progress.advance("skipped", 1)
                continue
            spans = self._files.spans(record, listing)
            for name, found in (*record.rows.items(), ("spans", spans)):
                rows.setdefault(name, []).extend(found)
            wants = self._scope.selection.wants_artifact
            files += [file for file in listing.files if wants(file.path, file.size)]
            lost += listing.gaps
            if not listing.gaps:
                row = {"owner_id": record.trace_id, "owner_kind": TRACE, "fingerprint": entry.fingerprint}
                rows.setdefault("fingerprints", []).append(row)
            size += sum(len(span["content"]) for span in spans)
            if size >= CHARACTERS_PER_CHUNK:
                yield chunk_of(rows, lost, artifacts=files)
                rows, lost, files, size = {}, [], [], 0
        if rows or lost:
            yield chunk_of(rows, lost, artifacts=files)

    def _entries(self, traces: Sequence[Json]) -> tuple[list[_Entry], list[Gap]]:
        """Return the traces with links, artifacts and fingerprint, and gaps of what could not be parsed."""
        lost: list[Gap] = []
        entries: list[_Entry] = []
        for raw in traces:
            try:
                record = parse_trace(raw, self._scope.version)
            except UNREADABLE_ROW as exc:
                reason = f"the server describes it in an unexpected shape: {exc!r}"
                lost.append(_gap(str(trace_id_of(raw)), gaps.OBJECT_UNREADABLE, reason))
                continue
            record.rows["trace_links"] = self._links(record)
            entries.append(_Entry(record, self._files.listing(record)))
        cut: dict[str, list[Gap]] = {}
        for gap in cut_values(self._scope, [entry.record for entry in entries]):
            cut.setdefault(gap.owner_id, []).append(gap)
        wants = self._scope.selection.wants_artifact
        for entry in entries:
            entry.listing.gaps += cut.get(entry.record.trace_id, [])
            files = [(file.path, file.size) for file in entry.listing.files if wants(file.path, file.size)]
            entry.fingerprint = entity_fingerprint(entry.record.rows, files)
        return entries, lost

    def _links(self, record: TraceRecord) -> list[Row]:
        """Return the links of a trace; the run that it was made in is in its metadata and no link."""
        runs = self._scope.links.get(record.trace_id, set()) - {record.metadata.get(SOURCE_RUN)}
        pairs = [("run", run_id) for run_id in sorted(runs)]
        pairs += [("prompt_version", prompt) for prompt in sorted(self._prompts.get(record.trace_id, set()))]
        return [{"trace_id": record.trace_id, "destination_type": kind, "destination_id": each} for kind, each in pairs]

    def _take_lost(self) -> list[Gap]:
        lost, self._lost = self._lost, []
        return lost


def _gap(trace_id: str, code: str, reason: str) -> Gap:
    return Gap(owner_kind=TRACE, owner_id=trace_id, path="", code=code, reason=reason)
