"""MLflow's search syntax over traces that no server searches, judged by MLflow itself.

MLflow is imported only where a filter is given, as that takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlflow_archive.errors import SelectionError

_NAME_TAG: Final = "mlflow.traceName"
_SESSION: Final = "mlflow.trace.session"
_LINKED: Final = {"mlflow.sourceRun": "run", "mlflow.linkedPrompts": "prompt_version"}
_SEARCHABLE: Final = frozenset({"attribute", "tag", "request_metadata"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedTrace:
    """A trace as the search sees it: a row of ``traces``, times as milliseconds, its tags and metadata.

    ``links`` are rows of ``trace_links``, where the source has any.
    """

    info: Mapping[str, Any]
    tags: Mapping[str, str | None]
    metadata: Mapping[str, str | None]
    links: Sequence[Mapping[str, Any]] = ()

    @property
    def trace_id(self) -> str:
        return str(self.info["trace_id"])


TraceMatches = Callable[[Sequence[SearchedTrace]], list[SearchedTrace]]
"""Of these traces, those that match."""


def compile_trace_filter(filter_string: str) -> TraceMatches:
    """Return a function that picks the traces that match.

    Raises SelectionError, with what MLflow says, for a filter that MLflow refuses, and for spans and assessments, which
    MLflow searches only inside its database; so does the function, as some mistakes only show when a trace is compared.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.utils.search_utils import SearchTraceUtils  # noqa: PLC0415

    def matches(traces: Sequence[SearchedTrace]) -> list[SearchedTrace]:
        try:
            return [trace for trace in traces if all(_matches(SearchTraceUtils, trace, clause) for clause in clauses)]
        except MlflowException as error:
            raise _refused(filter_string, error) from error

    try:
        clauses = SearchTraceUtils.parse_search_filter_for_search_traces(filter_string)
    except MlflowException as error:
        raise _refused(filter_string, error) from error
    for clause in clauses:
        if clause["type"] not in _SEARCHABLE:
            raise SelectionError(
                f"--trace-filter {filter_string!r} asks for {clause['type']}s; only a server can search these, here "
                "a filter may ask for attributes, tags and metadata"
            )
    return matches


def _matches(search: Any, trace: SearchedTrace, clause: Mapping[str, Any]) -> bool:
    """Judge one clause; as in MLflow's database, a link to a run or prompt counts as the trace's own."""
    kind = _LINKED.get(clause["key"])
    if kind is not None and clause["comparator"] == "=":
        wanted = (kind, clause["value"])
        if any((link["destination_type"], link["destination_id"]) == wanted for link in trace.links):
            return True
    return bool(search._does_trace_match_clause(_AsMlflow(trace), clause))


def _refused(filter_string: str, error: Exception) -> SelectionError:
    return SelectionError(f"--trace-filter {filter_string!r} is not in MLflow's search syntax: {error}")


class _AsMlflow:
    """What MLflow's search looks at in a trace, under the names it uses."""

    def __init__(self, trace: SearchedTrace) -> None:
        info = trace.info
        self.trace = trace
        self.request_id = trace.trace_id
        self.timestamp_ms: int = info["request_time"]
        self.execution_time_ms: int | None = info["execution_duration_ms"]
        self.end_time_ms = None if self.execution_time_ms is None else self.timestamp_ms + self.execution_time_ms
        self.status = info["state"]
        self.client_request_id = info["client_request_id"]
        # Newer databases keep these two in columns of their own.
        self.tags = _with(trace.tags, _NAME_TAG, info.get("trace_name"))
        self.request_metadata = _with(trace.metadata, _SESSION, info.get("session_id"))


def _with(values: Mapping[str, str | None], key: str, value: str | None) -> Mapping[str, str | None]:
    return values if value is None else {**values, key: value}
