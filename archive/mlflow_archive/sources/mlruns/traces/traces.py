"""One trace of a file store, as MLflow 3 writes it (V3) and as MLflow 2.14 to 2.22 did (V2).

<experiment>/traces/<trace>/trace_info.yaml       V3: trace_id, request_time, execution_duration_ms, state, previews
                                                  V2: request_id, timestamp_ms, execution_time_ms, status
<experiment>/traces/<trace>/tags/, request_metadata/, assessments/
<experiment>/traces/<trace>/artifacts/traces.json, attachments/

The folder's name is the id. Name, session, tokens and costs become columns, as in MLflow's database.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mlflow_archive.artifact_roots.attachments import attachments_in_files, missing_attachments
from mlflow_archive.format.gaps import ARTIFACT_MISSING
from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import TRACE
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns.keyfiles import read_values
from mlflow_archive.sources.mlruns.layout import TAGS, TRACE_INFO_FILE, ExperimentFolder
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.meta import MetaUnreadableError, read_meta
from mlflow_archive.sources.mlruns.times import duration_ms, time_ms
from mlflow_archive.sources.mlruns.traces.assessments import assessment_rows
from mlflow_archive.sources.reading.fields import Fields, row_of
from mlflow_archive.sources.reading.records import Entity
from mlflow_archive.sources.reading.rows import Cell
from mlflow_archive.sources.reading.trace_columns import assessment_columns, decoded_json, take_columns

METADATA: Final = "request_metadata"
SOURCE_RUN: Final = "mlflow.sourceRun"
_LOCATION_TAG: Final = "mlflow.artifactLocation"
_PAYLOADS: Final = ("traces.json", "traces.pb")
_COUNTED_SPANS: Final = ("mlflow.trace.sizeStats", "mlflow.trace.sizeBytes")
_UNSPECIFIED: Final = "STATE_UNSPECIFIED"
# mlflow.entities.TraceStatus.to_state; the others have the same name
_STATES: Final = MappingProxyType({"TRACE_STATUS_UNSPECIFIED": _UNSPECIFIED})


def source_run_of(folder: Path) -> str | None:
    """Return the id of the run a trace was made in, None where there is none or it cannot be read."""
    return read_values(folder / METADATA, _ignore).get(SOURCE_RUN)


def request_time_of(folder: Path) -> int:
    """Return when a trace began, in milliseconds; 0 for a time that is malformed. Raises MetaUnreadableError."""
    return _request_time(read_meta(folder, TRACE_INFO_FILE).fields(_ignore))


def read_trace(folder: Path, experiment: ExperimentFolder, places: ArtifactPlaces, selection: Selection) -> Entity:
    """Read a trace.

    Raises MetaUnreadableError if nothing can be said of it.
    """
    meta = read_meta(folder, TRACE_INFO_FILE)
    trace_id = meta.text("trace_id", "request_id")
    if trace_id is None:
        raise MetaUnreadableError(f"its {TRACE_INFO_FILE} names no trace (trace_id or request_id)")
    if trace_id != folder.name:
        raise MetaUnreadableError(f"its {TRACE_INFO_FILE} is that of {trace_id}, but the folder is named {folder.name}")
    entity = Entity.new(TRACE, folder.name)
    gaps = entity.gaps
    fields = meta.fields(gaps.under(""))
    row = _row(fields, trace_id, experiment.experiment_id)
    gaps.unread += fields.unread()
    tags = read_values(folder / TAGS, gaps.under(TAGS))
    metadata = read_values(folder / METADATA, gaps.under(METADATA))
    other_tags, other_metadata = dict(tags), dict(metadata)
    entity.add("traces", **{**row, **take_columns(other_tags, other_metadata)})
    for key, value in other_tags.items():
        text = without_password(value) if key == _LOCATION_TAG else value
        entity.add("trace_tags", trace_id=trace_id, key=key, value=text)
    entity.add_pairs("trace_metadata", other_metadata, trace_id=trace_id)
    for assessment in assessment_rows(folder, gaps):
        value = decoded_json(assessment["value"])
        derived = assessment_columns(value, experiment.experiment_id, row["request_time"])
        entity.add("assessments", **{**assessment, **derived})
    if selection.artifacts:
        entity.take_files(places.files(folder, tags.get(_LOCATION_TAG), gaps), selection)
        _check_payload(entity, metadata, selection)
        _check_attachments(entity, selection)
    return entity


def _row(trace: Fields, trace_id: str, experiment_id: str) -> dict[str, Cell]:
    trace.known("request_id", "trace_location")  # said by where the folder lies
    trace.known("assessments")  # which have files of their own
    state = trace.text("state", "status")
    if state is None:
        trace.bad("state", f"its {TRACE_INFO_FILE} has no state")
    return row_of(
        "traces",
        trace,
        trace_id=trace_id,
        experiment_id=experiment_id,
        request_time=_request_time(trace),
        execution_duration_ms=_duration(trace),
        state=_STATES.get(state, state) if state is not None else _UNSPECIFIED,
    )


def _request_time(trace: Fields) -> int:
    text = trace.text("request_time", "timestamp_ms") or ""
    try:
        return time_ms(text)
    except ValueError as error:
        trace.bad("request_time", f"{error}; it is kept as the start of 1970")
        return 0


def _duration(trace: Fields) -> int | None:
    text = trace.text("execution_duration_ms", "execution_time_ms", "execution_duration")
    try:
        return None if text is None else duration_ms(text)
    except ValueError as error:
        trace.bad("execution_duration_ms", str(error))
        return None


def _check_payload(entity: Entity, metadata: Mapping[str, str], selection: Selection) -> None:
    """Add a gap where MLflow counted spans and there is no file with them."""
    selected = selection.wants_artifact(_PAYLOADS[0], None)
    counted = any(key in metadata for key in _COUNTED_SPANS)
    if selected and counted and not entity.gaps and not any(file.path in _PAYLOADS for file in entity.files):
        reason = "MLflow counted spans of this trace, but no file that holds them is there"
        entity.gaps.add(_PAYLOADS[0], ARTIFACT_MISSING, reason)


def _check_attachments(entity: Entity, selection: Selection) -> None:
    """Add a gap for each attachment that spans name and that is missing."""
    if selection.artifact_globs or selection.max_artifact_size is not None:
        return  # what was not selected is not missing
    listed = {file.path for file in entity.files}
    for gap in missing_attachments(attachments_in_files(entity.files, entity.owner_id), listed, entity.owner_id):
        entity.gaps.add(gap.path, gap.code, gap.reason)


def _ignore(key: str, reason: str) -> None:
    """Leave it: the same files are read again when the trace is carried, and reported then."""
