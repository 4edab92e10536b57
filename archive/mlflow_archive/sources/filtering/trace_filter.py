"""MLflow's search syntax over traces that no server searches: read by MLflow itself, judged as in its database.

MLflow is imported only where a filter is given, as that takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds.traces import COSTS, TOKENS
from mlflow_archive.optional import missing, needing
from mlflow_archive.sources.filtering.comparing import IN_FILES, Dialect, Holds, comparison
from mlflow_archive.sources.filtering.trace_conditions import AssessmentCondition, SpanConditions, assessment_condition

_NEWEST_CHECK: Final = "is_issue"
_NAME_TAG: Final = "mlflow.traceName"
_PROMPTS: Final = "mlflow.linkedPrompts"
_RUN: Final = "mlflow.sourceRun"
_COLUMNS: Final = {"mlflow.trace.tokenUsage": TOKENS, "mlflow.trace.cost": COSTS}
_SESSION: Final = "mlflow.trace.session"
_ATTRIBUTES: Final = {
    "request_id": "trace_id",
    "timestamp_ms": "request_time",
    "execution_time_ms": "execution_duration_ms",
    "status": "state",
    "client_request_id": "client_request_id",
}
_SEARCHABLE: Final = frozenset({"attribute", "tag", "request_metadata"})

Clause = Mapping[str, Any]
"""A condition as MLflow's parser gives it: ``type``, ``key``, ``comparator``, ``value``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedTrace:
    """A trace as the search sees it: a row of ``traces``, times as milliseconds, its tags and metadata.

    ``links`` are rows of ``trace_links`` and ``assessments`` of that table, where the source has any. ``span_fits`` is
    whether a span fulfils all conditions on spans, ``covered`` are the conditions on assessments that an assessment of
    the whole session fulfils.
    """

    info: Mapping[str, Any]
    tags: Mapping[str, str | None]
    metadata: Mapping[str, str | None]
    links: Sequence[Mapping[str, Any]] = ()
    assessments: Sequence[Mapping[str, Any]] = ()
    span_fits: bool = False
    covered: Collection[AssessmentCondition] = ()

    @classmethod
    def of_rows(cls, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> SearchedTrace:
        """Return the trace of some rows by table: one of ``traces``, all of ``trace_tags`` and ``trace_metadata``."""
        pairs = {
            name: {row["key"]: row["value"] for row in rows.get(name, ())} for name in ("trace_tags", "trace_metadata")
        }
        return cls(info=rows["traces"][0], tags=pairs["trace_tags"], metadata=pairs["trace_metadata"])

    @property
    def trace_id(self) -> str:
        return str(self.info["trace_id"])

    @property
    def session(self) -> str | None:
        """The session it belongs to."""
        return session_of(self.info, self.metadata)

    def tag(self, key: str) -> str | None:
        own = self.info.get("trace_name") if key == _NAME_TAG else None
        return self.tags.get(key) if own is None else str(own)

    def metadatum(self, key: str) -> str | None:
        """Return a value of the metadata; of columns that newer databases have for it, the text that MLflow makes."""
        if key == _SESSION:
            return self.session
        columns = {name: self.info[name] for name in _COLUMNS.get(key, ()) if self.info.get(name) is not None}
        return json.dumps(columns) if columns else self.metadata.get(key)

    def linked(self, kind: str, linked_id: str) -> bool:
        return any((link["destination_type"], link["destination_id"]) == (kind, linked_id) for link in self.links)


def session_of(info: Mapping[str, Any], metadata: Mapping[str, str | None]) -> str | None:
    """Return the session of a trace by its row and metadata; newer databases keep it in a column of its own."""
    session: str | None = info.get("session_id")
    return metadata.get(_SESSION) if session is None else session


Judge = Callable[[SearchedTrace], bool]


@dataclass(slots=True, kw_only=True)
class TraceFilter:
    """Picks the traces that match. ``spans`` and ``assessments`` are the conditions that need these rows of a trace."""

    judges: list[Judge] = field(default_factory=list)
    spans: SpanConditions | None = None
    assessments: list[AssessmentCondition] = field(default_factory=list)

    def __call__(self, traces: Sequence[SearchedTrace]) -> list[SearchedTrace]:
        """Return those of these traces that match."""
        return [trace for trace in traces if all(judge(trace) for judge in self.judges)]


def compile_trace_filter(filter_string: str, database: Dialect | None = None) -> TraceFilter:
    """Return the filter that picks the traces that match, in a ``database`` or among files.

    Raises SelectionError, with what MLflow says, for a filter that MLflow refuses; outside of a database also for
    spans and assessments, which MLflow searches only there.
    """
    with needing("mlflow", "--trace-filter where no server searches"):
        from mlflow.exceptions import MlflowException  # noqa: PLC0415
        from mlflow.utils.search_utils import SearchTraceUtils  # noqa: PLC0415
    if not hasattr(SearchTraceUtils, _NEWEST_CHECK):
        raise missing("mlflow", "--trace-filter where no server searches", "MLflow here is older than 3.11")

    try:
        clauses = SearchTraceUtils.parse_search_filter_for_search_traces(filter_string)
        for clause in clauses:
            clause["comparator"] = clause["comparator"].upper()
            _check(SearchTraceUtils, clause)
    except MlflowException as error:
        raise SelectionError(f"--trace-filter {filter_string!r} is not in MLflow's search syntax: {error}") from error
    trace_filter = TraceFilter()
    for clause in clauses:
        if database is None and clause["type"] not in _SEARCHABLE:
            raise SelectionError(
                f"--trace-filter {filter_string!r} asks for {clause['type']}s; only a server or its database can be "
                "searched for these, here a filter may ask for attributes, tags and metadata"
            )
        _add(trace_filter, clause, database, clauses)
    return trace_filter


def _check(search: Any, clause: Clause) -> None:
    """Have MLflow raise for a comparator that does not fit what is compared."""
    kind, key, comparator = clause["type"], clause["key"], clause["comparator"]
    search.is_tag(kind, comparator)
    search.is_request_metadata(kind, comparator)
    search.is_attribute(kind, key, comparator)
    search.is_span(kind, key, comparator)
    search.is_assessment(kind, key, comparator)
    search.is_issue(kind, key, comparator)


def _add(trace_filter: TraceFilter, clause: Clause, database: Dialect | None, clauses: Sequence[Clause]) -> None:
    dialect = database or IN_FILES
    if clause["type"] == "span":
        if trace_filter.spans is None:
            trace_filter.spans = SpanConditions(since_ms=_since(clauses))
            trace_filter.judges.append(lambda trace: trace.span_fits)
        trace_filter.spans.add(clause["key"], clause["comparator"], clause["value"], dialect)
    elif clause["type"] in ("feedback", "expectation", "issue"):
        condition = assessment_condition(clause["type"], clause["key"], clause["comparator"], clause["value"], dialect)
        trace_filter.assessments.append(condition)
        trace_filter.judges.append(
            lambda trace: condition.holds_for(trace.assessments, covered=condition in trace.covered)
        )
    else:
        trace_filter.judges.append(_judge(clause, dialect, in_database=database is not None))


def _since(clauses: Sequence[Clause]) -> float | None:
    """Return from when on a filter selects traces, as MLflow leaves out spans that are much older than that."""
    return max(
        (
            clause["value"]
            for clause in clauses
            if (clause["type"], clause["key"]) == ("attribute", "timestamp_ms") and clause["comparator"] in (">", ">=")
        ),
        default=None,
    )


def _judge(clause: Clause, dialect: Dialect, *, in_database: bool) -> Judge:
    """Return the judge of one condition on the trace itself; a link to a run or prompt counts as the trace's own."""
    key, comparator, operand = clause["key"], clause["comparator"], clause["value"]
    value = _value_of(clause, in_database=in_database)
    if comparator == "IS NULL":
        return lambda trace: value(trace) is None
    if comparator == "IS NOT NULL":
        return lambda trace: value(trace) is not None
    holds: Holds = comparison(comparator, operand, dialect)
    if key == _RUN and comparator == "=":
        return lambda trace: trace.linked("run", operand) or holds(value(trace))
    if key == _PROMPTS and in_database:
        if comparator != "=" or operand.count("/") != 1:
            raise SelectionError(f"a filter for prompts is prompt = 'name/version', not {comparator} {operand!r}")
        return lambda trace: trace.linked("prompt_version", operand)
    return lambda trace: holds(value(trace))


def _value_of(clause: Clause, *, in_database: bool) -> Callable[[SearchedTrace], Any]:
    key = clause["key"]
    if clause["type"] == "tag":
        return lambda trace: trace.tag(key)
    if clause["type"] == "request_metadata":
        return lambda trace: trace.metadatum(key)
    if key == "end_time_ms":
        return _end if in_database else lambda trace: None if _runs(trace) else _end(trace)
    return lambda trace: trace.info[_ATTRIBUTES[key]]


def _runs(trace: SearchedTrace) -> bool:
    return trace.info["execution_duration_ms"] is None


def _end(trace: SearchedTrace) -> int:
    """Return when a trace ended, as in MLflow's SQL: for one that has not ended, when it began."""
    end: int = trace.info["request_time"] + (trace.info["execution_duration_ms"] or 0)
    return end
