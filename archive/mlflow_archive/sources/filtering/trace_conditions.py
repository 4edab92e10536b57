"""Conditions on the spans and the assessments of traces, as MLflow's SQL judges them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.json_text import parse_json
from mlflow_archive.sources.filtering.comparing import Dialect, Holds, comparison
from mlflow_archive.sources.reading.trace_columns import aggregate_of

_ATTRIBUTES: Final = "attributes."
_OLDER_MS: Final = 10_000
"""How much earlier than its trace a span may begin for MLflow to search it."""
_OF_SESSION: Final = '"mlflow.trace.session":'
_NUMERIC: Final = frozenset({"<", "<=", ">", ">="})

Row = Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class SpanConditions:
    """Conditions that one span must all fulfil; ``since_ms`` is the time from which on the filter selects traces."""

    since_ms: float | None
    _conditions: list[tuple[str, Holds]] = field(default_factory=list)

    def add(self, key: str, comparator: str, operand: Any, dialect: Dialect) -> None:
        """Add a condition. Raises SelectionError for what MLflow's SQL cannot carry out."""
        if not key.startswith(_ATTRIBUTES):
            self._conditions.append((key, comparison(comparator, operand, dialect)))
            return
        name = key.removeprefix(_ATTRIBUTES)
        name = name[1:-1] if len(name) >= 2 and name[0] == name[-1] == "`" else name
        if comparator.endswith("IN"):
            raise SelectionError(f"MLflow compares span.{key} with one text, not with several")
        pattern = _in_json(name, operand) if comparator == "RLIKE" else f'%"{name}"{operand}%'
        self._conditions.append(("content", comparison(comparator, pattern, dialect)))

    def fits(self, span: Row, experiment_id: str) -> bool:
        """Return whether a row of ``spans`` of a trace in an experiment fulfils all conditions."""
        earliest = None if self.since_ms is None else (self.since_ms - _OLDER_MS) * 1_000_000
        if span["experiment_id"] != experiment_id or (earliest and span["start_time_unix_nano"] < earliest):
            return False
        return all(holds(span[column]) for column, holds in self._conditions)


def _in_json(name: str, operand: str) -> str:
    r"""Return MLflow's regular expression for an attribute in a span's JSON, ``"name": "\"value\""``."""
    starts, ends = operand.startswith("^"), operand.endswith("$")
    before = '"\\\\"' if starts else '"\\\\".*'
    after = '\\\\"' if ends else ""
    value = operand[1:] if starts else operand
    return f'"{name}": {before}{value[:-1] if ends else value}{after}'


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AssessmentCondition:
    """A condition on the assessments of one kind and name; without ``holds`` any value will do.

    ``negated`` selects traces that have none. With ``by_session`` an assessment of a session counts for its traces.
    """

    kind: str
    name: str
    holds: Holds | None = None
    negated: bool = False
    by_session: bool = True

    def fits(self, assessment: Row) -> bool:
        """Return whether a row of ``assessments`` has the kind and name, and a value for which the condition holds."""
        if (assessment["assessment_type"], assessment["name"]) != (self.kind, self.name):
            return False
        valid = self.kind == "issue" or assessment["valid"]
        return bool(valid and (self.holds is None or self.holds(assessment["value"])))

    def is_of_session(self, assessment: Row) -> bool:
        """Return whether an assessment is one of a whole session."""
        return self.by_session and _OF_SESSION in (assessment["metadata"] or "")

    def holds_for(self, assessments: Iterable[Row], *, covered: bool) -> bool:
        """Return whether a trace is selected; ``covered`` if an assessment of its session fits."""
        return (covered or any(self.fits(assessment) for assessment in assessments)) is not self.negated


def assessment_condition(kind: str, name: str, comparator: str, operand: Any, dialect: Dialect) -> AssessmentCondition:
    """Return the condition ``feedback.name > 0.5`` and the like; of issues, ``issue.id = 'iss-…'``."""
    if kind == "issue":
        return AssessmentCondition(kind=kind, name=operand, by_session=False)
    if comparator.startswith("IS "):
        return AssessmentCondition(kind=kind, name=name, negated=comparator == "IS NULL")
    return AssessmentCondition(kind=kind, name=name, holds=_of_json(comparator, operand, dialect))


def _of_json(comparator: str, operand: Any, dialect: Dialect) -> Holds:
    """Compare the JSON text of a value: as a number, as this very text or the text in it, else as text."""
    if comparator in _NUMERIC:
        holds = comparison(comparator, operand, dialect)
        return lambda text: holds(_number(text))
    if comparator in ("=", "!="):
        forms = (operand, json.dumps(operand))
        return lambda text: (text in forms) is (comparator == "=")
    return comparison(comparator, operand, dialect)


def _number(text: str) -> float | None:
    """Return a value that MLflow counts as a number."""
    try:
        number, is_number = aggregate_of(parse_json(text))
    except ValueError:
        return None
    return number if is_number else None
