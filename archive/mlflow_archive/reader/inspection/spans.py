"""The spans of a trace, wherever the archive holds them: as rows of ``spans``, or in the artifact ``traces.json``."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.json_text import parse_json
from mlflow_archive.kinds import TRACE
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.reader.inspection.nesting import nested

PAYLOAD: Final = "traces.json"
LARGEST_PAYLOAD: Final = 256 * 1024 * 1024
"""A larger file of spans is not read as a whole, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span; times in ns since the epoch. ``attributes`` are as MLflow wrote them, each value JSON text.

    ``error`` is what it failed with: the message of its status, or of the exception that was recorded.
    """

    span_id: str
    parent_id: str | None
    name: str
    type: str | None
    status: str | None
    start_ns: int | None
    end_ns: int | None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The whole span as MLflow wrote it."""

    @property
    def inputs(self) -> str | None:
        """What went in, as JSON text."""
        return self._text("mlflow.spanInputs")

    @property
    def outputs(self) -> str | None:
        """What came out, as JSON text."""
        return self._text("mlflow.spanOutputs")

    def _text(self, key: str) -> str | None:
        value = self.attributes.get(key)
        return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    @property
    def duration_ns(self) -> int | None:
        """How long the span took, None where start or end is unknown."""
        return None if self.start_ns is None or self.end_ns is None else self.end_ns - self.start_ns


def spans_of(archive: Archive, trace_id: str) -> list[Span]:
    """Return the spans of a trace by start; none where the archive holds none or they are too large.

    Raises DamagedError, also for a payload that is not JSON of spans (code E042).
    """
    return spans_by_trace(archive, [trace_id])[trace_id]


def spans_by_trace(archive: Archive, trace_ids: Collection[str]) -> dict[str, list[Span]]:
    """Return the spans of some traces by the id of these; see :func:`spans_of`."""
    found: dict[str, list[Span]] = {trace_id: [] for trace_id in trace_ids}
    for rows in archive.batches("spans", owners=trace_ids):
        for row in rows.to_pylist():
            found[row["trace_id"]].append(_of_row(row))
    blobs = Blobs(archive)
    for rows in archive.batches("artifacts", owners=[trace_id for trace_id, spans in found.items() if not spans]):
        for row in rows.to_pylist():
            if _is_payload(row):
                found[row["owner_id"]] = _of_payload(blobs, row)
    return {trace_id: sorted(spans, key=_start_and_id) for trace_id, spans in found.items()}


def _is_payload(row: Mapping[str, Any]) -> bool:
    """Return whether an artifact holds the spans of a trace, and is not too large to be read."""
    return bool(row["owner_kind"] == TRACE and row["path"] == PAYLOAD and row["size"] <= LARGEST_PAYLOAD)


def _start_and_id(span: Span) -> tuple[int, str]:
    return span.start_ns or 0, span.span_id


def tree(spans: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """Yield spans depth first with their depth, 0 for those without a parent among them; each span once."""
    return nested(spans, lambda span: span.span_id, lambda span: span.parent_id)


def _of_row(row: Mapping[str, Any]) -> Span:
    content = _content(row["content"])
    return Span(
        span_id=row["span_id"],
        parent_id=row["parent_span_id"],
        name=row["name"] or "",
        type=row["type"],
        status=row["status"],
        start_ns=row["start_time_unix_nano"],
        end_ns=row["end_time_unix_nano"],
        attributes=attributes if isinstance(attributes := content.get("attributes"), Mapping) else {},
        error=_error(content),
        content=content,
    )


def _of_payload(blobs: Blobs, row: Mapping[str, Any]) -> list[Span]:
    data = blobs.open(row["digest"]).read()
    try:
        return [_span(span) for span in parse_json(data)["spans"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{PAYLOAD} of trace {row['owner_id']} holds no spans as MLflow writes them: {error!r}"
        raise DamagedError(message, code="E042") from error


def _nanoseconds(raw: Mapping[str, Any], name: str) -> int | None:
    value = raw.get(f"{name}_unix_nano", raw.get(name))
    return None if value is None else int(value)


def _span(raw: Mapping[str, Any]) -> Span:
    """Read a span as MLflow 3 writes it, or as MLflow 2 did, with a ``context``."""
    context = raw.get("context")
    own = context["span_id"] if isinstance(context, Mapping) else raw["span_id"]
    parent = raw.get("parent_id") if context else raw.get("parent_span_id")
    status = raw.get("status") or {}
    code = raw.get("status_code") if context else status.get("code")
    attributes = raw.get("attributes") or {}
    kind = attributes.get("mlflow.spanType")
    return Span(
        span_id=_span_id(own),
        parent_id=_span_id(parent) if parent else None,
        name=str(raw.get("name", "")),
        type=kind.strip('"') if isinstance(kind, str) else None,
        status=str(code).removeprefix("STATUS_CODE_") if code is not None else None,
        start_ns=_nanoseconds(raw, "start_time"),
        end_ns=_nanoseconds(raw, "end_time"),
        attributes=attributes,
        error=_error(raw),
        content=raw,
    )


def _span_id(text: str) -> str:
    """Return 16 hexadecimal digits; MLflow writes ids so, with ``0x`` in front, or in base64."""
    if text.startswith("0x"):
        return text[2:]
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text
    return decoded.hex() if len(decoded) == 8 and len(text) == 12 else text


def _content(text: str) -> Mapping[str, Any]:
    try:
        content = parse_json(text) if text else {}
    except ValueError:
        return {}
    return content if isinstance(content, Mapping) else {}


def _error(raw: Mapping[str, Any]) -> str | None:
    """Return what a span says it failed with, in the forms of MLflow 2 and 3."""
    status = raw.get("status")
    message = status.get("message") if isinstance(status, Mapping) else raw.get("status_message")
    events = raw.get("events")
    for event in events if isinstance(events, list) else ():
        attributes = event.get("attributes") if isinstance(event, Mapping) else None
        if isinstance(attributes, Mapping) and "exception.message" in attributes:
            return f"{attributes.get('exception.type', 'exception')}: {attributes['exception.message']}"
    return str(message) if message else None
