"""The spans of a trace as MLflow's ``traces.json``, made of their texts or of an archived ``traces.pb``."""

from __future__ import annotations

import json
import re
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final, cast

from mlflow_archive.errors import ItemError, MissingExtraError
from mlflow_archive.format.json_text import parse_json
from mlflow_archive.optional import needing
from mlflow_archive.sinks.replay.traces.trace_rows import SpanTexts
from mlflow_archive.sinks.replay.writing.references import Mapped

SPANS_FILE: Final = "traces.json"
ARCHIVE_FILE: Final = "traces.pb"

_IN_MEMORY: Final = 1024 * 1024
_EXPERIMENT_ID = re.compile(r'("mlflow\.experimentId":\s*"\\")([^"\\]+)(\\"")')


def remap_span(text: str, mapped: Mapped) -> str:
    """Replace the experiment that a span names in its JSON text; ``mapped`` is for ids of experiments."""
    return _EXPERIMENT_ID.sub(lambda match: match[1] + (mapped(match[2]) or match[2]) + match[3], text)


def spans_file(texts: SpanTexts, mapped: Mapped) -> BinaryIO:
    """Return ``traces.json`` for spans; the caller closes it."""
    file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller's
    file.write(b'{"spans":[')
    for number, text in enumerate(texts):
        file.write(("," if number else "").encode() + remap_span(text, mapped).encode())
    file.write(b"]}")
    return cast("BinaryIO", file)


def holds_more(data: bytes, texts: SpanTexts) -> bool:
    """Return whether a ``traces.json`` has a span, or something of one, that the texts of the same trace lack."""
    try:
        spans = parse_json(data)["spans"]
        stored = [parse_json(text) for text in texts]
        return not all(any(_is_within(span, other) for other in stored) for span in spans)
    except (ValueError, LookupError, TypeError, AttributeError):
        return True


def _is_within(span: dict[str, object], other: dict[str, object]) -> bool:
    return all(value is None or other.get(name) == value for name, value in span.items())


def spans_of_archived(data: bytes) -> bytes:
    """Return ``traces.json`` for a ``traces.pb``, as MLflow's server shows it.

    Raises ItemError for one that cannot be read here.
    """
    try:
        with needing("mlflow", "reading archived spans, which MLflow 3.13 and later do,"):
            from mlflow.entities.trace_data import TraceData  # noqa: PLC0415 - takes seconds
            from mlflow.exceptions import MlflowException  # noqa: PLC0415
            from mlflow.tracing.otel.otel_archival import traces_data_pb_to_spans  # noqa: PLC0415
    except MissingExtraError as exc:
        raise ItemError(str(exc)) from exc
    try:
        spans = traces_data_pb_to_spans(data)
    except (MlflowException, ValueError) as exc:
        raise ItemError(f"its archived spans cannot be read: {exc}") from exc
    return json.dumps(TraceData(spans=spans).to_dict(), separators=(",", ":")).encode()
