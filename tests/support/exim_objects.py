"""Documents of mlflow-export-import about all kinds of object, as it wrote them of an MLflow 3.17 server, shortened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim import EximSource
from tests.support.exim import run_body, write_document, write_exim
from tests.support.mlruns import Experiment, Run, Store
from tests.support.reading import Read, read_source

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


def write_everything(place: Path) -> Path:
    """Write an export of all: all kinds of object in experiment 1, run B alone in experiment 2. Return the folder."""
    experiments = (
        Experiment(experiment_id="1", name="one", runs=(Run(run_id=A, name="first"),)),
        Experiment(experiment_id="2", name="two", runs=(Run(run_id=B, name="second"),)),
    )
    root = write_exim(Store(experiments=experiments), place)
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


TRACE_PLACE = f"experiments/1/traces/{TRACE_ID}/trace.json"
DATASET_PLACE = f"evaluation_datasets/ev_{DATASET}/evaluation_dataset.json"
