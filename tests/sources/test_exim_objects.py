"""Logged models, traces, the registry, prompts and evaluation datasets in folders of mlflow-export-import.

The documents here are as the tool wrote them of an MLflow 3.17 server, shortened.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.tables import EVALUATION_DATASET, LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.pipeline import Quiet, Selection
from mlflow_archive.sources.exim import EximSource
from tests.support.exim import run_body, write_document, write_exim
from tests.support.mlruns import Experiment, Run, Store
from tests.support.reading import Read, content, read_source

A, B = "a" * 32, "b" * 32
MODEL = "m-ebf0d2a896b84caba1d3447770909714"
LONELY = "m-c09c1bd53eaa4ed2a360fdb93f5b25f5"
TRACE_ID, OLD_TRACE = "tr-54bb149a3adbdcfceeeee2a3992d644e", "0123456789abcdef0123456789abcdef"
DATASET = "d-ccd62cb9843b473d99d9257437a90471"


def logged_model(model_id: str, run_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "experiment_id": "1",
        "model_id": model_id,
        "name": "model",
        "artifact_location": f"mlflow-artifacts:/1/models/{model_id}/artifacts",
        "creation_time": 1795562004594,
        "last_updated_timestamp": 1795562006589,
        "model_type": "agent",
        "source_run_id": run_id,
        "status": "READY",
        "status_message": "",
        "tags": {"t": "v"},
        "params": {"depth": "3"},
        "metrics": [
            {
                "key": "f1",
                "value": float("nan"),
                "timestamp": 1795562006597,
                "step": 2,
                "model_id": model_id,
                "dataset_name": "iris",
                "dataset_digest": "2981c147",
                "run_id": run_id,
            }
        ],
        "model_uri": f"models:/{model_id}",
        **fields,
    }


SPAN = {
    "trace_id": "VLsUmjrb3Pzu7uKjmS1kTg==",
    "span_id": "L6V66vhdBLk=",
    "parent_span_id": "2p28Q5B50fQ=",
    "name": "inner ü",
    "start_time_unix_nano": 1795562007284029994,
    "end_time_unix_nano": 1795562007284316901,
    "events": [],
    "status": {"code": "STATUS_CODE_OK", "message": ""},
    "attributes": {"mlflow.spanType": '"CHAIN"', "mlflow.spanInputs": '{"x": 1}'},
    "links": [],
}
FEEDBACK = {
    "assessment_type": "feedback",
    "name": "ok",
    "source": {"source_type": "HUMAN", "source_id": "me"},
    "trace_id": TRACE_ID,
    "run_id": None,
    "rationale": "r",
    "metadata": {"m": "ñ"},
    "span_id": None,
    "create_time_ms": 1795562008370,
    "last_update_time_ms": 1795562008371,
    "assessment_id": "a-1",
    "error": {"error_code": "ValueError"},
    "expectation": None,
    "feedback": {"value": False, "error": {"error_code": "ValueError"}},
    "issue": None,
    "overrides": "a-0",
    "valid": False,
}


def trace(*assessments: dict[str, Any], **info: Any) -> dict[str, Any]:
    return {
        "info": {
            "trace_id": TRACE_ID,
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "1"}},
            "request_time": 1795562007283,
            "state": "OK",
            "request_preview": '{"x": 1}',
            "response_preview": None,
            "client_request_id": "cr1",
            "execution_duration": 1,
            "trace_metadata": {"mlflow.sourceRun": A, "long": "mv" * 300},
            "tags": {
                "mlflow.traceName": "outer",
                "mlflow.artifactLocation": f"mlflow-artifacts:/1/traces/{TRACE_ID}/artifacts",
                "mlflow.trace.spansLocation": "TRACKING_STORE",
            },
            "assessments": list(assessments),
            **info,
        },
        "data": [{"name": "outer", "trace_id": TRACE_ID, "span_id": "da9dbc439079d1f4", "parent_id": None}],
    }


def version(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "name": "reg",
        "version": str(number),
        "creation_timestamp": 1795562006904,
        "last_updated_timestamp": 1795562006904,
        "description": f"v{number}",
        "user_id": "",
        "current_stage": "None",
        "source": f"models:/{MODEL}",
        "run_id": A,
        "run_link": "",
        "status": "READY",
        "status_message": None,
        "tags": {"n": str(number)},
        "aliases": [],
        "model_id": None,
        "params": None,
        "metrics": None,
        "deployment_job_state": "None",
        "workspace": "default",
        "_experiment_name": "one",
        **fields,
    }


def registered_model(*versions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    model = {
        "name": "reg",
        "creation_timestamp": 1795562006858,
        "last_updated_timestamp": 1795562007208,
        "description": "d",
        "tags": [{"key": "a", "value": "b"}],
        "aliases": [{"alias": "champ", "version": "11"}],
        "versions": list(versions),
    }
    return {"registered_model": {**model, **fields}}


def prompt(number: int, template: object, **fields: Any) -> dict[str, Any]:
    body = {
        "name": "greet",
        "version": number,
        "template": template,
        "tags": {"p": "1"},
        "creation_timestamp": 1795562008464,
        "last_updated_timestamp": 1795562008465,
        "user_id": "",
        "description": "c1",
        "commit_message": "c1",
        "variables": ["name"],
        "uri": f"prompts:/greet/{number}",
    }
    return {"prompt": {**body, **fields}}


def dataset(*records: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body = {
        "name": "ev",
        "digest": "ffd26a35",
        "source": json.dumps({"dataset_id": DATASET}),
        "source_type": "mlflow_evaluation_dataset",
        "dataset_id": DATASET,
        "tags": {"dt": "dv"},
        "schema": '{"inputs": {"q": "string"}}',
        "profile": '{"num_records": 1}',
        "created_time": 1795562008737,
        "last_update_time": 1795562008764,
        "created_by": "root",
        "last_updated_by": "root",
        "experiment_ids": ["1"],
        "records": list(records),
    }
    return {"evaluation_dataset": {**body, **fields}}


RECORD = {
    "dataset_record_id": "dr-1",
    "dataset_id": DATASET,
    "inputs": {"q": "hí"},
    "expectations": {"a": "b"},
    "tags": {"k": "v"},
    "source": {"source_type": "TRACE", "source_data": {"trace_id": TRACE_ID}},
    "source_type": "TRACE",
    "created_time": 1795562008764,
    "last_update_time": 1795562008765,
    "created_by": "root",
    "last_updated_by": "root",
    "outputs": {},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an export of all with all kinds in experiment 1, run B alone in experiment 2."""
    experiments = (
        Experiment(experiment_id="1", name="one", runs=(Run(run_id=A, name="first"),)),
        Experiment(experiment_id="2", name="two", runs=(Run(run_id=B, name="second"),)),
    )
    root = write_exim(Store(experiments=experiments), tmp_path / "exported")
    one = root / "experiments" / "1"
    body = run_body(Run(run_id=A, name="first"), "1")
    outputs = {"model_outputs": [{"model_id": MODEL, "step": 3}]}
    write_document(one / "runs" / A / "run.json", {**body, "outputs": outputs, "traces": [TRACE_ID]})
    body = run_body(Run(run_id=B, name="second"), "2")
    inputs = {"dataset_inputs": [], "model_inputs": [{"model_id": MODEL}]}
    write_document(root / "experiments" / "2" / "runs" / B / "run.json", {**body, "inputs": inputs})
    for folder in (one / "logged_models" / MODEL, root / "models" / "reg" / MODEL):
        write_document(folder / "logged_model.json", logged_model(MODEL, A))
        (folder / "artifacts").mkdir()
        (folder / "artifacts" / "MLmodel").write_text("flavors: {}")
    write_document(one / "logged_models" / LONELY / "logged_model.json", logged_model(LONELY, "", metrics=None))
    folder = one / "traces" / TRACE_ID
    write_document(folder / "trace.json", trace(FEEDBACK))
    (folder / "artifacts" / "attachments").mkdir(parents=True)
    (folder / "artifacts" / "attachments" / "0a").write_bytes(b"png")
    (folder / "artifacts" / "traces.json").write_text(json.dumps({"spans": [SPAN]}))
    write_document(root / "models" / "reg" / "model.json", registered_model(*map(version, (1, 10, 11, 2))))
    write_document(root / "prompts" / "greet_v1" / "prompt.json", prompt(1, "Hello {{name}}"))
    write_document(root / "prompts" / "greet_v10" / "prompt.json", prompt(10, [{"role": "user", "content": "hé"}]))
    write_document(root / "evaluation_datasets" / f"ev_{DATASET}" / "evaluation_dataset.json", dataset(RECORD))
    return root


def read(root: Path, **selection: Any) -> Read:
    return read_source(EximSource(root), Selection(**selection))


def gaps(found: Read) -> set[tuple[str, str, str, str]]:
    return {(row["owner_kind"], row["owner_id"], row["path"], row["code"]) for row in found.rows("gaps")}


def given(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a row states."""
    return {name: value for name, value in row.items() if value is not None}


def replace(root: Path, place: str, body: object, **parts: Any) -> None:
    write_document(root / place, body, **parts)


LOGGED = f"experiments/1/logged_models/{MODEL}/logged_model.json"
TRACE_PLACE = f"experiments/1/traces/{TRACE_ID}/trace.json"
DATASET_PLACE = f"evaluation_datasets/ev_{DATASET}/evaluation_dataset.json"


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
        }
    ]
    assert {row["key"]: row["value"] for row in found.tables["trace_metadata"]}["long"] == "mv" * 300
    assert {row["key"] for row in found.tables["trace_tags"]} == set(trace()["info"]["tags"])
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


def test_registered_model(root: Path) -> None:
    found = read(root)
    (row,) = found.rows("registered_models", name="reg")
    assert given(row) == {
        "name": "reg",
        "workspace": "default",
        "creation_time": 1795562006858,
        "last_updated_time": 1795562007208,
        "description": "d",
    }
    assert sorted(row["version"] for row in found.rows("model_versions", name="reg")) == [1, 2, 10, 11]
    (row,) = found.rows("model_versions", name="reg", version=10)
    assert given(row) == {
        "name": "reg",
        "workspace": "default",
        "version": 10,
        "creation_time": 1795562006904,
        "last_updated_time": 1795562006904,
        "description": "v10",
        "user_id": "",
        "current_stage": "None",
        "source": f"models:/{MODEL}",
        "run_id": A,
        "run_link": "",
        "status": "READY",
    }
    assert [(row["alias"], row["version"]) for row in found.rows("registered_model_aliases", name="reg")] == [
        ("champ", 11)
    ]
    assert [row["value"] for row in found.rows("registered_model_tags", name="reg")] == ["b"]
    assert {row["version"]: row["value"] for row in found.rows("model_version_tags", name="reg")} == {
        1: "1",
        2: "2",
        10: "10",
        11: "11",
    }


def test_aliases_of_versions_are_those_of_the_model(root: Path) -> None:
    body = registered_model(version(11, aliases=["champ", "also"]), version(2, aliases=["x"]))
    replace(root, "models/reg/model.json", body)
    found = read(root)
    aliases = found.rows("registered_model_aliases", name="reg")
    assert {(row["alias"], row["version"]) for row in aliases} == {("champ", 11), ("also", 11), ("x", 2)}
    replace(root, "models/reg/model.json", registered_model(version(2, aliases=["champ"])))
    assert gaps(read(root)) == {("registered_model", "reg", "aliases/champ", "G403")}


def test_a_model_in_another_workspace(root: Path) -> None:
    replace(root, "models/reg/model.json", registered_model(version(1, workspace="w", run_id="c" * 32)))
    found = read(root)
    assert {(row["name"], row["workspace"]) for row in found.rows("model_versions", name="reg")} == {("reg", "w")}
    assert gaps(found) == {("run", "c" * 32, "", "G201")}
    replace(root, "models/reg/model.json", registered_model(version(1, workspace="w", status={})))
    assert gaps(read(root)) == {("registered_model", "w/reg", "versions/1/status", "G203")}


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        pytest.param(
            {"message": "deleted run", "version": version(3, run_id="c" * 32)},
            {("run", "c" * 32, "", "G201")},
            id="of which all is known",
        ),
        pytest.param(
            {"message": "Version run probably does not exist", "version": "3", "run_id": "c" * 32},
            {("registered_model", "reg", "versions/3", "G403")},
            id="of which little is known",
        ),
        pytest.param({"message": "x", "version": "1", "run_id": A}, set(), id="that is there all the same"),
    ],
)
def test_versions_that_the_tool_could_not_export(
    root: Path, failed: dict[str, Any], expected: set[tuple[str, str, str, str]]
) -> None:
    replace(root, "models/reg/model.json", registered_model(version(1)), info={"failed_versions": [failed]})
    found = read(root)
    assert gaps(found) == expected
    there = {1, 3} if isinstance(failed["version"], dict) else {1}
    assert {row["version"] for row in found.rows("model_versions", name="reg")} == there


def test_models_that_the_tool_could_not_export_are_told(root: Path) -> None:
    replace(root, "models/models.json", {"models": ["reg", "gone"]}, info={"failed_models": ["norunreg"]})
    replace(root, "prompts/prompts_summary.json", {"total_prompts": 3, "successful_exports": 2, "failed_exports": 1})
    replace(root, "experiments/1/traces/traces.json", {"experiments": [{"id": "1", "traces": [TRACE_ID, "tr-gone"]}]})
    replace(
        root,
        "experiments/1/logged_models/logged_models.json",
        {"experiments": []},
        info={"failed_logged_models": ["m-gone"]},
    )
    summary = {"datasets": [{"name": "ev", "dataset_id": DATASET}, {"name": "x", "dataset_id": "d-gone"}]}
    replace(root, "evaluation_datasets/evaluation_datasets_summary.json", summary)
    assert gaps(read(root)) == {
        ("registered_model", "gone", "", "G403"),
        ("registered_model", "norunreg", "", "G403"),
        ("registered_model", "", "prompts/prompts_summary.json", "G403"),
        ("trace", "tr-gone", "", "G403"),
        ("logged_model", "m-gone", "", "G403"),
        ("evaluation_dataset", "d-gone", "", "G403"),
    }


def test_one_version_with_its_run(tmp_path: Path) -> None:
    root = tmp_path / "version"
    write_document(root / "model.json", {"registered_model": {"name": "reg", "aliases": []}})
    write_document(
        root / "version.json", {"model_version": version(11, aliases=["champ"], _download_uri="models:/r/1")}
    )
    experiment = {"experiment_id": "1", "name": "one", "tags": [{"key": "team", "value": "ü"}]}
    write_document(root / "experiment.json", {"experiment": experiment})
    write_document(root / "run" / "run.json", run_body(Run(run_id=A), "1"))
    write_document(root / A / "logged_model.json", logged_model(MODEL, A))
    found = read(root)
    assert gaps(found) == set()
    assert [(row["version"], row["storage_location"]) for row in found.tables["model_versions"]] == [(11, None)]
    assert [row["alias"] for row in found.tables["registered_model_aliases"]] == ["champ"]
    assert [row["value"] for row in found.tables["experiment_tags"]] == ["ü"]
    assert [row["run_id"] for row in found.tables["runs"]] == [A]
    assert [row["model_id"] for row in found.tables["logged_models"]] == [MODEL]


@pytest.mark.parametrize(
    ("source", "run_files", "own"),
    [
        pytest.param(f"s3://b/1/{A}/artifacts/model", {"model/MLmodel": b"m"}, [], id="in the run"),
        pytest.param(f"runs:/{A}/model", {"model/MLmodel": b"m"}, [], id="in the run by its URI"),
        pytest.param(f"s3://b/1/{A}/artifacts/model", {"other/MLmodel": b"m"}, ["3/MLmodel"], id="not in the run"),
        pytest.param(f"s3://b/1/{A}/artifacts/model", {"model/MLmodel": b"mm"}, ["3/MLmodel"], id="other in the run"),
        pytest.param("s3://elsewhere/x", {}, ["3/MLmodel"], id="nowhere else"),
        pytest.param(f"models:/{MODEL}", {}, ["3/MLmodel"], id="other in the logged model"),
    ],
)
def test_files_of_a_version_are_its_own_only_if_they_are_nowhere_else(
    root: Path, source: str, run_files: dict[str, bytes], own: list[str]
) -> None:
    for path, data in run_files.items():
        place = root / "experiments" / "1" / "runs" / A / "artifacts" / path
        place.parent.mkdir(parents=True)
        place.write_bytes(data)
    replace(root, "models/reg/model.json", registered_model(version(3, source=source)))
    folder = root / "models" / "reg" / "version_models" / "3"
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_bytes(b"m")
    (folder / "registered_model_meta").write_text("model_name: reg")
    found = read(root)
    assert [file.path for file in found.artifacts if file.owner_kind == REGISTERED_MODEL] == own
    assert [file.owner_id for file in found.artifacts if file.owner_kind == REGISTERED_MODEL] == ["reg"] * len(own)
    assert gaps(found) == set()


def test_a_version_without_run_and_without_files_is_told(root: Path) -> None:
    replace(root, "models/reg/model.json", registered_model(version(3, run_id="", source="s3://elsewhere/x")))
    assert gaps(read(root)) == {("registered_model", "reg", "3", "G101")}
    assert gaps(read(root, artifacts=False)) == set()


def test_prompts_are_registered_models_with_mlflows_marks(root: Path) -> None:
    found = read(root)
    (row,) = found.rows("registered_models", name="greet")
    assert given(row) == {"name": "greet", "workspace": "default"}
    assert [(row["key"], row["value"]) for row in found.rows("registered_model_tags", name="greet")] == [
        ("mlflow.prompt.is_prompt", "true")
    ]
    (row,) = found.rows("model_versions", name="greet", version=1)
    assert given(row) == {
        "name": "greet",
        "workspace": "default",
        "version": 1,
        "creation_time": 1795562008464,
        "last_updated_time": 1795562008465,
        "description": "c1",
        "user_id": "",
        "current_stage": "None",
        "source": "prompt-template",
        "status": "READY",
    }

    def tags(number: int) -> dict[str, str]:
        return {row["key"]: row["value"] for row in found.rows("model_version_tags", name="greet", version=number)}

    assert tags(1) == {
        "p": "1",
        "mlflow.prompt.is_prompt": "true",
        "mlflow.prompt.text": "Hello {{name}}",
        "_mlflow_prompt_type": "text",
    }
    assert tags(10)["_mlflow_prompt_type"] == "chat"
    assert json.loads(tags(10)["mlflow.prompt.text"]) == [{"role": "user", "content": "hé"}]


def test_what_more_a_prompt_may_hold(root: Path) -> None:
    body = prompt(1, "x", description="of the prompt", commit_message="of the version", model_config={"t": 1}, new=1)
    replace(root, "prompts/greet_v1/prompt.json", body)
    found = read(root, models=("greet",))
    assert [row["description"] for row in found.rows("model_versions", version=1)] == ["of the version"]
    tags = {row["key"]: row["value"] for row in found.rows("model_version_tags", version=1)}
    assert tags["_mlflow_prompt_model_config"] == '{"t": 1}'
    assert gaps(found) == {("registered_model", "greet", "versions/1/new", "G203")}


def test_evaluation_dataset(root: Path) -> None:
    found = read(root)
    assert [given(row) for row in found.tables["evaluation_datasets"]] == [
        {
            "dataset_id": DATASET,
            "name": "ev",
            "schema": '{"inputs": {"q": "string"}}',
            "profile": '{"num_records": 1}',
            "digest": "ffd26a35",
            "created_time": 1795562008737,
            "last_update_time": 1795562008764,
            "created_by": "root",
            "last_updated_by": "root",
        }
    ]
    assert [given(row) for row in found.tables["evaluation_dataset_records"]] == [
        {
            "dataset_id": DATASET,
            "dataset_record_id": "dr-1",
            "inputs": '{"q": "h\\u00ed"}',
            "outputs": '{"mlflow_wrapped": {}}',
            "expectations": '{"a": "b"}',
            "tags": '{"k": "v"}',
            "source": json.dumps(RECORD["source"]),
            "source_id": TRACE_ID,
            "source_type": "TRACE",
            "created_time": 1795562008764,
            "last_update_time": 1795562008765,
            "created_by": "root",
            "last_updated_by": "root",
        }
    ]
    assert [row["experiment_id"] for row in found.tables["evaluation_dataset_experiments"]] == ["1"]


def test_records_without_an_id_get_one_that_stays(root: Path) -> None:
    plain = {"inputs": {"x": 1}}
    replace(root, DATASET_PLACE, dataset(plain, plain, {"outputs": 1}))
    found = read(root)
    ids = [row["dataset_record_id"] for row in found.tables["evaluation_dataset_records"]]
    assert len(set(ids)) == 2
    assert [row["dataset_record_id"] for row in read(root).tables["evaluation_dataset_records"]] == ids
    assert gaps(found) == {("evaluation_dataset", DATASET, "records/2/inputs", "G203")}


@pytest.mark.parametrize(
    ("place", "kind", "owner"),
    [
        pytest.param(
            f"experiments/1/logged_models/{LONELY}/logged_model.json", LOGGED_MODEL, LONELY, id="logged model"
        ),
        pytest.param(TRACE_PLACE, TRACE, TRACE_ID, id="trace"),
        pytest.param("models/reg/model.json", REGISTERED_MODEL, "reg", id="registered model"),
        pytest.param("prompts/greet_v1/prompt.json", REGISTERED_MODEL, "greet_v1", id="prompt"),
        pytest.param(DATASET_PLACE, EVALUATION_DATASET, f"ev_{DATASET}", id="evaluation dataset"),
    ],
)
@pytest.mark.parametrize("damage", ["{", '{"mlflow": {}}'], ids=["broken", "empty"])
def test_a_broken_document_is_told_and_the_rest_is_read(
    root: Path, place: str, kind: str, owner: str, damage: str
) -> None:
    whole = read(root)
    (root / place).write_text(damage)
    found = read(root)
    assert gaps(found) == {(kind, owner, "", "G403")}
    fewer = {name for name in whole.tables if len(found.tables[name]) < len(whole.tables[name])} - {"fingerprints"}
    assert fewer
    assert all(name.startswith(_TABLES_OF[kind]) for name in fewer)


_TABLES_OF = {
    LOGGED_MODEL: ("logged_model",),
    TRACE: ("trace", "assessments", "spans"),
    REGISTERED_MODEL: ("registered_model", "model_version"),
    EVALUATION_DATASET: ("evaluation_dataset",),
}

ALL = {
    "experiments": {"1", "2"},
    "runs": {A, B},
    "logged_models": {MODEL, LONELY},
    "traces": {TRACE_ID},
    "registered_models": {"reg", "greet"},
    "evaluation_datasets": {DATASET},
}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        pytest.param({}, ALL, id="all"),
        pytest.param({"experiments": ("two",)}, {"experiments": {"2"}, "runs": {B}}, id="experiment"),
        pytest.param(
            {"experiments": ("one",)},
            {**ALL, "experiments": {"1"}, "runs": {A}, "registered_models": set()},
            id="experiment with much in it",
        ),
        pytest.param(
            {"runs": (A,)},
            {"experiments": {"1"}, "runs": {A}, "logged_models": {MODEL}, "traces": {TRACE_ID}},
            id="run",
        ),
        pytest.param(
            {"runs": (B,)}, {"experiments": {"1", "2"}, "runs": {B}, "logged_models": {MODEL}}, id="run with an input"
        ),
        pytest.param(
            {"models": ("r*",)},
            {"experiments": {"1"}, "runs": {A}, "logged_models": {MODEL}, "registered_models": {"reg"}},
            id="model and what it stands on",
        ),
        pytest.param({"models": ("greet",)}, {"registered_models": {"greet"}}, id="prompt"),
        pytest.param({"kinds": (TRACE,)}, {"experiments": {"1"}, "traces": {TRACE_ID}}, id="only traces"),
        pytest.param({"kinds": (REGISTERED_MODEL,)}, {"registered_models": {"reg", "greet"}}, id="only the registry"),
        pytest.param(
            {"kinds": (RUN, EVALUATION_DATASET)},
            {"experiments": {"1", "2"}, "runs": {A, B}, "evaluation_datasets": {DATASET}},
            id="two kinds",
        ),
        pytest.param({"trace_filter": "status = 'ERROR'"}, {**ALL, "traces": set()}, id="no trace matches"),
        pytest.param({"trace_filter": f"run_id = '{A}' AND timestamp > 5"}, ALL, id="a trace matches"),
        pytest.param(
            {"filter_string": "attributes.run_name = 'first'"},
            {"experiments": {"1"}, "runs": {A}, "logged_models": {MODEL}, "traces": {TRACE_ID}},
            id="filter",
        ),
    ],
)
def test_selection(root: Path, selection: dict[str, Any], expected: dict[str, set[str]]) -> None:
    found = read(root, **selection)
    columns = {"registered_models": "name", "evaluation_datasets": "dataset_id"}
    assert {
        name: {row[columns.get(name, name[:-1] + "_id" if name != "logged_models" else "model_id")] for row in rows}
        for name, rows in found.tables.items()
        if name in ALL
    } == {name: expected.get(name, set()) for name in ALL}
    assert gaps(found) == set()


@pytest.mark.parametrize(
    "selection",
    [
        pytest.param(Selection(models=("no such*",)), id="model"),
        pytest.param(Selection(trace_filter="no filter at all"), id="trace filter"),
        pytest.param(Selection(trace_filter="span.name = 'x'"), id="what only a database can tell"),
        pytest.param(Selection(filter_string="no filter at all"), id="filter"),
    ],
)
def test_what_cannot_be_selected_is_refused(root: Path, selection: Selection) -> None:
    source = EximSource(root)
    source.facts()
    with pytest.raises(SelectionError):
        list(source.plan(selection, Quiet()))
