"""Spans in the protocol of OpenTelemetry, which is how they get into the target's table of spans.

MLflow decodes what comes this way and writes it anew. That gives the same text for spans that MLflow itself has
written, and another one for some: ``survives`` says beforehand for which it does not, as far as MLflow's code tells.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mlflow_archive.format.json_text import parse_json

PATH: Final = "/v1/traces"
CONTENT_TYPE: Final = "application/x-protobuf"
EXPERIMENT_HEADER: Final = "x-mlflow-experiment-id"

_KEYS: Final = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "start_time_unix_nano",
    "end_time_unix_nano",
    "events",
    "status",
    "attributes",
    "links",
)
_STATUS: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_REQUEST_ID: Final = "mlflow.traceRequestId"
_TAG_PREFIX: Final = "mlflow.traceTag."
# With usage and model MLflow adds the cost by its prices of today.
_USAGE, _MODEL, _COST = "mlflow.chat.tokenUsage", "mlflow.llm.model", "mlflow.llm.cost"
_TRACE_ID = re.compile(r"tr-([0-9a-f]{32})")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")
_DEEPEST: Final = 20
_INT64: Final = 1 << 63


def with_links(span: Any) -> Any:
    """Return a span of an earlier MLflow 3, which wrote no ``links``, as MLflow writes it now: with an empty list."""
    return {**span, "links": []} if isinstance(span, dict) and tuple(span) == _KEYS[:-1] else span


def _ids_survive(span: dict[str, Any], trace_id: str) -> bool:
    match = _TRACE_ID.fullmatch(trace_id)
    if match is None or _hex(span["trace_id"]) != match[1] or int(match[1], 16) == 0:
        return False
    parent = span["parent_span_id"]
    return _is_span_id(_hex(span["span_id"])) and (parent is None or _is_span_id(_hex(parent)))


def survives(span: Any, trace_id: str) -> bool:
    """Return whether a span of a trace, in MLflow's JSON, will be the same after it has come in this way."""
    if not isinstance(span, dict) or tuple(span) != _KEYS:
        return False
    return (
        _ids_survive(span, trace_id)
        and isinstance(span["name"], str)
        and all(_is_time(span[name]) for name in ("start_time_unix_nano", "end_time_unix_nano"))
        and _status_survives(span["status"])
        and _attributes_survive(span["attributes"], trace_id)
        and _all(span["events"], ("name", "time_unix_nano", "attributes"), _event_survives)
        and _all(span["links"], ("trace_id", "span_id", "attributes"), _link_survives)
    )


def encode(spans: Iterable[Mapping[str, Any]]) -> bytes:
    """Return a request with these spans, of any traces; each of them ``survives``."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - only where spans are written
        ExportTraceServiceRequest,
    )

    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for span in spans:
        message = scope.spans.add()
        message.trace_id = base64.b64decode(span["trace_id"])
        message.span_id = base64.b64decode(span["span_id"])
        if span["parent_span_id"] is not None:
            message.parent_span_id = base64.b64decode(span["parent_span_id"])
        message.name = span["name"]
        message.start_time_unix_nano = span["start_time_unix_nano"]
        message.end_time_unix_nano = span["end_time_unix_nano"]
        message.status.code = _STATUS[span["status"]["code"]]
        message.status.message = span["status"]["message"]
        _fill(message.attributes, {key: parse_json(text) for key, text in span["attributes"].items()})
        for event in span["events"]:
            added = message.events.add(name=event["name"], time_unix_nano=event["time_unix_nano"])
            _fill(added.attributes, event["attributes"])
        for link in span["links"]:
            ids = {"trace_id": bytes.fromhex(link["trace_id"][3:]), "span_id": bytes.fromhex(link["span_id"])}
            _fill(message.links.add(**ids).attributes, link["attributes"] or {})
    data: bytes = request.SerializeToString()
    return data


def _fill(attributes: Any, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        _set(attributes.add(key=key).value, value)


def _set(message: Any, value: Any) -> None:
    """Set an AnyValue; null is one in which nothing is set."""
    if isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, int):
        message.int_value = value
    elif isinstance(value, float):
        message.double_value = value
    elif isinstance(value, list):
        message.array_value.SetInParent()
        for item in value:
            _set(message.array_value.values.add(), item)
    elif isinstance(value, dict):
        message.kvlist_value.SetInParent()
        _fill(message.kvlist_value.values, value)


def _hex(text: object) -> str:
    if not isinstance(text, str):
        return ""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return data.hex() if base64.b64encode(data).decode() == text else ""


def _is_span_id(text: str) -> bool:
    return _SPAN_ID.fullmatch(text) is not None and int(text, 16) != 0


def _is_time(value: object) -> bool:
    return type(value) is int and 0 < value < 2 * _INT64


def _status_survives(status: Any) -> bool:
    if not isinstance(status, dict) or tuple(status) != ("code", "message") or status["code"] not in _STATUS:
        return False
    message = status["message"]
    return isinstance(message, str) and (not message or status["code"] == "STATUS_CODE_ERROR")


def _attributes_survive(attributes: Any, trace_id: str) -> bool:
    if not isinstance(attributes, dict) or attributes.get(_REQUEST_ID) != json.dumps(trace_id):
        return False
    if {_USAGE, _MODEL} <= attributes.keys() and _COST not in attributes:
        return False
    return all(not key.startswith(_TAG_PREFIX) and _text_survives(text) for key, text in attributes.items())


def _text_survives(text: object) -> bool:
    """Return whether an attribute, which is JSON as text, is spelled as MLflow spells it."""
    if not isinstance(text, str):
        return False
    try:
        value = parse_json(text)
        if json.dumps(value, ensure_ascii=False) != text or not _fits(value, _DEEPEST):
            return False
    except ValueError:
        return False
    if not isinstance(value, str):
        return True
    try:  # of text that is JSON again MLflow takes one layer away
        return not isinstance(parse_json(value), str | dict | list)
    except ValueError:
        return True


def _fits(value: Any, levels: int) -> bool:
    if isinstance(value, list):
        return levels > 0 and all(_fits(item, levels - 1) for item in value)
    if isinstance(value, dict):
        return levels > 0 and all(_fits(item, levels - 1) for item in value.values())
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or -_INT64 <= value < _INT64


def _all(entries: Any, keys: tuple[str, ...], check: Any) -> bool:
    return isinstance(entries, list) and all(
        isinstance(entry, dict) and tuple(entry) == keys and check(entry) for entry in entries
    )


def _event_survives(event: Mapping[str, Any]) -> bool:
    return isinstance(event["name"], str) and _is_time(event["time_unix_nano"]) and _plain(event["attributes"])


def _link_survives(link: Mapping[str, Any]) -> bool:
    ids = _TRACE_ID.fullmatch(str(link["trace_id"])) is not None and _is_span_id(str(link["span_id"]))
    return ids and (link["attributes"] is None or (bool(link["attributes"]) and _plain(link["attributes"])))


def _plain(attributes: Any) -> bool:
    """Return whether attributes are texts, numbers, flags, and lists of these."""
    if not isinstance(attributes, dict):
        return False
    values = [item for value in attributes.values() for item in (value if isinstance(value, list) else [value])]
    return all(isinstance(value, str | int | float) and _fits(value, 0) for value in values)
