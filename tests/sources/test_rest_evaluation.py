"""Evaluation datasets, scorers, issues, label schemas and review queues over the API."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.genai import label_schemas
from mlflow.utils.semver_utils import encode_prerelease_sort_key, parse_semver

from mlflow_archive.format import gaps
from mlflow_archive.kinds import EVALUATION_DATASET, GATEWAY_ENDPOINT, ISSUE, LABEL_SCHEMA, REVIEW_QUEUE, SCORER
from mlflow_archive.sources.rest.objects import evaluation
from mlflow_archive.sources.rest.objects.mcp import version_order
from tests.sources.rest_reading import ids, read
from tests.support.bad_network import bad_network
from tests.support.everything import Filled
from tests.support.mlflow_server import MlflowServer, running_server
from tests.support.tracking_uri import tracking_to

Everything = tuple[MlflowServer, Filled]


def test_records_have_the_hash_that_keeps_them_apart(everything: Everything, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "RECORDS", 1)
    found = read(everything[0].uri, kinds=(EVALUATION_DATASET,))
    rows = found.tables["evaluation_dataset_records"]
    assert len(rows) == 4
    for row in rows:
        inputs = json.dumps(json.loads(row["inputs"]), sort_keys=True)
        assert row["input_hash"] == hashlib.sha256(inputs.encode()).hexdigest()


@pytest.mark.parametrize(("experiment", "datasets"), [("elsewhere", {"questions"}), ("gone", set())])
def test_datasets_of_selected_experiments(everything: Everything, experiment: str, datasets: set[str]) -> None:
    server, filled = everything
    found = read(server.uri, experiments=(experiment,), kinds=(EVALUATION_DATASET,))
    assert ids(found, "evaluation_datasets", "dataset_id") == {filled.evaluation.datasets[name] for name in datasets}


def test_versions_of_scorers_name_the_endpoint_by_id(everything: Everything) -> None:
    """The server answers with the name; a name is no reference that lasts."""
    server, filled = everything
    found = read(server.uri, kinds=(SCORER,))
    scorer = filled.evaluation.scorers["judge ü"]
    rows = found.rows("scorer_versions", scorer_id=scorer)
    assert [row["version"] for row in rows] == [1, 2, 3]
    models = {json.loads(row["serialized_scorer"])["instructions_judge_pydantic_data"]["model"] for row in rows}
    assert models == {f"gateway:/{filled.gateway.endpoints['split']}"}
    assert ids(found, "online_scoring_configs", "scorer_id") == {scorer}


def test_scorers_of_a_deleted_experiment_are_told_of_where_an_endpoint_serves_them(everything: Everything) -> None:
    server, filled = everything
    found = read(server.uri, kinds=(SCORER, GATEWAY_ENDPOINT))
    lost = filled.evaluation.scorers["lost"]
    assert found.gaps() == {(lost, "", gaps.OBJECT_UNREADABLE)}
    assert lost not in ids(found, "scorers", "scorer_id")


def test_a_scorer_whose_versions_cannot_be_read_is_not_taken_for_a_hidden_one(
    everything: Everything,
) -> None:
    server, filled = everything
    with bad_network(server.uri) as network:
        network.change = lambda path, body: b'{"scorers": "odd"}' if "scorers/versions" in path else body
        found = read(network.uri, kinds=(SCORER, GATEWAY_ENDPOINT))
    told = {row["owner_id"]: row["reason"] for row in found.tables["gaps"] if "is deleted" in row["reason"]}
    assert set(told) == {filled.evaluation.scorers["lost"]}
    main = filled.runs.experiments["main"]
    assert found.gaps() - {(each, "", gaps.OBJECT_UNREADABLE) for each in told} == {
        (f"{main}/{name}", "", gaps.OBJECT_UNREADABLE) for name in ("judge ü", "other")
    }


def test_a_scorer_is_not_said_to_be_hidden_where_lists_cannot_be_read(everything: Everything) -> None:
    server, filled = everything
    with bad_network(server.uri) as network:
        network.change = lambda path, body: b'{"scorers": "odd"}' if "scorers/list" in path else body
        found = read(network.uri, kinds=(SCORER, GATEWAY_ENDPOINT))
    assert set(filled.evaluation.scorers.values()) <= {row["owner_id"] for row in found.tables["gaps"]}
    reasons = {row["owner_id"]: row["reason"] for row in found.tables["gaps"]}
    assert reasons.pop(filled.evaluation.scorers["lost"]) == "it is in no list of scorers that could be read"
    assert not [reason for reason in reasons.values() if "is deleted" in reason]


def test_issues_of_selected_experiments(everything: Everything) -> None:
    server, filled = everything
    found = read(server.uri, experiments=("main",), kinds=(ISSUE,))
    assert ids(found, "issues", "issue_id") == set(filled.evaluation.issues.values())
    assert read(server.uri, experiments=("elsewhere",), kinds=(ISSUE,)).tables["issues"] == []


def test_review_queues(everything: Everything) -> None:
    server, filled = everything
    found = read(server.uri, kinds=(REVIEW_QUEUE,))
    custom = filled.evaluation.queues["custom"]
    assert {row["user_id"] for row in found.rows("review_queue_users", queue_id=custom)} == {"ada", "bob"}
    states = {row["item_id"]: row["status"] for row in found.rows("review_queue_items", queue_id=custom)}
    traces = filled.traces.traces
    assert states == {traces["agent"]: "complete", traces["linked"]: "declined", traces["failed"]: "pending"}


def _schemas(server: MlflowServer) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(server.database)) as database:
        return sorted(database.execute("SELECT experiment_id, name FROM label_schemas").fetchall())


def test_label_schemas_are_read_without_a_change_to_the_server(tmp_path: Path) -> None:
    """The server's list makes a schema where there is none: it is read only once that is there."""
    with running_server(tmp_path) as server, tracking_to(server.uri):
        client = MlflowClient(server.uri)
        quiet, seen = client.create_experiment("quiet"), client.create_experiment("seen")
        for experiment in (quiet, seen):
            widget = label_schemas.InputPassFail(positive_label="Good", negative_label="Bad")
            label_schemas.create_label_schema("ok", type="feedback", input=widget, experiment_id=experiment)
        label_schemas.list_label_schemas(experiment_id=seen)
        before = _schemas(server)
        found = read(server.uri, kinds=(LABEL_SCHEMA,))
        assert _schemas(server) == before
        assert len(before) == 3
    rows = {(row["experiment_id"], row["name"], row["is_default"]) for row in found.tables["label_schemas"]}
    assert rows == {(seen, "ok", False), (seen, "Feedback", True)}


def test_label_schemas_that_queues_name_are_read(everything: Everything) -> None:
    server, filled = everything
    found = read(server.uri, kinds=(LABEL_SCHEMA,))
    assert ids(found, "label_schemas", "schema_id") == {filled.evaluation.schemas[name] for name in ("ok", "grade")}
    main = filled.runs.experiments["main"]
    assert [(row["owner_kind"], row["owner_id"]) for row in found.tables["gaps"]] == [(LABEL_SCHEMA, main)]


@pytest.mark.parametrize(
    "version", ["1.0.0", "0.10.3", "1.0.0-alpha.2", "1.0.0-alpha.10", "1.0.0-0.x-y", "2.0.0-rc.1+build.5", "3.0.0+b"]
)
def test_versions_of_mcp_servers_sort_as_mlflow_sorts_them(version: str) -> None:
    parsed = parse_semver(version)
    assert version_order(version) == {
        "version_major": parsed.major,
        "version_minor": parsed.minor,
        "version_patch": parsed.patch,
        "version_prerelease_sort_key": encode_prerelease_sort_key(parsed),
    }


def test_other_versions_have_no_order() -> None:
    assert version_order("latest") == {}


def test_a_dataset_whose_experiments_cannot_be_read_is_told(everything: Everything) -> None:
    server, filled = everything
    datasets = set(filled.evaluation.datasets.values())
    with bad_network(server.uri) as network:
        network.faults["/experiment-ids"] = ["403"] * len(datasets)
        found = read(network.uri, experiments=("main",), artifacts=False)
    told = {gap for gap in found.gaps() if gap[1] == "experiments"}
    assert told == {(dataset, "experiments", gaps.OBJECT_UNREADABLE) for dataset in datasets}
    assert found.rows("evaluation_datasets") == []


@pytest.mark.parametrize("records", ['{"a": 1}', "[1]", "no JSON", "[" * 5000 + "]" * 5000])
def test_records_in_an_odd_shape_are_a_gap(everything: Everything, records: str) -> None:
    server, _ = everything
    with bad_network(server.uri) as network:
        network.change = lambda path, content: (
            json.dumps({"records": records}).encode() if path.partition("?")[0].endswith("/records") else content
        )
        found = read(network.uri, kinds=(EVALUATION_DATASET,), artifacts=False)
    datasets = {row["dataset_id"] for row in found.rows("evaluation_datasets")}
    assert {(row["owner_id"], row["path"], row["code"]) for row in found.rows("gaps")} == {
        (dataset_id, "records", gaps.OBJECT_UNREADABLE) for dataset_id in datasets
    }
