"""A small archive with what the page docs/python.md names: a run, a registered model, a prompt, two traces."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow_archive.flow.chunk import ArtifactFile, Chunk
from mlflow_archive.flow.copy import copy
from mlflow_archive.writer.export import ArchiveSink
from tests.support.chunks import ChunkSource, Rows, artifact, chunk, experiment, pairs, points, run, table

RUN = "4b1f0c" + "0" * 26
ASKED_MS = 1655004879000
FILES = "s3://old/1/traces/tr-2/artifacts"
"""Where those of the second trace lay."""


def write_churn(path: Path, *, rate: str = "0.1") -> Path:
    """Write the archive and return its path; ``rate`` is the run's param ``lr``."""
    copy(_source(rate), ArchiveSink(path, tool="a test", clock_ms=lambda: 1655007510123), jobs=1)
    return path


def _source(rate: str) -> ChunkSource:
    failed = _span("tr-2", "fail", "why not?")
    files = [
        artifact(RUN, "model/MLmodel", b"flavors: {}\n"),
        artifact(RUN, "data.csv", b"x,y\n1,2\n"),
        artifact("tr-2", "traces.json", json.dumps({"spans": [failed]}).encode(), kind="trace"),
    ]
    of_run: dict[str, Rows] = {
        "runs": [run(RUN, "1", run_name="first")],
        "params": pairs(RUN, {"lr": rate}),
        "metrics": points(RUN, "loss", [0.5, 0.05]),
    }
    return ChunkSource(
        (0, [chunk(experiments=[experiment("1", "churn")])]),
        (1, [_chunk(files, {**of_run, **_traces()})]),
        (2, [_chunk([], _registry())]),
    )


def _chunk(files: Sequence[ArtifactFile], tables: Mapping[str, Rows]) -> Chunk:
    return Chunk(tables={name: table(name, rows) for name, rows in tables.items()}, artifacts=files)


def _registry() -> dict[str, Rows]:
    times = {"creation_time": ASKED_MS, "last_updated_time": ASKED_MS}
    churn, ask = {"name": "churn", "workspace": "default"}, {"name": "ask", "workspace": "default"}
    common = {"current_stage": "None", "status": "READY", **times}
    prompt = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    return {
        "registered_models": [{**ask, **times}, {**churn, **times}],
        "registered_model_tags": [{**ask, **prompt}],
        "registered_model_aliases": [{**churn, "alias": "champion", "version": 3}],
        "model_versions": [
            {**ask, "version": 1, "description": "kindly", "source": "dummy-source", **common},
            {**churn, "version": 3, "source": f"runs:/{RUN}/model", "run_id": RUN, **common},
            {**churn, "version": 12, "source": f"runs:/{RUN}/data.csv", "run_id": RUN, **common},
        ],
        "model_version_tags": [{**ask, **prompt, "version": 1}],
    }


def _traces() -> dict[str, Rows]:
    span = _span("tr-1", "answer", "because")
    made = {"created_timestamp": ASKED_MS, "last_updated_timestamp": ASKED_MS, "source_type": "HUMAN", "valid": True}
    made |= {"experiment_id": "1", "trace_timestamp": ASKED_MS, "aggregate_value": 1.0, "is_numeric_value": False}
    return {
        "traces": [
            _trace("tr-1", state="OK", trace_name="answer", request_preview='{"q": …'),
            _trace("tr-2", state="ERROR", request_time=ASKED_MS + 1, response_preview="cut off"),
        ],
        "trace_tags": [
            {"trace_id": "tr-1", "key": "team", "value": "vision"},
            {"trace_id": "tr-2", "key": "mlflow.artifactLocation", "value": FILES},
        ],
        "trace_metadata": [{"trace_id": "tr-1", "key": "mlflow.sourceRun", "value": RUN}],
        "assessments": [
            {"trace_id": "tr-1", "assessment_id": "a-1", "name": "good", "assessment_type": "feedback", "value": "true"}
            | made
        ],
        "spans": [
            {
                "trace_id": "tr-1",
                "experiment_id": "1",
                "span_id": span["span_id"],
                "name": "answer",
                "type": "CHAIN",
                "status": "OK",
            }
            | {"start_time_unix_nano": 1, "end_time_unix_nano": 3, "content": json.dumps(span)}
        ],
    }


def _trace(trace_id: str, **columns: Any) -> dict[str, Any]:
    return {
        "trace_id": trace_id,
        "experiment_id": "1",
        "request_time": ASKED_MS,
        "execution_duration_ms": 25,
        **columns,
    }


def _span(trace_id: str, name: str, output: str) -> dict[str, Any]:
    attributes = {"mlflow.spanInputs": json.dumps({"q": "why?"}), "mlflow.spanOutputs": json.dumps(output)}
    return {
        "trace_id": trace_id,
        "span_id": "00" * 7 + trace_id[-1:].zfill(2),
        "parent_span_id": None,
        "name": name,
        "start_time_unix_nano": 1,
        "end_time_unix_nano": 3,
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": attributes,
    }
