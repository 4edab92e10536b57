"""Spans from a trace's ``traces.json``, as the rows that MLflow's database holds of them."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from mlflow_archive.artifact_roots.local import FoundFile
from mlflow_archive.flow.chunk import ArtifactUnreadableError
from mlflow_archive.format.json_text import parse_json
from mlflow_archive.sources.reading.fields import NOTHING, ValueMalformedError, integer_of, json_of, printable, text_of
from mlflow_archive.sources.reading.rows import Row

SPANS_FILE: Final = "traces.json"
_TYPE: Final = "mlflow.spanType"
_KNOWN: Final = frozenset({"spans", "request", "response"})
"""Request and response are those of the first span, which MLflow 2 wrote once more."""
_CODE: Final = "STATUS_CODE_"
_STATUSES: Final = frozenset({"OK", "ERROR", "UNSET"})
_HEX_ID: Final = re.compile(r"(?:0x)?([0-9a-f]{16})")


def span_rows(file: FoundFile, trace_id: str, experiment_id: str) -> tuple[list[Row], list[str]]:
    """Return the rows of ``spans``, and the names of what the file holds beside them.

    Raises ValueMalformedError where the file is not what MLflow writes.
    """
    try:
        with file.open() as stream:
            content = json.load(stream)
    except (ValueError, RecursionError, ArtifactUnreadableError) as error:
        raise ValueMalformedError(str(error)) from error
    spans = content.get("spans") if isinstance(content, Mapping) else None
    if not isinstance(spans, list):
        raise ValueMalformedError("it has no list of spans")
    rows = [_row(span, trace_id, experiment_id) for span in spans]
    if len({row["span_id"] for row in rows}) < len(rows):
        raise ValueMalformedError("two spans have one id")
    return rows, [f"payload/{printable(name)}" for name in content.keys() - _KNOWN if content[name] not in NOTHING]


def _row(span: Any, trace_id: str, experiment_id: str) -> Row:
    try:
        status, attributes = span["status"]["code"], span["attributes"]
        parent = span["parent_span_id"]
        return {
            "trace_id": trace_id,
            "span_id": _id(span["span_id"]),
            "experiment_id": experiment_id,
            "parent_span_id": _id(parent) if parent else None,
            "name": text_of(span["name"]),
            "type": _type(attributes),
            "status": _status(status),
            "start_time_unix_nano": integer_of(span["start_time_unix_nano"]),
            "end_time_unix_nano": None if not span["end_time_unix_nano"] else integer_of(span["end_time_unix_nano"]),
            "content": json_of(span, ascii_only=False),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueMalformedError(f"a span is not as MLflow 3 writes it: {error!r}") from error


def _id(value: Any) -> str:
    """Return the 16 hexadecimal digits of an id that is written so or, mostly, in base64."""
    text = text_of(value)
    if match := _HEX_ID.fullmatch(text):
        return match[1]
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 8:
        raise ValueMalformedError(f"{text!r} is no id of a span")
    return raw.hex()


def _type(attributes: Mapping[str, Any]) -> str | None:
    value = attributes.get(_TYPE)
    if not isinstance(value, str):
        return None
    try:
        text = parse_json(value)
    except ValueError:
        return value
    return text if isinstance(text, str) else value


def _status(code: Any) -> str:
    status = text_of(code).removeprefix(_CODE)
    if status not in _STATUSES:
        raise ValueMalformedError(f"{code!r} is no status of a span")
    return status
