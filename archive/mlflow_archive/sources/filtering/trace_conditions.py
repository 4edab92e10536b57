"""Conditions on the spans and the assessments of traces, as MLflow's SQL judges them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.sources.filtering.comparing import Dialect, Holds, comparison

_ATTRIBUTES: Final = "attributes."
_OLDER_MS: Final = 10_000
"""So much earlier than its trace may a span begin for MLflow to search it."""
_OF_SESSION: Final = '"mlflow.trace.session":'
_NUMERIC: Final = frozenset({"<", "<=", ">", ">="})

Row = Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class SpanConditions:
    """Conditions that one span must fulfil all; ``since_ms`` is from when on the filter takes traces."""

    since_ms: float | None
    _held: list[tuple[str, Holds]] = field(default_factory=list)

    def add(self, key: str, comparator: str, wanted: Any, dialect: Dialect) -> None:
        """Add one. Raises SelectionError for what MLflow's SQL cannot carry out."""
        if not key.startswith(_ATTRIBUTES):
            self._held.append((key, comparison(comparator, wanted, dialect)))
            return
        name = key.removeprefix(_ATTRIBUTES)
        name = name[1:-1] if len(name) >= 2 and name[0] == name[-1] == "`" else name
        if comparator.endswith("IN"):
            raise SelectionError(f"MLflow compares span.{key} with one text, not with several")
        pattern = _in_json(name, wanted) if comparator == "RLIKE" else f'%"{name}"{wanted}%'
        self._held.append(("content", comparison(comparator, pattern, dialect)))

    def fits(self, span: Row, experiment_id: str) -> bool:
        """Say whether a row of ``spans`` fulfils all, of a trace in an experiment."""
        earliest = None if self.since_ms is None else (self.since_ms - _OLDER_MS) * 1_000_000
        if span["experiment_id"] != experiment_id or (earliest and span["start_time_unix_nano"] < earliest):
            return False
        return all(holds(span[column]) for column, holds in self._held)


def _in_json(name: str, wanted: str) -> str:
    r"""Return MLflow's regular expression for an attribute in a span's JSON, ``"name": "\"value\""``."""
    starts, ends = wanted.startswith("^"), wanted.endswith("$")
    before = '"\\\\"' if starts else '"\\\\".*'
    after = '\\\\"' if ends else ""
    value = wanted[1:] if starts else wanted
    return f'"{name}": {before}{value[:-1] if ends else value}{after}'


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AssessmentCondition:
    """A condition on the assessments of one kind and name; without ``holds`` any value will do.

    ``negated`` takes traces that have none. ``by_session`` says that an assessment of a session counts for its traces.
    """

    kind: str
    name: str
    holds: Holds | None = None
    negated: bool = False
    by_session: bool = True

    def fits(self, assessment: Row) -> bool:
        """Say whether a row of ``assessments`` is of the kind and name and of such a value."""
        if (assessment["assessment_type"], assessment["name"]) != (self.kind, self.name):
            return False
        valid = self.kind == "issue" or assessment["valid"]
        return bool(valid and (self.holds is None or self.holds(assessment["value"])))

    def is_of_session(self, assessment: Row) -> bool:
        """Say whether an assessment is one of a whole session."""
        return self.by_session and _OF_SESSION in (assessment["metadata"] or "")

    def holds_for(self, assessments: Iterable[Row], *, covered: bool) -> bool:
        """Judge a trace; ``covered`` says that one of its session fits."""
        return (covered or any(self.fits(one) for one in assessments)) is not self.negated


def assessment_condition(kind: str, name: str, comparator: str, wanted: Any, dialect: Dialect) -> AssessmentCondition:
    """Return the condition ``feedback.name > 0.5`` and the like; of issues, ``issue.id = 'iss-…'``."""
    if kind == "issue":
        return AssessmentCondition(kind=kind, name=wanted, by_session=False)
    if comparator.startswith("IS "):
        return AssessmentCondition(kind=kind, name=name, negated=comparator == "IS NULL")
    return AssessmentCondition(kind=kind, name=name, holds=_of_json(comparator, wanted, dialect))


def _of_json(comparator: str, wanted: Any, dialect: Dialect) -> Holds:
    """Compare the JSON text of a value: as a number, as this very text or the text in it, else as text."""
    if comparator in _NUMERIC:
        holds = comparison(comparator, wanted, dialect)
        return lambda text: holds(_number(text))
    if comparator in ("=", "!="):
        same = (wanted, json.dumps(wanted))
        return lambda text: (text in same) is (comparator == "=")
    return comparison(comparator, wanted, dialect)


def _number(text: str) -> float | None:
    """Return a value that MLflow counts as a number."""
    from mlflow.store.tracking.utils.trace_analytics import assessment_aggregate  # noqa: PLC0415

    try:
        number, is_number = assessment_aggregate(json.loads(text))
    except ValueError:
        return None
    return float(number) if is_number and number is not None else None
