"""Logged models and traces in folders of mlflow-export-import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.kinds import TRACE
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim import EximSource
from tests.support.exim import write_document
from tests.support.exim_objects import (
    FEEDBACK,
    LONELY,
    MODEL,
    OLD_TRACE,
    SPAN,
    TRACE_ID,
    TRACE_PLACE,
    A,
    B,
    gaps,
    given,
    logged_model,
    read,
    replace,
    trace,
    write_everything,
)
from tests.support.reading import content, read_source


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_everything(tmp_path / "exported")


def test_nothing_of_a_whole_export_is_missing(root: Path) -> None:
    found = read(root)
    assert gaps(found) == set()
    assert {(row["owner_kind"], row["owner_id"]) for row in found.tables["fingerprints"]} == {
        ("run", A),
        ("run", B),
        ("logged_model", MODEL),
        ("logged_model", LONELY),
        ("trace", TRACE_ID),
    }


def test_what_is_referred_to_comes_in_an_earlier_stage(root: Path) -> None:
    found = read(root)
    assert {kind for _, kinds in found.stages for kind in kinds} >= {"run", "trace", "evaluation_dataset"}
    assert found.too_late() == set()


def test_what_is_unchanged_is_left_out(root: Path) -> None:
    held = {(row["owner_kind"], row["owner_id"]): row["fingerprint"] for row in read(root).tables["fingerprints"]}
    again = read_source(EximSource(root), Selection(), lambda kind, each: held.get((kind, each)))
    assert [again.tables[name] for name in ("runs", "logged_models", "traces", "spans", "fingerprints")] == [[]] * 5
    assert len(again.tables["registered_models"]) == 2
    (root / "experiments" / "1" / "traces" / TRACE_ID / "artifacts" / "more").write_text("x")
    again = read_source(EximSource(root), Selection(), lambda kind, each: held.get((kind, each)))
    assert [row["trace_id"] for row in again.tables["traces"]] == [TRACE_ID]


def test_logged_model(root: Path) -> None:
    found = read(root)
    (row,) = found.rows("logged_models", model_id=MODEL)
    assert given(row) == {
        "model_id": MODEL,
        "experiment_id": "1",
        "name": "model",
        "artifact_location": f"mlflow-artifacts:/1/models/{MODEL}/artifacts",
        "creation_timestamp": 1795562004594,
        "last_updated_timestamp": 1795562006589,
        "status": "READY",
        "model_type": "agent",
        "source_run_id": A,
        "status_message": "",
    }
    (metric,) = found.rows("logged_model_metrics", model_id=MODEL)
    assert repr(metric.pop("value")) == "nan"
    assert given(metric) == {
        "model_id": MODEL,
        "key": "f1",
        "timestamp": 1795562006597,
        "step": 2,
        "run_id": A,
        "experiment_id": "1",
        "dataset_name": "iris",
        "dataset_digest": "2981c147",
    }
    assert [(row["key"], row["value"]) for row in found.rows("logged_model_params", model_id=MODEL)] == [("depth", "3")]
    assert [(row["key"], row["value"]) for row in found.rows("logged_model_tags", model_id=MODEL)] == [("t", "v")]
    assert {file.path: content(file) for file in found.artifacts if file.owner_id == MODEL} == {
        "MLmodel": b"flavors: {}"
    }
    assert found.rows("model_outputs") == [{"run_id": A, "model_id": MODEL, "step": 3, "input_uuid": None}]
    assert found.rows("model_inputs") == [{"run_id": B, "model_id": MODEL, "step": 0, "input_uuid": None}]


@pytest.mark.parametrize(
    ("location", "folder"),
    [
        pytest.param("dbfs:/databricks/mlflow-tracking/1/logged_models/m-x", "m-x", id="below its own name"),
        pytest.param("dbfs:/databricks/1/models/m-x/artifacts", "artifacts", id="artifacts"),
        pytest.param("models:/m-x", "", id="beside the document"),
        pytest.param("s3://bucket/..", "", id="a name that leads out"),
    ],
)
def test_files_of_a_logged_model_lie_where_mlflow_put_them(
    root: Path, tmp_path: Path, location: str, folder: str
) -> None:
    place = tmp_path / "one" / "m-x"
    write_document(place / "logged_model.json", logged_model("m-x", A, artifact_location=location))
    (place / folder / "deep").mkdir(parents=True)
    (place / folder / "deep" / "file").write_text("x")
    assert [file.path for file in read(tmp_path / "one").artifacts] == ["deep/file"]


def test_trace(root: Path) -> None:
    found = read(root)
    assert [given(row) for row in found.tables["traces"]] == [
        {
            "trace_id": TRACE_ID,
            "experiment_id": "1",
            "request_time": 1795562007283,
            "execution_duration_ms": 1,
            "state": "OK",
            "client_request_id": "cr1",
            "request_preview": '{"x": 1}',
            "trace_name": "outer",
        }
    ]
    assert {row["key"]: row["value"] for row in found.tables["trace_metadata"]}["long"] == "mv" * 300
    assert {row["key"] for row in found.tables["trace_tags"]} == set(trace()["info"]["tags"]) - {"mlflow.traceName"}
    assert [given(row) for row in found.tables["assessments"]] == [
        {
            "trace_id": TRACE_ID,
            "assessment_id": "a-1",
            "name": "ok",
            "assessment_type": "feedback",
            "value": "false",
            "error": '{"error_code": "ValueError"}',
            "created_timestamp": 1795562008370,
            "last_updated_timestamp": 1795562008371,
            "source_type": "HUMAN",
            "source_id": "me",
            "rationale": "r",
            "overrides": "a-0",
            "valid": False,
            "metadata": '{"m": "\\u00f1"}',
            "experiment_id": "1",
            "trace_timestamp": 1795562007283,
            "aggregate_value": 0.0,
            "is_numeric_value": False,
        }
    ]
    assert [given(row) for row in found.tables["spans"]] == [
        {
            "trace_id": TRACE_ID,
            "span_id": "2fa57aeaf85d04b9",
            "experiment_id": "1",
            "parent_span_id": "da9dbc439079d1f4",
            "name": "inner ü",
            "type": "CHAIN",
            "status": "OK",
            "start_time_unix_nano": 1795562007284029994,
            "end_time_unix_nano": 1795562007284316901,
            "content": json.dumps(SPAN, ensure_ascii=False),
        }
    ]
    assert {file.path for file in found.artifacts if file.owner_kind == TRACE} == {"traces.json", "attachments/0a"}


@pytest.mark.parametrize(
    ("assessment", "kind", "value"),
    [
        pytest.param({"feedback": {"value": 0.5, "error": None}}, "feedback", "0.5", id="number"),
        pytest.param({"feedback": {"value": None, "error": None}}, "feedback", "null", id="null"),
        pytest.param(
            {"feedback": None, "expectation": {"a": [1, 2]}}, "expectation", '{"a": [1, 2]}', id="expectation"
        ),
        pytest.param({"feedback": None, "issue": {"issue_name": "n"}}, "issue", '{"issue_name": "n"}', id="issue"),
    ],
)
def test_assessments(root: Path, assessment: dict[str, Any], kind: str, value: str) -> None:
    without_type = {name: each for name, each in FEEDBACK.items() if name != "assessment_type"}
    replace(root, TRACE_PLACE, trace({**without_type, "valid": None, **assessment}))
    found = read(root)
    assert [(row["assessment_type"], row["value"], row["valid"]) for row in found.tables["assessments"]] == [
        (kind, value, True)
    ]
    assert gaps(found) == set()


@pytest.mark.parametrize("missing", ["assessment_id", "name", "create_time_ms", "source"])
def test_an_assessment_that_lacks_what_it_needs_is_told(root: Path, missing: str) -> None:
    replace(root, TRACE_PLACE, trace({**FEEDBACK, missing: None}, FEEDBACK))
    found = read(root)
    assert len(found.tables["assessments"]) == 1
    assert gaps(found) == {("trace", TRACE_ID, "assessments/0", "G203")}


def test_a_trace_of_mlflow_2(root: Path) -> None:
    info = {
        "request_id": OLD_TRACE,
        "experiment_id": "1",
        "timestamp_ms": 5,
        "execution_time_ms": None,
        "status": "ERROR",
        "request_metadata": {"mlflow.sourceRun": A},
        "tags": {"mlflow.artifactLocation": f"/x/traces/{OLD_TRACE}/artifacts"},
    }
    folder = root / "experiments" / "1" / "traces" / OLD_TRACE
    write_document(folder / "trace.json", {"info": info, "data": [{"name": "s"}]})
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "traces.json").write_text('{"spans": [{"context": {}}]}')
    found = read(root)
    (row,) = found.rows("traces", trace_id=OLD_TRACE)
    assert given(row) == {"trace_id": OLD_TRACE, "experiment_id": "1", "request_time": 5, "state": "ERROR"}
    assert found.rows("trace_metadata", trace_id=OLD_TRACE)[0]["value"] == A
    assert [file.path for file in found.artifacts if file.owner_id == OLD_TRACE] == ["traces.json"]
    assert found.rows("spans", trace_id=OLD_TRACE) == []
    assert gaps(found) == set()


def test_a_trace_of_which_only_names_of_spans_were_exported_is_told(root: Path) -> None:
    (root / "experiments" / "1" / "traces" / TRACE_ID / "artifacts" / "traces.json").unlink()
    assert gaps(read(root)) == {("trace", TRACE_ID, "spans", "G403")}


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("[]", id="no spans"),
        pytest.param(json.dumps({"spans": [{**SPAN, "span_id": "x"}]}), id="no id"),
        pytest.param(json.dumps({"spans": [SPAN, SPAN]}), id="one id twice"),
        pytest.param(json.dumps({"spans": [{**SPAN, "status": {"code": "X"}}]}), id="no status"),
        pytest.param(json.dumps({"spans": [{**SPAN, "start_time_unix_nano": None}]}), id="no start"),
        pytest.param(json.dumps({"spans": [{"name": "x"}]}), id="no span"),
    ],
)
def test_a_payload_that_is_not_mlflows_is_kept_and_told(root: Path, payload: str) -> None:
    (root / "experiments" / "1" / "traces" / TRACE_ID / "artifacts" / "traces.json").write_text(payload)
    found = read(root)
    assert gaps(found) == {("trace", TRACE_ID, "spans", "G403")}
    assert found.tables["spans"] == []
    assert "traces.json" in {file.path for file in found.artifacts if file.owner_kind == TRACE}


def test_ids_of_spans_as_mlflow_3_5_wrote_them(root: Path) -> None:
    span = {**SPAN, "span_id": "2fa57aeaf85d04b9", "parent_span_id": None, "status": {"code": "OK"}}
    payload = json.dumps({"spans": [{**span, "end_time_unix_nano": None, "attributes": {}}]})
    (root / "experiments" / "1" / "traces" / TRACE_ID / "artifacts" / "traces.json").write_text(payload)
    (row,) = read(root).tables["spans"]
    assert (row["span_id"], row["parent_span_id"], row["status"], row["type"], row["end_time_unix_nano"]) == (
        "2fa57aeaf85d04b9",
        None,
        "OK",
        None,
        None,
    )
