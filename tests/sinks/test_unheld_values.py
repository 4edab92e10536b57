"""Values that a target cannot hold arrive changed, with what they were in the receipt; no object is refused for one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, cast

import pytest

import mlflow_archive as ma
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.format.nul_characters import NUL, SHOWN, without_nul
from mlflow_archive.format.source_tags import PREFIX, shorten, shorten_key
from mlflow_archive.sinks.replay import ReplayOptions, ReplaySink, Target, open_target
from mlflow_archive.sinks.replay.sink import HeldTexts
from mlflow_archive.sinks.replay.writing.receipt import Receipt
from mlflow_archive.writer.export import ArchiveSink
from tests.support.chunks import ChunkSource, chunk, experiment, points, run, table
from tests.support.databases import PostgresServer

ODD: Final = f"a{NUL}b"
SEEN: Final = f"a{SHOWN}b"
A, B = "a" * 32, "b" * 32
MODEL: Final = "m-" + "c" * 32
EARLY, FAR = "tr-" + "1" * 32, "tr-" + "2" * 32
PARAM: Final = "é" * 7000
LONG: Final = "x" * 400


def source() -> ChunkSource:
    """Return some of each kind that has texts, times and numbers of its own."""
    at, named = {"experiment_id": "5"}, {"name": "reg", "workspace": "default"}
    of_model = {"model_id": MODEL, "key": "k"}
    version = {**named, "version": 1}
    odd_run = {**run(A, "5", run_name=f"n{ODD}"), "user_id": "u" * 300, "start_time": -5, "end_time": -4}
    early: dict[str, Any] = {"run_id": A, "key": "early", "value": 2.0, "timestamp": -7, "step": 3}
    model: dict[str, Any] = {**at, "model_id": MODEL, "name": "model", "status": "READY", "lifecycle_stage": "active"}
    model |= {"creation_timestamp": 1, "last_updated_timestamp": 2, "source_run_id": A, "model_type": "t" * 600}
    point = {**of_model, "timestamp": -5, "step": 1, "run_id": A, "value": float("inf")}
    schema = {**at, "schema_id": "ls", "name": "ok", "type": "feedback", "input_type": "text", "instruction": ODD}
    record = {"dataset_id": "d-1", "dataset_record_id": "dr-1", "created_time": 1, "inputs": json.dumps({"q": ODD})}
    text = json.dumps({"name": "judge", "n": ODD})
    return ChunkSource(
        (
            0,
            [
                chunk(
                    experiments=[experiment("5", f"main {ODD}"), experiment("6", LONG)],
                    experiment_tags=[{**at, "key": "t", "value": ODD}],
                )
            ],
        ),
        (
            1,
            [
                chunk(
                    runs=[odd_run, run(B, "6", run_name="in long")],
                    tags=[{"run_id": A, "key": "k", "value": ODD}],
                    params=[{"run_id": A, "key": "p", "value": ODD}, {"run_id": A, "key": "long", "value": PARAM}],
                    metrics=[*points(A, "m", [1.0, float("inf"), -float("inf"), -0.0]), early],
                )
            ],
        ),
        (
            2,
            [
                chunk(
                    logged_models=[model],
                    logged_model_params=[{**of_model, "value": ODD}],
                    logged_model_metrics=[point],
                ),
                chunk(
                    traces=[
                        {**at, "trace_id": EARLY, "request_time": -5, "state": "OK", "request_preview": ODD},
                        {**at, "trace_id": FAR, "request_time": 10**17, "state": "OK"},
                    ],
                    trace_tags=[{"trace_id": EARLY, "key": "k", "value": ODD}],
                ),
            ],
        ),
        (
            3,
            [
                chunk(
                    registered_models=[{**named, "description": ODD, "creation_time": 1}, {**named, "name": "r" * 300}],
                    model_versions=[{**version, "current_stage": "None", "status": "READY", "source": "s3://bucket/x"}],
                    model_version_tags=[{**version, "key": "k", "value": ODD}],
                ),
                chunk(issues=[{**at, "issue_id": "i1", "name": ODD, "description": ODD, "status": "resolved"}]),
                chunk(
                    evaluation_datasets=[{"dataset_id": "d-1", "name": ODD, "workspace": "default", "created_time": 1}],
                    evaluation_dataset_records=[record],
                ),
                chunk(
                    scorers=[{**at, "scorer_id": "sc", "name": "judge"}],
                    scorer_versions=[{"scorer_id": "sc", "version": 1, "serialized_scorer": text}],
                ),
                chunk(label_schemas=[{**schema, "enable_comment": False, "input_config": "{}", "is_default": False}]),
            ],
        ),
    )


def replay(uri: str, folder: Path) -> Report:
    return copy(source(), ReplaySink(open_target(uri, artifact_root=str(folder))), jobs=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'mlflow.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        yield server.new_database().replace("postgresql:", "postgresql+psycopg2:")


def test_all_of_it_arrives_and_a_second_import_changes_nothing(uri: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

    holds_nul, holds_any_length = not uri.startswith("postgresql"), uri.startswith("sqlite")
    text = ODD if holds_nul else SEEN
    report = replay(uri, tmp_path)
    assert report.gaps == []
    client = MlflowClient(uri)
    main = client.get_experiment_by_name(f"main {text}")
    long = client.get_experiment_by_name(LONG if holds_any_length else shorten_key(LONG, 256))
    (of_main,), (of_long,) = (client.search_runs([each.experiment_id]) for each in (main, long))
    assert of_long.data.tags[f"{PREFIX}metadata.experiment_name"] == LONG
    assert main.tags["t"] == of_main.data.tags["k"] == of_main.data.params["p"] == text
    assert (of_main.info.run_name, of_main.info.start_time) == (f"n{text}", -5)
    assert of_main.info.user_id == shorten("u" * 300, 256)
    assert of_main.data.tags[f"{PREFIX}run_info.user_id"] == "u" * 300
    assert of_main.data.params["long"] == shorten(PARAM, 6000)
    assert of_main.data.tags[f"{PREFIX}param.long"] == PARAM
    (early,) = client.get_metric_history(of_main.info.run_id, "early")
    assert (early.value, early.timestamp, early.step) == (2.0, 0, 3)
    far = client._tracing_client.get_trace_info(FAR)
    assert (far.request_time, far.tags[f"{PREFIX}trace.request_time"]) == (253402300799999, str(10**17))
    (model,) = client.search_logged_models([main.experiment_id])
    assert (model.params["k"], model.model_type) == (text, shorten("t" * 600, 500))
    assert client.get_registered_model("reg").description == text
    assert client.get_registered_model(shorten_key("r" * 300, 256))

    again = replay(uri, tmp_path)
    assert again.gaps == []
    outcomes: Any = {**again.details["outcomes"], "run": again.details}  # type: ignore[dict-item]
    assert {kind: (done["created"], done["updated"]) for kind, done in outcomes.items()} == dict.fromkeys(
        outcomes, (0, 0)
    )


def test_a_proof_counts_none_of_it_and_names_all(uri: str, tmp_path: Path) -> None:
    archive = tmp_path / "a.mlfa"
    copy(source(), ArchiveSink(archive, tool="test 1", clock_ms=lambda: 0), jobs=1)
    report = ma.import_archive(archive, uri, options=ReplayOptions(artifact_root=str(tmp_path / "root")))
    for receipt in (report.details, None):
        proof = ma.diff(archive, uri, imported=True, receipt=receipt)
        assert proof.proved, proof.changes
        fitted = {entry["place"]: entry["count"] for entry in proof.not_counted if entry["rule"] == "changed to fit"}
        numbers = {"metrics.value": 3, "metrics.timestamp": 1, "runs.user_id": 1, "traces.request_time": 1}
        assert numbers.items() <= fitted.items()
        assert {"params.value", "logged_models.model_type"} <= fitted.keys()
        with_nul = {"experiments.name", "tags.value", "registered_models.description", "label_schemas.instruction"}
        assert with_nul & fitted.keys() == (set() if uri.startswith("sqlite") else with_nul)


def test_the_receipt_has_what_it_was(uri: str, tmp_path: Path) -> None:
    report = replay(uri, tmp_path)
    changed, rewritten = (report.details[name] for name in ("changed", "rewritten"))
    assert isinstance(changed, dict)
    assert isinstance(rewritten, list)
    numbers = {"points_before_1970": 2, "infinite_points": 3, "negative_zero_points": 1, "trace_times_out_of_range": 1}
    assert {name: changed[name] for name in numbers} == numbers
    of_metrics = [
        {"table": "metrics", "key": {"run_id": A, "key": "early"}, "column": "timestamp", "points": 1}
        | {"first_ms": -7, "last_ms": -7},
        *(
            {"table": "metrics", "key": {"run_id": A, "key": "m"}, "column": "value", "points": 1, "original": text}
            for text in ("inf", "-inf", "-0.0")
        ),
    ]
    assert [entry for entry in rewritten if entry["table"] == "metrics"] == of_metrics
    with_nul = [entry for entry in rewritten if NUL in str(entry.get("original"))]
    if not uri.startswith("postgresql"):
        assert with_nul == []
        assert "texts_with_nul" not in changed
    else:
        assert changed["texts_with_nul"] == len(with_nul) == 14
        assert {"table": "params", "key": {"run_id": A, "key": "p"}, "column": "value", "original": ODD} in with_nul
        assert {entry["table"] for entry in with_nul} == {
            "experiments",
            "experiment_tags",
            "runs",
            "tags",
            "params",
            "logged_model_params",
            "traces",
            "trace_tags",
            "registered_models",
            "model_version_tags",
            "issues",
            "evaluation_datasets",
            "label_schemas",
        }


def test_a_server_is_asked_once_what_its_database_holds(uri: str, tmp_path: Path) -> None:
    class Server:
        """What a server on the same database is to an import: it does not say which one it has."""

        uri = "http://somewhere"
        searches = 0

        def __init__(self, target: Target) -> None:
            self._target = target

        @property
        def api(self) -> Any:
            self.searches += 1
            return self._target.api

    texts = chunk(tags=[{"run_id": A, "key": "k", "value": ODD}])
    with closing(open_target(uri, artifact_root=str(tmp_path))) as target:
        server = Server(target)
        held = HeldTexts(cast("Target", server), Receipt("", dry_run=False))
        values = [held.fit(texts).tables["tags"]["value"].to_pylist() for _ in range(2)]
        assert held.fit(chunk(tags=[{"run_id": A, "key": "k", "value": "plain"}])).tables["tags"].num_rows == 1
    assert values == [[ODD if uri.startswith("sqlite") else SEEN]] * 2
    assert server.searches == 1


def test_all_points_of_a_metric_are_one_entry() -> None:
    rows = table("metrics", points(A, ODD, [1.0, 2.0, 3.0]))
    rows, changed = without_nul("metrics", rows)
    assert rows["key"].to_pylist() == [SEEN] * 3
    assert [text.to_json() for text in changed] == [
        {"table": "metrics", "key": {"run_id": A, "key": ODD}, "column": "key", "original": ODD}
    ]
