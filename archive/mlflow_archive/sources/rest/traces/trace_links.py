"""Which traces belong to which runs and prompts: no answer about a trace says so, only searches for traces do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from threading import Lock
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.http.refusals import is_unknown_request
from mlflow_archive.kinds import TRACE
from mlflow_archive.sources.rest.cells import Json
from mlflow_archive.sources.rest.lists import Loss, asking, if_understood, pages, posting
from mlflow_archive.sources.rest.scope import Scope, gaps_of

SEARCH: Final = "/api/3.0/mlflow/traces/search"
MOST_TRACES: Final = 500
ORDER: Final = ("timestamp_ms ASC",)
PROMPTS: Final = "tags.`mlflow.prompt.is_prompt` = 'true'"


class TraceLinks:
    """Looks for the traces of runs; what is found is kept in the scope. Used by several threads."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._lock = Lock()
        self._is_worth_it: bool | None = None

    def look_for(self, run_ids: Sequence[str]) -> list[Gap]:
        """Look for the traces of some runs, if traces are selected and there are any; return gaps."""
        scope = self._scope
        if not scope.selection.wants_kind(TRACE) or not run_ids or not self._worth_it():
            return []
        lost: list[Gap] = []
        for run_id in run_ids:
            for row in _found(scope, f"attributes.run_id = '{run_id}'", f"links to run {run_id}"):
                if isinstance(row, Gap):
                    lost.append(row)
                else:
                    scope.link([str(trace_id_of(row))], run_id)
        return lost

    def _worth_it(self) -> bool:
        with self._lock:
            if self._is_worth_it is None:
                self._is_worth_it = any(_answers(self._scope, ids) for ids in self._scope.groups())
            return self._is_worth_it


def prompt_links(scope: Scope) -> Iterator[tuple[str, str] | Gap]:
    """Yield (trace id, ``name/version``) for each link of a trace to a prompt version, and gaps."""
    groups = list(scope.groups())
    if not groups or not _answers(scope, groups[0], "prompt = 'any/1'", empty_counts=True):
        return  # no server before 3.5 keeps such links
    for name, version in _prompt_versions(scope):
        prompt = f"{name}/{version}"
        for row in _found(scope, f"prompt = '{prompt}'", f"links to prompt {prompt}"):
            yield row if isinstance(row, Gap) else (str(trace_id_of(row)), prompt)


def search_body(experiment_ids: Sequence[str], filter_string: str | None = None) -> dict[str, Any]:
    """Return the body of a search for traces, in a stable order."""
    places = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": each}} for each in experiment_ids]
    return {"locations": places, "order_by": list(ORDER), **({"filter": filter_string} if filter_string else {})}


def trace_id_of(row: Json) -> object:
    """Return the id of a trace in an answer of either version of the API."""
    return row.get("trace_id") or row.get("request_id")


def _found(scope: Scope, filter_string: str, what: str) -> Iterator[Json | Gap]:
    for ids in scope.groups():
        ask = posting(scope.session, SEARCH, "traces", **search_body(ids, filter_string))
        for page in pages(ask, trace_id_of, size=MOST_TRACES):
            yield from page.rows
            yield from gaps_of(TRACE, [Loss(place=what, reason=loss.reason) for loss in page.lost])


def _answers(
    scope: Scope, experiment_ids: list[str], filter_string: str | None = None, *, empty_counts: bool = False
) -> bool:
    """Say whether a search for traces finds one, or with ``empty_counts`` whether it is understood."""
    try:
        answer = scope.session.post(SEARCH, {**search_body(experiment_ids, filter_string), "max_results": 1})
    except ServerError as exc:
        if exc.status is None:
            raise
        return not is_unknown_request(exc) and exc.status != HTTPStatus.BAD_REQUEST
    return empty_counts or bool(isinstance(answer, Mapping) and answer.get("traces"))


def _prompt_versions(scope: Scope) -> Iterator[tuple[str, str]]:
    """Yield (name, version) of all prompts; that some cannot be read is told where the registry is read."""
    ask = asking(scope.session, "/api/2.0/mlflow/model-versions/search", "model_versions", filter=PROMPTS)
    for page in pages(if_understood(ask), lambda row: (row.get("name"), row.get("version")), size=1000):
        yield from ((str(row["name"]), str(row["version"])) for row in page.rows if row.get("name"))
