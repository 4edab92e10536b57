"""One trace of an export: ``trace.json`` with its info and names of its spans, its payload in the files beside it.

Where the source kept the spans as rows (tag ``mlflow.trace.spansLocation``) they are made of the payload again, as
MLflow looks for them there and nowhere else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from mlflow_archive.artifact_roots.local import FoundFile
from mlflow_archive.format.gaps import OBJECT_UNREADABLE
from mlflow_archive.kinds import TRACE
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim.documents import read_document
from mlflow_archive.sources.exim.entries import TraceEntry
from mlflow_archive.sources.exim.files import downloaded_files
from mlflow_archive.sources.exim.gapbook import GapBook
from mlflow_archive.sources.exim.tool_fields import ToolFields
from mlflow_archive.sources.exim.traces.spans import SPANS_FILE, span_rows
from mlflow_archive.sources.reading.fields import ValueMalformedError, json_of, row_of
from mlflow_archive.sources.reading.records import Entity
from mlflow_archive.sources.reading.trace_columns import assessment_columns, decoded_json, take_columns

LOCATION_TAG: Final = "mlflow.artifactLocation"
SPANS_LOCATION_TAG: Final = "mlflow.trace.spansLocation"
_AS_ROWS: Final = "TRACKING_STORE"
_PAYLOADS: Final = frozenset({SPANS_FILE, "traces.pb"})
_TYPES: Final = ("feedback", "expectation", "issue")


def read_trace(entry: TraceEntry, gap_book: GapBook, selection: Selection, root: Path) -> Entity:
    """Read a trace. Raises DocumentUnreadableError if it has changed since the index was built."""
    entity = Entity(gaps=gap_book.copy_of(TRACE, entry.trace_id))
    body = ToolFields(read_document(entry.path, root).body, entity.gaps.under(""))
    tags = _add_info(entity, entry, body.object("info", place=""))
    names = body.value("data")
    entity.gaps.unread += body.unread()
    files = downloaded_files(entry.path.parent, tags.get(LOCATION_TAG), entry.path.name, entity.gaps.add)
    unread: list[str] = []
    if not _PAYLOADS.intersection(file.path for file in files):
        if names:
            reason = f"the export holds the names of its {len(names)} spans and nothing else of them"
            entity.gaps.add("spans", OBJECT_UNREADABLE, reason)
    elif tags.get(SPANS_LOCATION_TAG) == _AS_ROWS:
        unread = _add_spans(entity, entry, files)
    if selection.artifacts:
        entity.take_files(files, selection)
    if all(file.path != SPANS_FILE for file in entity.files):
        entity.gaps.unread += unread  # else the file has it
    return entity


def _add_info(entity: Entity, entry: TraceEntry, info: ToolFields) -> dict[str, str]:
    trace_id = entry.trace_id
    time = info.time("request_time", "timestamp_ms")
    if time is None:
        info.bad("request_time", "it does not say when it began; 0 is kept")
    tags, metadata = info.pairs("tags"), {**info.pairs("trace_metadata"), **info.pairs("request_metadata")}
    other_tags = dict(tags)
    row = row_of(
        "traces",
        info,
        {"execution_duration_ms": ("execution_duration", "execution_time_ms")},
        trace_id=trace_id,
        experiment_id=entry.experiment_id,
        request_time=time or 0,
        state=info.text("state", "status") or "STATE_UNSPECIFIED",
    )
    entity.add("traces", **{**row, **take_columns(other_tags, metadata)})
    for table, pairs in (("trace_tags", other_tags), ("trace_metadata", metadata)):
        entity.add_pairs(table, pairs, trace_id=trace_id)
    for assessment in info.objects("assessments"):
        _add_assessment(entity, assessment, entry.experiment_id, time)
    info.known("request_id", "trace_location")  # read with the index
    return tags


def _add_assessment(entity: Entity, assessment: ToolFields, experiment_id: str | None, trace_time: int | None) -> None:
    assessment_id, name = assessment.text("assessment_id"), assessment.text("name")
    created = assessment.time("create_time_ms", "create_time")
    kind = assessment.text("assessment_type") or next(
        (name for name in _TYPES if assessment.value(name) is not None), None
    )
    source = assessment.object("source")
    source_type = source.text("source_type")
    if None in (assessment_id, name, created, source_type) or kind not in _TYPES:
        assessment.leave_out("", "it lacks its id, name, time, type or source")
        return
    try:
        value, error = _value(kind, assessment)
    except ValueMalformedError as problem:
        assessment.leave_out(kind, str(problem))
        return
    updated = assessment.time("last_update_time_ms", "last_update_time")
    row = row_of(
        "assessments",
        assessment,
        trace_id=entity.owner_id,
        assessment_type=kind,
        value=value,
        error=error,
        created_timestamp=created,
        last_updated_timestamp=created if updated is None else updated,
        source_type=source_type,
        source_id=source.text("source_id"),
        valid=assessment.flag("valid") is not False,
        metadata=assessment.json("metadata"),
        **assessment_columns(decoded_json(value), experiment_id, trace_time),
    )
    entity.add("assessments", **row)
    assessment.known("error", *_TYPES)  # feedback has its error a second time


def _value(kind: str, assessment: ToolFields) -> tuple[str, str | None]:
    """Return value and error as JSON text; feedback has both, the others are their value.

    Raises ValueMalformedError.
    """
    content: Any = assessment.value(kind)
    if kind != "feedback":
        return json_of(content), None
    if not isinstance(content, dict):
        raise ValueMalformedError("it is no object of value and error")
    assessment.object(kind).known("value", "error")
    error = content.get("error")
    return json_of(content.get("value")), None if error is None else json_of(error)


def _add_spans(entity: Entity, entry: TraceEntry, files: list[FoundFile]) -> list[str]:
    """Add the spans, and return the names of what their file holds beside them."""
    payload = next((file for file in files if file.path == SPANS_FILE), None)
    if payload is None:
        return []
    try:
        rows, unread = span_rows(payload, entry.trace_id, entry.experiment_id)
    except ValueMalformedError as error:
        entity.gaps.add("spans", OBJECT_UNREADABLE, f"{SPANS_FILE} is kept, but is not as MLflow writes it: {error}")
        return []
    for row in rows:
        entity.add("spans", **row)
    return unread
