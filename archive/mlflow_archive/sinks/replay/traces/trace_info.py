"""What a trace becomes in the target: its info, tags and metadata as MLflow's API takes them.

References are those of the target, texts are cut to its limits, and what newer databases keep in columns of their own
(name, session, tokens, costs) is again among tags and metadata, from which MLflow fills these columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlflow_archive.format.json_text import parse_json
from mlflow_archive.format.source_tags import OWN_PREFIX, PREFIX, object_source_tags, shorten_key
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.kinds.traces import COSTS
from mlflow_archive.kinds.traces import TOKENS as TOKEN_COLUMNS
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.traces.moments import duration, nearest, timestamp
from mlflow_archive.sinks.replay.traces.trace_rows import TraceRows
from mlflow_archive.sinks.replay.writing.fitting import Fitter, plain_tags
from mlflow_archive.sinks.replay.writing.rows import Row

SOURCE_TRACE_ID: Final = PREFIX + "trace.trace_id"
# Written where source tags are off, so that a later import knows what an earlier one made.
IDENTITY: Final = OWN_PREFIX + "source_trace_id"
ARTIFACT_LOCATION: Final = "mlflow.artifactLocation"
SPANS_LOCATION: Final = "mlflow.trace.spansLocation"
FINALIZED: Final = "mlflow.trace.infoFinalized"

SOURCE_RUN: Final = "mlflow.sourceRun"
MODEL: Final = "mlflow.modelId"
_NAME: Final = "mlflow.traceName"
_SESSION: Final = "mlflow.trace.session"
TOKENS: Final = "mlflow.trace.tokenUsage"
COST: Final = "mlflow.trace.cost"
_LOST: Final = PREFIX + "trace.assessments"
_STATES: Final = frozenset({"OK", "ERROR", "IN_PROGRESS", "STATE_UNSPECIFIED"})
# Where the payload lay at the source; in the target they would point the server at a wrong place.
PLACES: Final = frozenset(
    {ARTIFACT_LOCATION, SPANS_LOCATION, "mlflow.trace.archiveLocation", "mlflow.trace.archivalFailure"}
)
# What MLflow's API cannot set, or sets otherwise; all else the trace itself keeps.
_TOLD: Final = frozenset({"trace_id", "experiment_id", "db_payload_generation"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrace:
    """A trace as it will be. ``info`` is a TraceInfo in JSON without location, tags, metadata and assessments.

    ``unkept`` are the keys of metadata that the target gives back otherwise.
    """

    source_id: str
    trace_id: str
    info: Mapping[str, Any]
    tags: Mapping[str, str]
    metadata: Mapping[str, str]
    unkept: frozenset[str]

    def body(self, experiment_id: str, assessments: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the request that creates it in an experiment of the target."""
        location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}
        trace_info = {
            **self.info,
            "trace_location": location,
            "tags": dict(self.tags),
            "trace_metadata": dict(self.metadata),
            "assessments": assessments,
        }
        return {"trace": {"trace_info": trace_info}}


def target_trace_id(source_id: str, limit: int) -> str:
    """Return the id a trace has in the target: its own, but for one that is longer than MLflow's column."""
    return shorten_key(source_id, limit)


def plan_trace(rows: TraceRows, row: Row, context: ReplayContext, *, losses: list[dict[str, Any]]) -> PlannedTrace:
    """Plan a trace; ``losses`` is what its assessments cannot keep."""
    limits = context.options.limits
    fitter = Fitter(limits, context.receipt, rows.trace_id)

    def text(column: str, limit: int) -> str | None:
        return None if row[column] is None else fitter.text(column, column, row[column], limit)

    trace_id = target_trace_id(rows.trace_id, limits.trace_id)
    if trace_id != rows.trace_id:
        context.receipt.shortened(rows.trace_id, "trace id", rows.trace_id, len(rows.trace_id))
    info = {
        "trace_id": trace_id,
        "client_request_id": text("client_request_id", limits.client_request_id),
        "request_preview": text("request_preview", limits.trace_preview),
        "response_preview": text("response_preview", limits.trace_preview),
        "request_time": timestamp(_time(row, context)),
        "execution_duration": None if row["execution_duration_ms"] is None else duration(row["execution_duration_ms"]),
        "state": row["state"] if row["state"] in _STATES else "STATE_UNSPECIFIED",
    }
    context.receipt.changed("trace_states", row["state"] not in _STATES)
    metadata, unkept = _metadata(rows, row, context)
    tags = _tags(rows, row, context)
    if context.options.source_tags:
        tags.update({f"{PREFIX}trace.metadata.{key}": text for key, text in unkept.items()})
        if losses:
            tags[_LOST] = json.dumps(losses, ensure_ascii=False)
    return PlannedTrace(
        source_id=rows.trace_id,
        trace_id=trace_id,
        info={name: value for name, value in info.items() if value is not None},
        tags=_cut(fitter.tags("trace tag", tags, limits.trace_tag), {_NAME: limits.trace_name}, fitter),
        metadata=_cut(
            fitter.tags("trace metadata", metadata, limits.trace_metadata), {_SESSION: limits.trace_session}, fitter
        ),
        unkept=frozenset(unkept),
    )


def _time(row: Row, context: ReplayContext) -> int:
    """Return when it began, or the time nearest to that which MLflow's API can state."""
    original: int = row["request_time"]
    time = nearest(original)
    if time != original:
        context.receipt.changed("trace_times_out_of_range")
        key = {"trace_id": row["trace_id"]}
        context.receipt.rewritten({"table": "traces", "key": key, "column": "request_time", "original": original})
    return time


def _cut(values: dict[str, str], limits: Mapping[str, int], fitter: Fitter) -> dict[str, str]:
    """Cut what goes into columns of its own, which are shorter."""
    for key, limit in limits.items():
        if key in values:
            values[key] = fitter.text(key, key, values[key], limit)
    return values


def _tags(rows: TraceRows, row: Row, context: ReplayContext) -> dict[str, str | None]:
    tags = dict(rows.tags)
    if row["trace_name"] is not None:
        tags[_NAME] = row["trace_name"]
    plain = context.linked_prompts(plain_tags(tags), row["experiment_id"])
    target_tags = {key: value for key, value in plain.items() if key not in PLACES}
    if not context.options.source_tags:
        return {**target_tags, IDENTITY: rows.trace_id}
    facts = {name: value for name, value in row.items() if name in _TOLD}
    if nearest(row["request_time"]) != row["request_time"]:
        facts["request_time"] = row["request_time"]
    if row["state"] not in _STATES:
        facts["state"] = row["state"]
    export, experiment = context.export_of(row), context.experiments.rows[row["experiment_id"]]["name"]
    return {**target_tags, **object_source_tags("trace", facts, tags, export=export, experiment_name=experiment)}


def _metadata(rows: TraceRows, row: Row, context: ReplayContext) -> tuple[dict[str, str | None], dict[str, str]]:
    """Return the metadata, and those of them of which the target drops something."""
    metadata = dict(rows.metadata)
    unkept = {}
    if row["session_id"] is not None:
        metadata[_SESSION] = row["session_id"]
    for key, columns in ((TOKENS, TOKEN_COLUMNS), (COST, COSTS)):
        numbers = {name: row[name] for name in columns if row[name] is not None}
        text = metadata.get(key)
        if numbers:
            metadata[key] = json.dumps(numbers)
        elif text is not None and not _is_canonical(text, columns):
            unkept[key] = text
            context.receipt.changed("trace_metadata_in_columns")
    if source := metadata.get(SOURCE_RUN):
        metadata[SOURCE_RUN] = _referred(source, RUN, context.run_id(source, row["experiment_id"]), context)
    if source := metadata.get(MODEL):
        metadata[MODEL] = _referred(source, LOGGED_MODEL, context.mapped(LOGGED_MODEL, source), context)
    context.receipt.changed("trace_info_finalized", FINALIZED not in metadata)
    return metadata, unkept


def _referred(source_id: str, kind: str, target_id: str | None, context: ReplayContext) -> str:
    """Return the target's id of what a trace refers to; the source's where it is not there, which is counted."""
    if target_id is None and not context.options.dry_run:
        context.receipt.changed(f"traces_without_their_{kind}")
    return target_id or source_id


def _is_canonical(text: str, keys: tuple[str, ...]) -> bool:
    """Return whether MLflow gives this text back after it has put the numbers into columns."""
    try:
        numbers = parse_json(text)
    except ValueError:
        return False
    return isinstance(numbers, dict) and json.dumps({key: numbers[key] for key in keys if key in numbers}) == text
