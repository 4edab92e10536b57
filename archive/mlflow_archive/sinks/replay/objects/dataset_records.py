"""Records of evaluation datasets, as MLflow's API takes them."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from mlflow_archive.errors import ItemError
from mlflow_archive.kinds import RUN, TRACE
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.writing.rows import Row

_WRAPPED: Final = "mlflow_wrapped"
"""MLflow's database wraps outputs in an object with this key."""

_USER: Final = "mlflow.user"


def record_body(row: Row, context: ReplayContext) -> dict[str, Any]:
    """Return a record with the references of the target. Raises ItemError where a text is no JSON as expected."""
    inputs = _json(row, "inputs")
    if not isinstance(inputs, dict):
        message = f"its inputs are {row['inputs'][:200]!r}, expected an object"
        raise ItemError(message)
    outputs = _json(row, "outputs")
    if isinstance(outputs, dict) and outputs.keys() == {_WRAPPED}:
        outputs = outputs[_WRAPPED]
    tags = _json(row, "tags")
    user = tags.get(_USER) if isinstance(tags, dict) else None
    context.receipt.changed("record_creators", row["created_by"] not in (None, user))
    body = {
        "inputs": inputs,
        "outputs": outputs,  # null must be said, or MLflow makes it an empty object
        "expectations": _json(row, "expectations"),
        "tags": tags,
        "source": _source(row, context),
    }
    return {name: value for name, value in body.items() if value is not None or name == "outputs"}


def input_hash(inputs: Any) -> str:
    """Return what MLflow tells records apart by."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _source(row: Row, context: ReplayContext) -> Any:
    source = _json(row, "source")
    data = source.get("source_data") if isinstance(source, dict) else None
    if not isinstance(data, dict):
        return source
    mapped = dict(data)
    for name, kind in (("trace_id", TRACE), ("run_id", RUN)):
        if isinstance(data.get(name), str):
            mapped[name] = context.mapped(kind, data[name]) or data[name]
    return {**source, "source_data": mapped}


def _json(row: Row, column: str) -> Any:
    if row[column] is None:
        return None
    try:
        return json.loads(row[column])
    except ValueError as exc:
        message = f"its {column} are no JSON: {row[column][:200]!r}"
        raise ItemError(message) from exc
