"""A file store with every kind of object that MLflow 3 writes into one, made by MLflow itself in a process of its own.

``python -m tests.support.full_store FOLDER`` writes it to FOLDER/mlruns; MLflow keeps much about where it logs to in
global state, which must not reach other tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


def make_full_store(folder: Path) -> Path:
    """Write the store and return its folder."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path]),
    }
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.support.full_store", str(folder)],
        check=True,
        cwd=folder,
        env=environment,
    )
    return folder / "mlruns"


def _main(folder: Path) -> None:
    import mlflow  # noqa: PLC0415
    from mlflow import MlflowClient  # noqa: PLC0415

    root = folder / "mlruns"
    mlflow.set_tracking_uri(root.as_uri())
    mlflow.set_registry_uri(root.as_uri())
    client = MlflowClient()
    one, two, gone = (client.create_experiment(name) for name in ("one", "two", "gone"))
    files = folder / "files"
    _write(files / "MLmodel", "artifact_path: model\nflavors: {}\n")
    _write(files / "data" / "weights ü.bin", "weights")
    models = _logged_models(client, one, two, files)
    _registry(client, models, files, folder)
    _prompts(mlflow, client)
    _traces(mlflow, client, one, models["run"])
    _logged_models(client, gone, gone, files)
    _traces(mlflow, client, gone, None)
    client.delete_experiment(gone)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _logged_models(client: Any, one: str, two: str, files: Path) -> dict[str, str]:
    """Make logged models of every status, with metrics of two runs, one with a dataset; return their ids."""
    from mlflow.entities import LoggedModelInput, LoggedModelOutput, LoggedModelStatus, Metric  # noqa: PLC0415

    maker, user = (client.create_run(one).info.run_id for _ in range(2))
    ready = client.create_logged_model(
        one, name="ready", source_run_id=maker, tags={"t/a": "1\n2"}, params={"p": "x" * 300}, model_type="agent"
    ).model_id
    client.log_model_artifacts(ready, str(files))
    client.finalize_logged_model(ready, LoggedModelStatus.READY)
    client.set_logged_model_tags(ready, {"late": "é"})
    pending = client.create_logged_model(two, name="pending").model_id
    failed = client.create_logged_model(one, name="failed", source_run_id=user).model_id
    client.finalize_logged_model(failed, LoggedModelStatus.FAILED)
    deleted = client.create_logged_model(one, name="deleted", source_run_id=maker).model_id
    client.finalize_logged_model(deleted, LoggedModelStatus.READY)
    client.delete_logged_model(deleted)
    client.log_outputs(maker, [LoggedModelOutput(ready, 7), LoggedModelOutput(deleted, 0)])
    client.log_inputs(user, models=[LoggedModelInput(ready), LoggedModelInput(pending)])
    points = [("acc", 0.5, 1, None), ("acc", 0.75, 2, None), ("deep/auc", float("nan"), 0, ("data", "d1"))]
    for run_id in (maker, user):
        for key, value, step, dataset in points:
            name, digest = dataset or (None, None)
            metric = Metric(
                key, value, 1_700_000_000_000 + step, step, model_id=ready, dataset_name=name, dataset_digest=digest
            )
            client._tracking_client.store.log_metric(run_id, metric)
    return {"run": maker, "ready": ready, "deleted": deleted}


def _registry(client: Any, models: dict[str, str], files: Path, folder: Path) -> None:
    """Make registered models: one with twelve versions, stages, aliases, sources of all kinds, and an empty one."""
    client.create_registered_model("many", tags={"a/b": "1", "empty": ""}, description="line\nline ü")
    client.create_registered_model("none of it")
    client.log_artifacts(models["run"], str(files), "model")
    run_model = f"{client.get_run(models['run']).info.artifact_uri}/model"
    ready = f"models:/{models['ready']}"
    client.create_model_version("many", run_model, run_id=models["run"], run_link="http://elsewhere/run")
    client.create_model_version("many", ready, model_id=models["ready"], description="from a logged model")
    client.create_model_version("many", "models:/many/1", tags={"copied": "yes"})
    apart = folder / "apart" / "model"
    for path in files.rglob("*"):
        if path.is_file():
            _write(apart / path.relative_to(files), path.read_text("utf-8"))
    for _ in range(9):
        client.create_model_version("many", str(apart))
    client.transition_model_version_stage("many", "1", "Production")
    client.transition_model_version_stage("many", "2", "Production", archive_existing_versions=True)
    client.set_registered_model_alias("many", "champion", "12")
    client.set_registered_model_alias("many", "Old-1", "2")
    client.set_registered_model_alias("many", "gone", "5")
    client.set_model_version_tag("many", "2", "checked/by", "me\n")
    client.delete_model_version("many", "5")


def _prompts(mlflow: Any, client: Any) -> None:
    for template in ("Hello {{name}}", "Hi {{name}}!\n"):
        mlflow.genai.register_prompt("greeting", template, commit_message="m", tags={"k": "v"})
    chat = [{"role": "system", "content": "You are {{x}}"}, {"role": "user", "content": "é"}]
    mlflow.genai.register_prompt("talk", chat)
    mlflow.genai.set_prompt_alias("greeting", "production", 1)


def _traces(mlflow: Any, client: Any, experiment_id: str, run_id: str | None) -> None:
    """Log a trace with spans and attachments, one that failed, one that only began, and assess the first."""
    from mlflow.entities import AssessmentSource, Expectation, Feedback  # noqa: PLC0415
    from mlflow.entities.assessment import IssueReference  # noqa: PLC0415
    from mlflow.tracing.attachments import Attachment  # noqa: PLC0415

    mlflow.set_experiment(experiment_id=experiment_id)

    def traced() -> str:
        with mlflow.start_span("outer", attributes={"n": 1, "text": "é"}) as outer:
            outer.set_inputs({"question": "why?", "long": "x" * 2000})
            picture = Attachment(content_bytes=b"\x89PNG picture", content_type="image/png")
            with mlflow.start_span("inner", span_type="LLM") as inner:
                inner.set_outputs({"picture": picture})
                mlflow.update_current_trace(
                    tags={"team": "x\ny", "long": "t" * 3000}, metadata={"m": "v"}, client_request_id="c-1"
                )
            outer.set_outputs("because")
        return str(outer.trace_id)

    if run_id is None:
        trace_id = traced()
    else:
        with mlflow.start_run(run_id):
            trace_id = traced()
    try:
        with mlflow.start_span("bad"):
            raise RuntimeError("on purpose")  # noqa: TRY301
    except RuntimeError:
        pass
    store = client._tracking_client.store
    person = AssessmentSource(source_type="HUMAN", source_id="me@example.com")
    values: list[Any] = [True, 3, 0.25, "text", ["a", "b"], {"k": 1.5}, None]
    for number, value in enumerate(values):
        feedback = Feedback(
            name=f"f{number}", value=value, source=person, trace_id=trace_id, rationale="since", span_id="00ff"
        )
        store.create_assessment(feedback)
    first = store.create_assessment(
        Feedback(name="judged", value=1, trace_id=trace_id, metadata={"mlflow.assessment.sourceRunId": run_id or "r"})
    )
    store.create_assessment(
        Feedback(name="judged", value=2, trace_id=trace_id, overrides=first.assessment_id, metadata={"a": "b"})
    )
    store.create_assessment(Feedback(name="broken", error=ValueError("no"), trace_id=trace_id))
    for value in ("plain", ["a", {"b": [1, None]}], {"z": 1, "a": "é"}, 7, False):
        store.create_assessment(Expectation(name="e", value=value, trace_id=trace_id, source=person))
    store.create_assessment(IssueReference(issue_id="is-1", issue_name="slow", trace_id=trace_id))
    begun = store.deprecated_start_trace_v2(experiment_id, 1_700_000_000_123, {"mlflow.sourceRun": "x"}, {"k": "v"})
    assert begun.request_id != trace_id


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
