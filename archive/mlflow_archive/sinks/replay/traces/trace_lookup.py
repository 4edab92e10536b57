"""Which traces the target has already, and what their info says there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.sinks.replay.target.target import Api
from mlflow_archive.sinks.replay.traces.trace_info import IDENTITY, SOURCE_TRACE_ID, SPANS_LOCATION, PlannedTrace
from mlflow_archive.sinks.replay.writing.failures import (
    check_one_item,
    get_or_none,
    is_unknown_there,
)

TRACES: Final = "/api/3.0/mlflow/traces"
SHOWN_TAG: Final = 4096
SHOWN_METADATA: Final = 250
"""MLflow's API cuts longer values to so many characters."""

_PER_REQUEST: Final = 100
_SPANS: Final = "/ajax-api/2.0/mlflow/get-trace-artifact"

Info = Mapping[str, Any]


class TraceLookup:
    """Reads traces of the target. Usable by several threads."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._in_bulk = True

    def infos(self, trace_ids: Sequence[str]) -> dict[str, Info]:
        """Return the TraceInfo in JSON of each trace that is there. Raises ServerError, also where it has no traces."""
        infos: dict[str, Info] = {}
        for at in range(0, len(trace_ids), _PER_REQUEST):
            batch = trace_ids[at : at + _PER_REQUEST]
            infos.update((info["trace_id"], info) for info in self._infos(batch))
        return infos

    def _infos(self, trace_ids: Sequence[str]) -> Sequence[Info]:
        if self._in_bulk:
            try:
                answer = self._api.post(f"{TRACES}/batchGetInfos", {"trace_ids": list(trace_ids)})
            except ServerError as exc:
                if not is_unknown_there(exc):
                    raise
                self._in_bulk = False
            else:
                return answer.get("trace_infos", [])  # type: ignore[no-any-return]
        return [info for info in map(self._info, trace_ids) if info is not None]

    def _info(self, trace_id: str) -> Info | None:
        answer = get_or_none(self._api, f"{TRACES}/{quote(trace_id, safe='')}")
        return None if answer is None else answer["trace"]["trace_info"]

    def spans(self, trace_id: str) -> list[Any]:
        """Return the spans of the target's table, in MLflow's JSON. Raises ItemError for any other answer."""
        try:
            answer = self._api.get(_SPANS, {"request_id": trace_id})
        except ServerError as exc:
            check_one_item(exc)
            message = f"the target does not show the spans of trace {trace_id}: {exc}"
            raise ItemError(message) from exc
        spans = answer.get("spans") if isinstance(answer, dict) else None
        if not isinstance(spans, list):
            message = f"the target gives no spans for trace {trace_id}"
            raise ItemError(message)
        return spans


def experiment_of(info: Info) -> str:
    """Return the experiment a trace lies in."""
    return str(info.get("trace_location", {}).get("mlflow_experiment", {}).get("experiment_id", ""))


def was_imported(info: Info, plan: PlannedTrace) -> bool:
    """Return whether a trace of the target was made by an import of this very trace."""
    tags = info.get("tags", {})
    return plan.source_id in (tags.get(SOURCE_TRACE_ID), tags.get(IDENTITY))


def is_as_imported(info: Info, plan: PlannedTrace, assessment_ids: set[str]) -> bool:
    """Return whether nothing was added to a trace since it was imported."""
    added = set(info.get("tags", {})) - plan.tags.keys() - {SPANS_LOCATION, "mlflow.artifactLocation"}
    assessed = {assessment.get("assessment_id") for assessment in info.get("assessments", [])} - assessment_ids
    return was_imported(info, plan) and not added and not assessed


def comparable(info: Info) -> str:
    """Return a text that is the same for two infos of a trace that differ in nothing but where its spans lie."""
    tags = {key: value for key, value in info.get("tags", {}).items() if key != SPANS_LOCATION}
    assessments = sorted(info.get("assessments", []), key=lambda assessment: str(assessment.get("assessment_id")))
    return json.dumps({**info, "tags": tags, "assessments": assessments}, sort_keys=True)


def same_spans(spans: Sequence[Any], other_spans: Sequence[Any]) -> bool:
    """Return whether two lists hold the same spans: same order of fields, same numbers, in any order of spans."""
    return sorted(map(json.dumps, spans)) == sorted(map(json.dumps, other_spans))
