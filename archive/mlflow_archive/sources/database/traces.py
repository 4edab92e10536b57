"""Traces of a database that match a filter in MLflow's search syntax."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.sources.database.columns import Columns, slices
from mlflow_archive.sources.database.reading import Reading, ignore_malformed
from mlflow_archive.sources.database.runs import plain
from mlflow_archive.sources.filtering.comparing import DIALECTS
from mlflow_archive.sources.filtering.trace_conditions import AssessmentCondition, SpanConditions
from mlflow_archive.sources.filtering.trace_filter import SearchedTrace, compile_trace_filter, session_of

_JUDGED: Final = ("traces", "trace_tags", "trace_metadata", "trace_links")
_OF_ASSESSMENTS: Final = ("trace_id", "assessment_type", "name", "value", "valid", "assessment_metadata")
_TRACES_AT_ONCE: Final = 128

Rows = dict[str, list[dict[str, Any]]]
"""Trace id -> rows."""


class TraceJudge:
    """Gives those of some traces that a filter takes. Raises SelectionError for what is not a filter."""

    def __init__(self, reading: Reading, columns: Columns, filter_string: str, dialect: str) -> None:
        self._reading, self._columns = reading, columns
        self._filter = compile_trace_filter(filter_string, DIALECTS[dialect])
        self._sessions: dict[AssessmentCondition, set[str]] | None = None

    def __call__(self, ids: Sequence[str], experiments: Collection[str]) -> Sequence[str]:
        """Return those that match; MLflow looks for assessments of whole sessions in ``experiments``, all selected."""
        if self._sessions is None:
            conditions = self._filter.assessments
            self._sessions = {condition: self._sessions_of(condition, experiments) for condition in conditions}
        rows = {name: self._by_trace(name, ids) for name in _JUDGED}
        assessments = self._by_trace("assessments", ids) if self._filter.assessments else {}
        fit = set() if self._filter.spans is None else self._with_span(self._filter.spans, ids, rows["traces"])
        matching = []
        for trace_id in ids:
            info = rows["traces"].get(trace_id)
            tags, metadata = (_pairs(rows[name].get(trace_id, [])) for name in ("trace_tags", "trace_metadata"))
            if not info:  # one that cannot be read comes along, so that it is reported
                matching.append(trace_id)
                continue
            trace = SearchedTrace(
                info=info[0],
                tags=tags,
                metadata=metadata,
                links=rows["trace_links"].get(trace_id, []),
                assessments=assessments.get(trace_id, []),
                span_fits=trace_id in fit,
                covered=self._covered(session_of(info[0], metadata), self._sessions),
            )
            matching += [trace_id] if self._filter([trace]) else []
        return matching

    def _with_span(self, conditions: SpanConditions, ids: Sequence[str], traces: Rows) -> set[str]:
        """Return those of some traces of which a span fits; spans may be large, so few are held at once."""
        experiments = {trace_id: rows[0]["experiment_id"] for trace_id, rows in traces.items()}
        trace_ids: set[str] = set()
        for batch in self._reading.batches(MAPS["spans"], ids, ignore_malformed):
            for span in plain(batch):
                trace_id = span["trace_id"]
                if trace_id not in trace_ids and conditions.fits(span, experiments.get(trace_id, "")):
                    trace_ids.add(trace_id)
        return trace_ids

    def _covered(
        self, session: str | None, sessions: Mapping[AssessmentCondition, set[str]]
    ) -> list[AssessmentCondition]:
        return [condition for condition, names in sessions.items() if session in names]

    def _traces_of(self, condition: AssessmentCondition) -> list[str]:
        """Return the traces with an assessment of a whole session that fits."""
        rows_of_name = self._columns.rows("assessments", _OF_ASSESSMENTS, where=("name", [condition.name]))
        rows = ({**dict(zip(_OF_ASSESSMENTS, row, strict=True)), "metadata": row[-1]} for row in rows_of_name)
        return sorted({row["trace_id"] for row in rows if condition.is_of_session(row) and condition.fits(row)})

    def _sessions_of(self, condition: AssessmentCondition, experiments: Collection[str]) -> set[str]:
        """Return the sessions with an assessment of all their traces that fits, on a trace of the experiments."""
        if not condition.by_session or not self._columns.has("assessments"):
            return set()
        sessions: set[str] = set()
        for ids in slices(self._traces_of(condition), _TRACES_AT_ONCE):
            metadata = self._by_trace("trace_metadata", ids)
            for trace_id, [info] in self._by_trace("traces", ids).items():
                session = session_of(info, _pairs(metadata.get(trace_id, [])))
                if session and info["experiment_id"] in experiments:
                    sessions.add(session)
        return sessions

    def _by_trace(self, name: str, ids: Sequence[str]) -> Rows:
        rows: Rows = {}
        for row in plain(self._reading.rows(MAPS[name], ids, ignore_malformed)):
            rows.setdefault(row["trace_id"], []).append(row)
        return rows


def _pairs(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {row["key"]: row["value"] for row in rows}
