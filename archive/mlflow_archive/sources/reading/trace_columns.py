"""Name, session, tokens and cost of a trace: columns of the archive, whatever place a source has for them.

MLflow 3.17 keeps them in columns of its database and makes tags and metadata of them for each answer. Before it
(revision 75868b020152 of the schema), in file stores and in exports of other tools they are tags and metadata.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final, TypeVar

from mlflow_archive.format.json_text import parse_json
from mlflow_archive.kinds.traces import COSTS, TOKENS

NAME_TAG: Final = "mlflow.traceName"
SESSION: Final = "mlflow.trace.session"
USAGE: Final = "mlflow.trace.tokenUsage"
COST: Final = "mlflow.trace.cost"
_LONGEST: Final = {"trace_name": 4096, "session_id": 250}
"""Characters that MLflow's columns hold; what is longer stays a tag, whole."""

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
            columns |= {name: number if kinds == (int,) else float(number) for name, number in values.items()}
    return columns


def _object(value: str | None) -> dict[str, Any]:
    try:
        content = parse_json(value or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
