"""A backend database with every kind of object that MLflow 3 keeps, made through MLflow's own stores, with its files.

Run as a program, so that MLflow's state stays out of the tests:
``python -m tests.support.full_database URI ROOT FOLDER``.
``ROOT`` is what locations begin with, ``FOLDER`` where that lies. Prints names and ids as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.databases import empty_database
from tests.support.mlflow_server import _quiet_environment
from tests.support.session_folder import made_once

MODEL_CODE = """
import mlflow
class Double(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[int], params=None):
        return [2 * value for value in model_input]
mlflow.models.set_model(Double())
"""
SECRETS = ("sk-marker-secret-1", "marker-webhook-secret")
OLD_MS = 1_100_000_000_000
T0 = 1_760_000_000_000
ATTACHMENT = "11111111-2222-3333-4444-555555555555"
_COLUMNS: Final = """
SELECT tables.name, columns.name FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns
WHERE tables.type = 'table'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    """The database at ``uri``; ``ids`` names what is in it; ``files`` are all of its artifact files, by location."""

    uri: str
    folder: Path
    ids: dict[str, str]


def make_everything(uri: str, folder: Path, *, root: str | None = None) -> Everything:
    """Fill a new database; its files go to ``folder``, which locations name, or ``root`` if one is given.

    An SQLite database without such a root is a copy of one that is filled once a test run, but for its locations.
    """
    folder.mkdir(parents=True, exist_ok=True)
    database = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
    if database and not root:
        ids = _copy(database, folder)
    else:
        if database:
            shutil.copyfile(empty_database(), database)
        ids = _fill(uri.replace("postgresql://", "postgresql+psycopg2://", 1), folder, root or str(folder))
    return Everything(uri=uri, folder=folder, ids=ids)


def _fill(backend: str, folder: Path, root: str) -> dict[str, str]:
    command = [sys.executable, "-m", "tests.support.full_database", backend, root, str(folder)]
    environment = {**_quiet_environment(), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder.parent, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    ids: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return ids


def _copy(database: Path, folder: Path) -> dict[str, str]:
    original = made_once("full-database", _make_original)
    shutil.copytree(original / "files", folder, dirs_exist_ok=True)
    shutil.copyfile(original / "mlflow.db", database)
    before = (original / "root").read_text("utf-8")
    with closing(sqlite3.connect(database)) as connection:
        for table, column in connection.execute(_COLUMNS).fetchall():
            connection.execute(
                f'UPDATE "{table}" SET "{column}" = replace("{column}", ?1, ?2) WHERE instr("{column}", ?1)',  # noqa: S608
                (before, str(folder)),
            )
        connection.commit()
    ids: dict[str, str] = json.loads((original / "ids.json").read_text("utf-8").replace(before, str(folder)))
    return ids


def _make_original(folder: Path) -> None:
    files = folder / "files"
    files.mkdir(parents=True)
    shutil.copyfile(empty_database(), folder / "mlflow.db")
    (folder / "root").write_text(str(files), "utf-8")
    ids = _fill(f"sqlite:///{folder / 'mlflow.db'}", files, str(files))
    (folder / "ids.json").write_text(json.dumps(ids), "utf-8")


class Maker:
    """Fills the stores of one database."""

    def __init__(self, uri: str, root: str, folder: Path) -> None:
        import mlflow  # noqa: PLC0415
        from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry  # noqa: PLC0415
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415

        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        self.store: Any = SqlAlchemyStore(uri, root)
        self.registry: Any = Registry(uri)
        self.root, self.folder = root.rstrip("/"), folder
        self.ids: dict[str, str] = {}

    def place(self, uri: str) -> Path:
        assert uri.startswith(self.root)
        return self.folder / uri.removeprefix(self.root).lstrip("/")

    def put(self, uri: str, path: str, data: bytes) -> None:
        place = self.place(uri) / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)

    def save_model(self, uri: str, **facts: Any) -> None:
        """Save a model that doubles what it gets."""
        import mlflow  # noqa: PLC0415

        code = self.folder.parent / "double.py"
        code.write_text(MODEL_CODE)
        target = self.place(uri)
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        mlflow.pyfunc.save_model(str(target), python_model=str(code), pip_requirements=[], **facts)

    def make(self) -> None:
        self.runs()
        self.models()
        self.versions()
        self.traces()
        self.evaluation()
        self.gateway()
        self.mcp()
        self.workspaces()

    def runs(self) -> None:
        from mlflow.entities import Dataset, DatasetInput, ExperimentTag, InputTag, Metric, Param, RunTag  # noqa: PLC0415

        tags = [ExperimentTag("team", "ü")]
        experiment = self.ids["experiment"] = self.store.create_experiment("everything", tags=tags)
        self.ids["experiment uri"] = self.store.get_experiment(experiment).artifact_location
        for name in ("run", "other run", "deleted run"):
            run = self.store.create_run(experiment, "ada", T0, [RunTag("name", name)], name)
            run_id = self.ids[name] = run.info.run_id
            self.store.log_batch(run_id, [Metric("m", 0.5, T0, 1)], [Param("p", "v")], [])
            self.put(run.info.artifact_uri, f"notes/{name} ü.txt", name.encode())
            self.ids[f"{name} uri"] = run.info.artifact_uri
        dataset = Dataset("iris", "d1", "local", '{"uri": "/old/place/iris.csv"}')
        self.store.log_inputs(self.ids["run"], [DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])])
        self.save_model(f"{self.ids['other run uri']}/old-style")
        self.store.delete_run(self.ids["deleted run"])

    def models(self) -> None:
        from mlflow.entities import (  # noqa: PLC0415
            LoggedModelInput,
            LoggedModelOutput,
            LoggedModelParameter,
            LoggedModelStatus,
            LoggedModelTag,
            Metric,
        )

        experiment, run_id = self.ids["experiment"], self.ids["run"]
        for name, source in (("model", run_id), ("runless", None), ("pending", run_id), ("deleted", run_id)):
            made = self.store.create_logged_model(
                experiment, name, source, [LoggedModelTag("t", name)], [LoggedModelParameter("p", "x" * 500)], "agent"
            )
            self.ids[name] = made.model_id
            self.ids[f"{name} uri"] = made.artifact_location
            if name != "pending":
                self.save_model(made.artifact_location)
                self.store.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
        self.store.log_outputs(run_id, [LoggedModelOutput(self.ids["model"], 3)])
        self.store.log_inputs(self.ids["other run"], None, [LoggedModelInput(self.ids["model"])])
        self.store.log_batch(run_id, [Metric("f1", 0.25, T0, 0, self.ids["model"], "iris", "d1", run_id)], [], [])
        self.store.delete_logged_model(self.ids["deleted"])

    def versions(self) -> None:
        """Make versions of every kind of source; own files lie beside all runs."""
        from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag  # noqa: PLC0415

        registry = self.registry
        registry.create_registered_model("Shop 1", [RegisteredModelTag("owner", "ü")], "described")
        name = self.ids["name"] = "Shop 1"
        own = f"{self.root}/registry/own"
        self.save_model(own)
        sources = {
            1: (f"models:/{self.ids['model']}", self.ids["run"]),
            2: (self.ids["runless uri"], None),
            3: (f"runs:/{self.ids['other run']}/old-style", self.ids["other run"]),
            4: (own, None),
            5: (f"models:/{name}/4", None),
            6: (f"{self.ids['other run uri']}/old-style", self.ids["deleted run"]),
        }
        for version, (source, run_id) in sources.items():
            registry.create_model_version(
                name, source, run_id, [ModelVersionTag("v", str(version))], None, f"version {version}"
            )
        registry.create_model_version(name, own, None)
        registry.delete_model_version(name, "7")
        registry.transition_model_version_stage(name, "3", "Production", archive_existing_versions=False)
        registry.set_registered_model_alias(name, "champion", "4")
        registry.create_registered_model("prompt", [RegisteredModelTag("mlflow.prompt.is_prompt", "true")])
        tags = [ModelVersionTag("mlflow.prompt.is_prompt", "true"), ModelVersionTag("mlflow.prompt.text", "Hi {{x}}")]
        registry.create_model_version("prompt", "dummy-source", None, tags)
        self._webhook()

    def _webhook(self) -> None:
        from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent  # noqa: PLC0415

        event = WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)
        self.registry.create_webhook("hook", "https://93.184.216.34/hook", [event], "calls", SECRETS[1])

    def traces(self) -> None:
        """Make a trace for each home of the spans, one with an attachment, one that is not finished."""
        from mlflow.entities import AssessmentSource, Expectation, Feedback, TraceState  # noqa: PLC0415
        from mlflow.entities.model_registry import PromptVersion  # noqa: PLC0415

        human = AssessmentSource("HUMAN", "bob")
        for number, name in enumerate(("in database", "in file", "archived", "unfinished", "plain")):
            trace_id = self.ids[name] = f"tr-{number + 1:032x}"
            start = OLD_MS if name == "archived" else T0 + number
            state = TraceState.IN_PROGRESS if name == "unfinished" else TraceState.OK
            judged = [
                Feedback(name="good", value=name == "plain", source=human, trace_id=trace_id, rationale="r"),
                Expectation(name="answer", value={"a": 1}, source=human, trace_id=trace_id),
            ]
            location = self._start(trace_id, name, start, state, judged)
            spans = _spans(number + 1, trace_id, start, attached=name == "in database")
            if name == "in file":
                document = {"spans": [span.to_dict() for span in spans], "request": "q", "response": "r"}
                self.put(location, "traces.json", json.dumps(document).encode())
            elif name != "unfinished":
                self.store.log_spans(self.ids["experiment"], spans)
            if name == "in database":
                self.put(location, f"attachments/{ATTACHMENT}", b"\x89PNG attached")
        archive = f"{self.root}/trace-archive"
        if not self.root.startswith("mlflow-artifacts:"):
            archived = self.store.archive_traces(
                resolved_trace_archival_location=f"file://{archive}", broader_retention="3650d"
            )
            assert archived == 1, archived
        self.store.link_traces_to_run([self.ids["in database"], self.ids["in file"]], self.ids["run"])
        prompt = PromptVersion(name="prompt", version=1, template="Hi {{x}}")
        self.store.link_prompts_to_trace(self.ids["plain"], [prompt])

    def _start(self, trace_id: str, name: str, start: int, state: Any, judged: list[Any]) -> str:
        from mlflow.entities import TraceInfo, TraceLocation  # noqa: PLC0415

        place = TraceLocation.from_experiment_id(self.ids["experiment"])
        metadata = {"mlflow.trace.session": "s1", "long": "m" * 6000, "mlflow.sourceRun": self.ids["run"]}
        tags = {"mlflow.traceName": name, "long": "t" * 6000}
        info = TraceInfo(trace_id, place, start, state, "q ü", "r", f"client {name}", 25, metadata, tags, judged)
        return str(self.store.start_trace(info).tags["mlflow.artifactLocation"])

    def evaluation(self) -> None:
        from mlflow.genai.label_schemas import InputPassFail  # noqa: PLC0415

        experiment = self.ids["experiment"]
        dataset = self.store.create_dataset("questions", {"k": "v"}, [experiment])
        record = {"inputs": {"q": "ü"}, "expectations": {"a": 1}, "tags": {"t": "v"}, "outputs": "out"}
        self.store.upsert_dataset_records(dataset.dataset_id, [record])
        scorer = self.store.register_scorer(
            experiment, "judge", json.dumps({"name": "judge", "builtin_scorer_class": "X"})
        )
        self.ids["scorer"] = scorer.scorer_id
        self.store.register_scorer(experiment, "judge", json.dumps({"name": "judge", "v": 2}))
        self.store.create_issue(experiment, "slow", "too slow", source_run_id=self.ids["run"], categories=["c"])
        schema = self.store.create_label_schema(
            experiment, name="ok", type="feedback", input=InputPassFail(positive_label="yes", negative_label="no")
        )
        queue = self.store.create_review_queue(
            experiment, name="mine", queue_type="custom", users=["bob"], schema_ids=[schema.schema_id]
        )
        self.store.add_items_to_review_queue(queue.queue_id, item_ids=[self.ids["plain"]])

    def gateway(self) -> None:
        from mlflow import entities  # noqa: PLC0415
        from mlflow.entities import gateway_budget_policy as budget  # noqa: PLC0415

        store = self.store
        secret = store.create_gateway_secret("key", {"api_key": SECRETS[0]}, "openai", {"auth_mode": "api_key"}, "ada")
        model = store.create_gateway_model_definition("gpt", secret.secret_id, "openai", "gpt-4o", "ada")
        config = entities.GatewayEndpointModelConfig(
            model_definition_id=model.model_definition_id,
            linkage_type=entities.GatewayModelLinkageType.PRIMARY,
            weight=1.0,
        )
        endpoint = store.create_gateway_endpoint("chat", [config], "ada", experiment_id=self.ids["experiment"])
        store.set_gateway_endpoint_tag(endpoint.endpoint_id, entities.GatewayEndpointTag("k", "v"))
        store.create_endpoint_binding(endpoint.endpoint_id, "scorer", self.ids["scorer"])
        store.create_budget_policy(
            budget.BudgetUnit.USD,
            10.0,
            budget.BudgetDuration(budget.BudgetDurationUnit.DAYS, 1),
            budget.BudgetTargetScope.GLOBAL,
            budget.BudgetAction.ALERT,
        )
        guardrail = store.create_gateway_guardrail(
            "guard", self.ids["scorer"], 1, entities.GuardrailStage.BEFORE, entities.GuardrailAction.VALIDATION
        )
        store.add_guardrail_to_endpoint(endpoint.endpoint_id, guardrail.guardrail_id, 1)

    def mcp(self) -> None:
        store = self.store
        name = "io.github.org/server"
        store.create_mcp_server(name, "described")
        store.create_mcp_server_version({"name": name, "version": "1.0.0", "description": "d"}, source="s")
        store.set_mcp_server_tag(name, "k", "v")
        store.set_mcp_server_version_tag(name, "1.0.0", "k", "v")
        store.set_mcp_server_alias(name, "stable", "1.0.0")
        store.create_mcp_access_endpoint(name, "https://93.184.216.34/mcp", server_alias="stable")

    def workspaces(self) -> None:
        """Make a workspace with a model of the same name, straight in the tables: a store is of one workspace."""
        import sqlalchemy  # noqa: PLC0415

        own = f"{self.root}/registry/team"
        self.save_model(own)
        statements = (
            "INSERT INTO workspaces (name, description) VALUES ('team', 'a team')",
            (
                "INSERT INTO registered_models (workspace, name, creation_time, last_updated_time) "
                "VALUES ('team', 'Shop 1', 1, 1)"
            ),
            (
                "INSERT INTO model_versions (workspace, name, version, current_stage, source, status, creation_time, "
                "last_updated_time) VALUES ('team', :name, 1, 'None', :own, 'READY', 1, 1)"
            ),
            (
                "INSERT INTO online_scoring_configs (online_scoring_config_id, scorer_id, sample_rate, experiment_id) "
                "VALUES ('osc', :scorer, 0.5, :experiment)"
            ),
        )
        values = {"name": self.ids["name"], "own": own, "scorer": self.ids["scorer"], "experiment": 1}
        with self.store.engine.begin() as connection:
            for statement in statements:
                connection.execute(sqlalchemy.text(statement), values)


def _spans(number: int, trace_id: str, start_ms: int, *, attached: bool) -> list[Any]:
    from mlflow.entities.span import Span  # noqa: PLC0415
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
    from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags  # noqa: PLC0415

    contexts = [SpanContext(number, 256 * number + each + 1, False, TraceFlags(1)) for each in range(3)]
    start = start_ms * 1_000_000 + 123
    found = []
    for each, context in enumerate(contexts):
        outputs: Any = {"a": "answer", "n": each}
        if attached and each == 1:
            outputs = f"mlflow-attachment://{ATTACHMENT}?content_type=image%2Fpng&trace_id={trace_id}&size=13"
        attributes = {
            "mlflow.traceRequestId": json.dumps(trace_id),
            "mlflow.spanType": json.dumps("LLM"),
            "mlflow.spanInputs": json.dumps({"q": "ü"}),
            "mlflow.spanOutputs": json.dumps(outputs),
        }
        found.append(
            Span(
                ReadableSpan(
                    name=f"span {each}",
                    context=context,
                    parent=contexts[0] if each else None,
                    attributes=attributes,
                    start_time=start + each,
                    end_time=start + 1000 + each,
                    status=Status(StatusCode.OK),
                    resource=None,
                )
            )
        )
    return found


def main() -> None:
    uri, root, folder = sys.argv[1:]
    maker = Maker(uri, root, Path(folder))
    maker.make()
    print(json.dumps(maker.ids))


if __name__ == "__main__":
    main()
