"""What MLflow derives of traces: columns of the archive, whatever place a source has for them.

MLflow 3.17 keeps name, session, tokens and cost of a trace in columns of its database and makes tags and metadata of
them for each answer. Before it (revision 75868b020152 of the schema), in file stores and in exports of other tools
they are tags and metadata. Of spans and assessments it keeps beside them what its analytics ask for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TypeVar

from mlflow_archive.format.json_text import parse_json
from mlflow_archive.kinds.traces import COSTS, TOKENS
from mlflow_archive.sources.reading.rows import Cell

NAME_TAG: Final = "mlflow.traceName"
SESSION: Final = "mlflow.trace.session"
USAGE: Final = "mlflow.trace.tokenUsage"
COST: Final = "mlflow.trace.cost"
_LONGEST: Final = {"trace_name": 4096, "session_id": 250}
"""Characters that MLflow's columns hold; what is longer stays a tag, whole."""

_LONGEST_DIMENSION: Final = 500
"""Characters of a model's or provider's name that MLflow's columns hold."""

_WORDS: Final = {"yes": 1.0, "no": 0.0}

Value = TypeVar("Value", str, str | None)
Columns = dict[str, str | int | float | None]


def take_columns(tags: MutableMapping[str, Value], metadata: MutableMapping[str, Value]) -> Columns:
    """Take out of tags and metadata what MLflow keeps in columns; what no column could hold stays there."""
    columns: Columns = {}
    for pairs, key, name in ((tags, NAME_TAG, "trace_name"), (metadata, SESSION, "session_id")):
        text = pairs.get(key)
        if text is not None and len(text) <= _LONGEST[name]:
            columns[name] = text
            del pairs[key]
    for key, names, kinds in ((USAGE, TOKENS, (int,)), (COST, COSTS, (int, float))):
        values = _object(metadata.get(key))
        if values and all(name in names and type(number) in kinds for name, number in values.items()):
            del metadata[key]
            columns |= {name: kinds[-1](number) for name, number in values.items()}
    return columns


def span_columns(attributes: Mapping[str, Any]) -> Columns:
    """Return costs in US dollars, model and provider of a span, out of its attributes, as MLflow's SQL store does."""
    costs = decoded_json(attributes.get("mlflow.llm.cost"))
    numbers = costs if isinstance(costs, dict) else {}
    return {
        **{name: _finite(numbers.get(name)) for name in COSTS},
        "model_name": _dimension(attributes.get("mlflow.llm.model")),
        "model_provider": _dimension(attributes.get("mlflow.llm.provider")),
    }


def assessment_columns(value: Any, experiment_id: Cell, trace_time: Cell) -> dict[str, Any]:
    """Return what MLflow's SQL store keeps beside the value of an assessment. ``trace_time`` is in milliseconds."""
    aggregate, is_numeric = aggregate_of(value)
    return {
        "experiment_id": experiment_id,
        "trace_timestamp": trace_time,
        "aggregate_value": aggregate,
        "is_numeric_value": is_numeric,
    }


def aggregate_of(value: Any) -> tuple[float | None, bool]:
    """Return the number that MLflow's analytics take a value for, and whether it is one itself."""
    if isinstance(value, bool):
        return float(value), False
    if isinstance(value, int | float):
        number = _finite(value)
        return number, number is not None
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower()), False
    return None, False


def decoded_json(value: Any) -> Any:
    """Return what lies as JSON in a text, such as an attribute of a span; what is not JSON is the value itself."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError:
        return value


def _dimension(value: Any) -> str | None:
    decoded = decoded_json(value)
    return decoded[:_LONGEST_DIMENSION] if isinstance(decoded, str) else None


def _finite(value: Any) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _object(value: str | None) -> dict[str, Any]:
    try:
        content = parse_json(value or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
