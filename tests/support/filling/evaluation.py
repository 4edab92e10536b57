"""Evaluation datasets, scorers, label schemas, review queues and issues."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.genai import label_schemas, review_queues

from tests.support.filling.http import Http
from tests.support.filling.runs import Runs
from tests.support.filling.traces import Traces


@dataclass(kw_only=True)
class Evaluation:
    """Ids by name."""

    datasets: dict[str, str] = field(default_factory=dict)
    scorers: dict[str, str] = field(default_factory=dict)
    schemas: dict[str, str] = field(default_factory=dict)
    queues: dict[str, str] = field(default_factory=dict)
    issues: dict[str, str] = field(default_factory=dict)


def fill_evaluation(
    client: MlflowClient, http: Http, runs: Runs, traces: Traces, *, endpoint: str, prefix: str
) -> Evaluation:
    """Make two datasets, scorers (one in the experiment ``gone``), label schemas, review queues and issues.

    ``endpoint`` is the name of the gateway endpoint that the scorers ask.
    """
    made = Evaluation()
    _datasets(client, made, runs, traces, prefix)
    _scorers(http, made, runs, endpoint)
    _reviews(made, runs, traces)
    main = runs.experiments["main"]
    made.issues["slow"] = http.post(
        "3.0/mlflow/issues",
        experiment_id=main,
        name="Slow ü",
        description="It takes long.",
        status="pending",
        severity="high",
        root_causes=["network ü", "disk"],
        categories=["latency"],
        source_run_id=runs.runs["evaluation"],
        created_by="ada",
    )["issue"]["issue_id"]
    made.issues["bare"] = http.post("3.0/mlflow/issues", experiment_id=main, name="Bare", description="Nothing more.")[
        "issue"
    ]["issue_id"]
    return made


def _datasets(client: MlflowClient, made: Evaluation, runs: Runs, traces: Traces, prefix: str) -> None:
    experiments = [runs.experiments["main"], runs.experiments["elsewhere"]]
    full = client.create_dataset(f"{prefix}questions", experiments, tags={"team": "ü", "mlflow.user": "ada"})
    full.merge_records(
        [
            {
                "inputs": {"question": "What is ü?", "n": 1, "x": 0.1},
                "outputs": {"answer": ["a", {"b": None}]},
                "expectations": {"facts": ["a letter", 2]},
                "tags": {"level": "easy"},
                "source": {"source_type": "TRACE", "source_data": {"trace_id": traces.traces["agent"]}},
            },
            {"inputs": {"question": "And ö?"}, "expectations": {"facts": []}},
            {"inputs": {"nested": {"deep": [1, [2, {"three": None}]]}}, "outputs": "plain"},
            {"inputs": {"n": 2}, "source": {"source_type": "HUMAN", "source_data": {"user_name": "ada"}}},
        ]
    )
    made.datasets["questions"] = full.dataset_id
    made.datasets["empty"] = client.create_dataset(f"{prefix}empty", []).dataset_id


def _scorers(http: Http, made: Evaluation, runs: Runs, endpoint: str) -> None:
    model = f"gateway:/{endpoint}"
    for experiment, name, versions in (("main", "judge ü", 3), ("main", "other", 1), ("gone", "lost", 1)):
        for version in range(1, versions + 1):
            made.scorers[name] = http.post(
                "3.0/mlflow/scorers/register",
                experiment_id=runs.experiments[experiment],
                name=name,
                serialized_scorer=json.dumps(_scorer(name, version, model), ensure_ascii=False),
            )["scorer_id"]
    config: dict[str, Any] = {"experiment_id": runs.experiments["main"], "name": "judge ü", "sample_rate": 0.25}
    http.send("PUT", "3.0/mlflow/scorers/online-config", {**config, "filter_string": "attributes.status = 'OK'"})


def _scorer(name: str, version: int, model: str) -> dict[str, Any]:
    return {
        "name": name,
        "aggregations": None,
        "description": f"Version {version}, ü",
        "is_session_level_scorer": False,
        "mlflow_version": mlflow.__version__,
        "serialization_version": 1,
        "instructions_judge_pydantic_data": {
            "instructions": "Judge {{ outputs }}",
            "model": model,
            "feedback_value_type": {"type": "string", "title": "Result"},
        },
        "builtin_scorer_class": None,
        "builtin_scorer_pydantic_data": None,
        "call_source": None,
        "call_signature": None,
        "original_func_name": None,
    }


def _reviews(made: Evaluation, runs: Runs, traces: Traces) -> None:
    main = runs.experiments["main"]
    widgets: dict[str, tuple[str, Any]] = {
        "ok": ("feedback", label_schemas.InputPassFail(positive_label="Good ü", negative_label="Bad")),
        "grade": ("expectation", label_schemas.InputNumeric(min_value=0, max_value=9.5)),
        "colour": ("feedback", label_schemas.InputCategorical(options=["red", "grün"], multi_select=True)),
        "words": ("expectation", label_schemas.InputText()),
    }
    for name, (kind, widget) in widgets.items():
        made.schemas[name] = label_schemas.create_label_schema(
            name,
            type=kind,
            input=widget,
            instruction="Look at ü." if name == "ok" else None,
            enable_comment=name == "ok",
            experiment_id=main,
        ).schema_id
    custom = review_queues.create_review_queue(
        "First Look ü",
        queue_type="custom",
        users=["ada", "bob"],
        schema_ids=[made.schemas["ok"], made.schemas["grade"]],
        experiment_id=main,
    )
    user = review_queues.get_or_create_user_queue("carol", experiment_id=main)
    made.queues = {"custom": custom.queue_id, "user": user.queue_id}
    items = [traces.traces[name] for name in ("agent", "linked", "failed")]
    review_queues.add_items_to_review_queue(custom.queue_id, item_ids=items)
    review_queues.add_items_to_review_queue(user.queue_id, item_ids=items[:1])
    for trace_id, status in ((items[0], "complete"), (items[1], "declined")):
        review_queues.set_review_queue_item_status(
            custom.queue_id,
            item_id=trace_id,
            status=status,
            completed_by="ada",
        )
