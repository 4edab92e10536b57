"""Values of traces that the server's API cuts: which of them are longer than they came.

MLflow answers with the first 4,096 characters of a tag and the first 250 of metadata, without a word. A value of
exactly that length may be whole, as MLflow's client cuts metadata in the same way before it writes; so the server is
asked, by a pattern that only a longer value matches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.gaps import VALUE_CUT
from mlflow_archive.http.refusals import check_answered
from mlflow_archive.kinds import TRACE
from mlflow_archive.sources.rest.lists import rows_of
from mlflow_archive.sources.rest.scope import Scope, gap_of
from mlflow_archive.sources.rest.traces.trace_links import MOST_TRACES, SEARCH, search_body, trace_id_of
from mlflow_archive.sources.rest.traces.trace_records import TraceRecord

TAG_CHARACTERS: Final = 4096
METADATA_CHARACTERS: Final = 250
_CUT_BY_CLIENT: Final = "..."


def cut_values(scope: Scope, traces: Sequence[TraceRecord]) -> Iterator[Gap]:
    """Yield a gap for each tag and metadata value of some traces that is longer than it came, or may be."""
    for column, limit in (("tags", TAG_CHARACTERS), ("metadata", METADATA_CHARACTERS)):
        for key in sorted({key for trace in traces for key in _at_limit(trace, column, limit)}):
            suspects = [trace for trace in traces if key in _at_limit(trace, column, limit)]
            longer = _longer(scope, suspects, column, key, limit)
            for trace in suspects:
                if longer is None and not (getattr(trace, column)[key] or "").endswith(_CUT_BY_CLIENT):
                    yield _gap(trace, f"{column}/{key}", limit, "may be")
                elif longer is not None and trace.trace_id in longer:
                    yield _gap(trace, f"{column}/{key}", limit, "is")


def _at_limit(trace: TraceRecord, column: str, limit: int) -> set[str]:
    values: dict[str, str | None] = getattr(trace, column)
    return {key for key, value in values.items() if value is not None and len(value) == limit}


def _longer(scope: Scope, traces: Sequence[TraceRecord], column: str, key: str, limit: int) -> set[str] | None:
    """Return those of some traces whose value is longer than the limit, None where the server cannot tell."""
    if "`" in key:
        return None
    ids = ", ".join(f"'{trace.trace_id}'" for trace in traces)
    pattern = "_" * (limit + 1) + "%"
    body = search_body(
        sorted({trace.experiment_id for trace in traces}),
        f"attributes.request_id IN ({ids}) AND {column}.`{key}` LIKE '{pattern}'",
    )
    try:
        answer = scope.session.post(SEARCH, {**body, "max_results": MOST_TRACES})
        return {str(trace_id_of(row)) for row in rows_of(scope.session, answer, "traces")}
    except ServerError as exc:
        check_answered(exc)
        return None


def _gap(trace: TraceRecord, path: str, limit: int, verb: str) -> Gap:
    reason = f"the server's API ends values after {limit} characters: it {verb} cut; an export of its database has it"
    return gap_of(TRACE, trace.trace_id, path, f"{reason} whole", code=VALUE_CUT)
