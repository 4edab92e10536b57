"""Which traces belong to which runs and prompts: no answer about a trace says so, only searches for traces do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from threading import Lock
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.http.refusals import check_answered, is_unknown_request
from mlflow_archive.kinds import REGISTERED_MODEL, TRACE
from mlflow_archive.sources.rest.cells import Json
from mlflow_archive.sources.rest.lists import PROMPTS, asking, if_understood, pages, posting
from mlflow_archive.sources.rest.scope import Scope, gap_of

SEARCH: Final = "/api/3.0/mlflow/traces/search"
MOST_TRACES: Final = 500
ORDER: Final = ("timestamp_ms ASC",)


class TraceLinkSearch:
    """Looks for the traces of runs and puts them into the scope's findings. Used by several threads."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._lock = Lock()
        self._has_traces: bool | None = None

    def look_for(self, run_ids: Sequence[str]) -> list[Gap]:
        """Look for the traces of some runs, if traces are selected and there are any; return gaps."""
        scope = self._scope
        if not scope.selection.wants_kind(TRACE) or not run_ids or not self._is_worth_it():
            return []
        gaps: list[Gap] = []
        for run_id in run_ids:
            for row in _traces(scope, f"attributes.run_id = '{run_id}'", f"links to run {run_id}"):
                if isinstance(row, Gap):
                    gaps.append(row)
                else:
                    scope.findings.add_trace(str(trace_id_of(row)), run_id)
        return gaps

    def _is_worth_it(self) -> bool:
        with self._lock:
            if self._has_traces is None:
                self._has_traces = any(_answers(self._scope, ids) for ids in self._scope.groups())
            return self._has_traces


def prompt_links(scope: Scope) -> Iterator[tuple[str, str] | Gap]:
    """Yield (trace id, ``name/version``) for each link of a trace to a prompt version, and gaps."""
    groups = list(scope.groups())
    if not groups or not _answers(scope, groups[0], "prompt = 'any/1'", empty_counts=True):
        return  # no server before 3.5 keeps such links
    for prompt in _prompt_versions(scope):
        if isinstance(prompt, Gap):
            yield prompt
            continue
        for row in _traces(scope, f"prompt = '{prompt}'", f"links to prompt {prompt}"):
            yield row if isinstance(row, Gap) else (str(trace_id_of(row)), prompt)


def search_body(experiment_ids: Sequence[str], filter_string: str | None = None) -> dict[str, Any]:
    """Return the body of a search for traces, in a stable order."""
    places = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": i}} for i in experiment_ids]
    return {"locations": places, "order_by": list(ORDER), **({"filter": filter_string} if filter_string else {})}


def trace_id_of(row: Json) -> object:
    """Return the id of a trace in an answer of either version of the API."""
    return row.get("trace_id") or row.get("request_id")


def _traces(scope: Scope, filter_string: str, place: str) -> Iterator[Json | Gap]:
    """Yield the traces that a filter takes; ``place`` names in gaps what could not be looked for."""
    for ids in scope.groups():
        ask = posting(scope, TRACE, SEARCH, "traces", **search_body(ids, filter_string))
        for page in pages(ask, trace_id_of, size=MOST_TRACES):
            yield from page.rows
            yield from (gap_of(TRACE, "", place, loss.reason) for loss in page.losses)


def _answers(
    scope: Scope, experiment_ids: list[str], filter_string: str | None = None, *, empty_counts: bool = False
) -> bool:
    """Return whether a search for traces finds one, or with ``empty_counts`` whether it is understood."""
    try:
        answer = scope.session.post(SEARCH, {**search_body(experiment_ids, filter_string), "max_results": 1})
    except ServerError as exc:
        check_answered(exc)
        return not is_unknown_request(exc) and exc.status != HTTPStatus.BAD_REQUEST
    return empty_counts or bool(isinstance(answer, Mapping) and answer.get("traces"))


def _prompt_versions(scope: Scope) -> Iterator[str | Gap]:
    """Yield ``name/version`` of all prompts, and gaps for what the server does not show of them."""
    ask = asking(scope, REGISTERED_MODEL, "/api/2.0/mlflow/model-versions/search", "model_versions", filter=PROMPTS)
    for page in pages(if_understood(ask), lambda row: (row.get("name"), row.get("version")), size=1000):
        yield from (f"{row['name']}/{row['version']}" for row in page.rows if row.get("name"))
        yield from (gap_of(TRACE, "", "links to prompts", loss.reason) for loss in page.losses)
