"""Spans out of the JSON in which the server gives the payload of a trace: each span's text unchanged, and its row."""

from __future__ import annotations

import base64
import re
from collections.abc import Generator, Iterator
from json.decoder import JSONDecoder
from typing import Any, Final

from mlflow_archive.sources.reading.fields import NOTHING, printable
from mlflow_archive.sources.reading.trace_columns import decoded_json, span_columns
from mlflow_archive.sources.rest.cells import Row

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = JSONDecoder()


def span_texts(payload: str, unread: list[str] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the text of each element of the list ``spans`` of a JSON object, and its value.

    The names of what else it holds are added to ``unread``. Raises ValueError where the payload is not such an object.

    >>> [text for text, _ in span_texts('{"spans": [{"a": 1.0},{ "b":2}]}')]
    ['{"a": 1.0}', '{ "b":2}']
    """
    at = _expect(payload, 0, "{")
    while payload[at : at + 1] != "}":
        key, at = _DECODER.raw_decode(payload, at)
        at = _expect(payload, at, ":")
        if key == "spans":
            at = yield from _elements(payload, at)
        else:
            value, at = _DECODER.raw_decode(payload, at)
            if unread is not None and value not in NOTHING:
                unread.append(f"payload/{printable(key)}")
        at = _skip(payload, at)
        if payload[at : at + 1] == ",":
            at = _skip(payload, at + 1)
        elif payload[at : at + 1] != "}":
            message = f"expected , or }} at character {at}"
            raise ValueError(message)


def _elements(payload: str, at: int) -> Generator[tuple[str, dict[str, Any]], None, int]:
    at = _expect(payload, at, "[")
    while payload[at : at + 1] != "]":
        value, end = _DECODER.raw_decode(payload, at)
        if not isinstance(value, dict):
            message = f"expected a span at character {at}"
            raise ValueError(message)  # noqa: TRY004 - the text is wrong, no argument is
        yield payload[at:end], value
        at = _skip(payload, end)
        if payload[at : at + 1] == ",":
            at = _skip(payload, at + 1)
        elif payload[at : at + 1] != "]":
            message = f"expected , or ] at character {at}"
            raise ValueError(message)
    return at + 1


def _expect(payload: str, at: int, character: str) -> int:
    at = _skip(payload, at)
    if payload[at : at + 1] != character:
        message = f"expected {character} at character {at}"
        raise ValueError(message)
    return _skip(payload, at + 1)


def _skip(payload: str, at: int) -> int:
    space = _SPACE.match(payload, at)
    return at if space is None else space.end()


def span_row(content: str, span: dict[str, Any], trace_id: str, experiment_id: str) -> Row:
    """Return the row of a span as MLflow's SQL store derives it; raise one of UNREADABLE_ROW."""
    attributes = span.get("attributes") or {}
    parent = span.get("parent_span_id")
    status = span.get("status") or {}
    end = span.get("end_time_unix_nano")
    return {
        "trace_id": trace_id,
        "experiment_id": experiment_id,
        "span_id": _hexadecimal(span["span_id"]),
        "parent_span_id": _hexadecimal(parent) if parent else None,
        "name": str(span["name"]),
        "type": str(decoded_json(attributes.get("mlflow.spanType")) or "UNKNOWN"),
        "status": str(status.get("code", "STATUS_CODE_UNSET")).removeprefix("STATUS_CODE_"),
        "start_time_unix_nano": int(span["start_time_unix_nano"]),
        "end_time_unix_nano": None if end is None else int(end),
        "content": content,
        **span_columns(attributes),
    }


def _hexadecimal(value: str) -> str:
    """Return an id as the store keeps it; version 3 of MLflow's schema has it in base64, older ones as it is."""
    if re.fullmatch(r"(0x)?[0-9a-f]{16}", value):
        return value.removeprefix("0x")
    return base64.b64decode(value, validate=True).hex()
