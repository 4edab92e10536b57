"""Fields that this program does not know: one gap a kind and field of a source, with the number and an example."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.format.gaps import UNKNOWN_FIELD
from mlflow_archive.kinds import DATASET, IDENTITIES, KINDS, SCORER, WORKSPACE
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.counting import CountingSink
from mlflow_archive.sources.exim import EximSource
from mlflow_archive.sources.mlruns import MlrunsSource
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.sources.mlruns_objects import MODEL_ID, TRACE_ID, assessment, one_model, one_trace, read, registered, version
from tests.sources.rest_reading import read as read_server
from tests.support.bad_network import bad_network
from tests.support.corpora import EXIM_SAMPLES, FILE_STORES, exim_sample, store_path
from tests.support.everything import Filled
from tests.support.exim_objects import write_everything
from tests.support.mlflow_server import MlflowServer
from tests.support.mlruns import RUN_ID, Experiment, Run, Store, one_run, write_meta, write_store
from tests.support.reading import Read, read_source

WITHOUT_FILES: Final = Selection(artifacts=False)
_PARTS: Final = ("info", "data", "inputs", "outputs")
_OBJECTS: Final = (
    *_PARTS,
    *(
        "dataset",
        "evaluation_dataset",
        "experiment",
        "feedback",
        "model_version",
        "prompt",
        "registered_model",
        "source",
    ),
)
_OF_USERS: Final = ("tools", "icons", "template")
"""Lists that are carried as they are, whatever is in them."""

NOT_MLFLOW: Final = {("evaluation_dataset", "evaluation_dataset/records/targets"): "5 times"}
"""What an example of mlflow-export-import holds that no MLflow ever wrote."""


def unknown(found: Read) -> dict[tuple[str, str], str]:
    """Return how often each kind and field is counted."""
    rows = found.rows("gaps", code=UNKNOWN_FIELD, owner_kind="source")
    said = {(row["owner_id"], row["path"]): row["reason"].partition("a value ")[2] for row in rows}
    return {field: reason.partition(",")[0] for field, reason in said.items()}


@pytest.mark.parametrize(("corpus", "store"), FILE_STORES)
def test_none_in_real_file_stores(corpus: str, store: str) -> None:
    assert unknown(read_source(MlrunsSource(store_path(corpus, store)), WITHOUT_FILES)) == {}


@pytest.mark.parametrize("sample", EXIM_SAMPLES)
def test_none_in_exports_of_another_tool(sample: str) -> None:
    expected = NOT_MLFLOW if sample in ("oss_mlflow/bulk", "oss_mlflow/bulk/evaluation_datasets") else {}
    assert unknown(read_source(EximSource(exim_sample(sample)), WITHOUT_FILES)) == expected


def _spoil_document(part: dict[str, Any]) -> None:
    """Give each object in a document of mlflow-export-import a field of the future, but not maps of keys to values."""
    for name, content in part.items():
        if isinstance(content, dict) and name in _OBJECTS:
            _spoil_document(content)
        for item in content if isinstance(content, list) and name not in _OF_USERS else ():
            if isinstance(item, dict) and name == "records":
                item["later"] = "x"  # the rest of it is the user's
            elif isinstance(item, dict):
                _spoil_document(item)
    part["later"] = "x"


def test_a_field_in_each_object_of_another_tool_is_counted(tmp_path: Path) -> None:
    root = write_everything(tmp_path / "exported")
    plain = read_source(EximSource(root), WITHOUT_FILES)
    for path in root.rglob("*.json"):
        document = json.loads(path.read_text("utf-8"))
        if "mlflow" in document:
            _spoil_document(document["mlflow"])
            path.write_text(json.dumps(document), "utf-8")
    found = read_source(EximSource(root), WITHOUT_FILES)
    assert repr({**found.tables, "gaps": []}) == repr({**plain.tables, "gaps": []})
    assert unknown(found) == {
        ("experiment", "later"): "2 times",
        ("experiment", "experiment/later"): "2 times",
        ("run", "later"): "2 times",
        ("run", "info/later"): "2 times",
        ("run", "inputs/later"): "2 times",
        ("run", "inputs/model_inputs/later"): "once",
        ("run", "outputs/later"): "2 times",
        ("run", "outputs/model_outputs/later"): "once",
        ("logged_model", "later"): "2 times",
        ("logged_model", "metrics/later"): "once",
        ("trace", "later"): "once",
        ("trace", "info/later"): "once",
        ("trace", "info/assessments/later"): "once",
        ("trace", "info/assessments/feedback/later"): "once",
        ("trace", "info/assessments/source/later"): "once",
        ("evaluation_dataset", "later"): "once",
        ("evaluation_dataset", "evaluation_dataset/later"): "once",
        ("evaluation_dataset", "evaluation_dataset/records/later"): "once",
        ("registered_model", "later"): "3 times",
        ("registered_model", "registered_model/later"): "once",
        ("registered_model", "registered_model/tags/later"): "once",
        ("registered_model", "registered_model/aliases/later"): "once",
        ("registered_model", "versions/later"): "6 times",
    }


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a file store whose every meta.yaml has a field of the future; of traces and assessments there are two."""
    root = tmp_path / "mlruns"
    run = one_run(root)
    with (run / "meta.yaml").open("a") as file:
        file.write("later: 1\nempty: ''\nnothing: null\nnothings: []\nnone: {}\n")
    write_meta(root / "1", {"experiment_id": "1", "name": "one", "later": [1]})
    write_meta(
        root / "1" / "datasets" / "d", {"name": "d", "digest": "1", "source_type": "x", "source": "{}", "later": 1}
    )
    edge = {"source_type": "DATASET", "source_id": "d", "destination_type": "RUN", "destination_id": RUN_ID}
    write_meta(run / "inputs" / "i", {**edge, "tags": {"a": "b"}, "later": {"x": "y"}})
    output = {"source_type": "RUN_OUTPUT", "source_id": RUN_ID, "destination_type": "MODEL_OUTPUT", "step": 1}
    write_meta(run / "outputs" / MODEL_ID, {**output, "destination_id": MODEL_ID, "later": False})
    one_model(root, later="x")
    for trace_id in (TRACE_ID, "tr-" + "b" * 32):
        assessment(one_trace(root, trace_id, later=1), later=1, source={"source_type": "HUMAN", "later": 1})
    version(registered(root, later=1), later=1)
    return root


EXPECTED: Final = {
    ("experiment", "later"): "once",
    ("experiment", "datasets/later"): "once",
    ("run", "later"): "once",
    ("run", "inputs/later"): "once",
    ("run", "outputs/later"): "once",
    ("logged_model", "later"): "once",
    ("trace", "later"): "2 times",
    ("trace", "assessments/later"): "2 times",
    ("trace", "assessments/source/later"): "2 times",
    ("registered_model", "later"): "once",
    ("registered_model", "versions/later"): "once",
}


def test_a_field_in_each_file_of_a_store_is_counted(store: Path) -> None:
    found = read(store, WITHOUT_FILES)
    assert unknown(found) == EXPECTED
    assert len(found.rows("gaps")) == len(EXPECTED)
    [reason] = [row["reason"] for row in found.rows("gaps", owner_id="trace", path="later")]
    assert reason == f"this version knows no such field; this export met a value 2 times, such as in trace {TRACE_ID}"
    fingerprints = {(row["owner_kind"], row["owner_id"]) for row in found.rows("fingerprints")}
    assert fingerprints == {("run", RUN_ID), ("logged_model", MODEL_ID), *(("trace", f"tr-{i * 32}") for i in "ab")}
    assert unknown(read(store, Selection(artifacts=False, kinds=("run",)))).keys() >= {("run", "later")}


def test_an_append_keeps_them_once(store: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.mlfa"
    for append in (False, True):
        sink = ArchiveSink(archive, tool="test 1", clock_ms=lambda: 0, options=ArchiveOptions(append=append))
        copy(MlrunsSource(store), sink, WITHOUT_FILES)
        assert verify(archive).problems == []
        with open_archive(archive) as opened:
            rows = opened.table("gaps").to_pylist()
        assert {(row["owner_id"], row["path"]) for row in rows} == EXPECTED.keys()
        assert len(rows) == len(EXPECTED)


def test_none_on_a_server(everything: tuple[MlflowServer, Filled]) -> None:
    assert unknown(read_server(everything[0].uri, artifacts=False)) == {}


def _spoil(answer: Any) -> None:
    """Give every object that an answer lists, and the parts of it, a field of the future."""
    if isinstance(answer, dict):
        for name, content in answer.items():
            if name in ("label_schema", "model", "run"):
                _spoil([content])
            elif name in _PARTS or (isinstance(content, list) and name not in _OF_USERS):
                _spoil(content)
    elif isinstance(answer, list):
        for item in (item for item in answer if isinstance(item, dict)):
            _spoil(item)
            item["later"] = "x"


@contextmanager
def spoiled(uri: str) -> Iterator[str]:
    """Yield the URI of a server all of whose answers have fields of the future."""

    def change(path: str, content: bytes) -> bytes:
        is_payload = "get-trace-artifact" in path
        if "/mlflow/" not in path or not content.startswith((b"{", b"[")) or ("artifact" in path and not is_payload):
            return content
        if is_payload:
            return content.rstrip()[:-1] + b', "later": "x"}'  # the text of spans is carried as it is
        answer = json.loads(content)
        _spoil(answer)
        if isinstance(answer, dict):
            answer["later"] = "x"
        return json.dumps(answer).encode()

    with bad_network(uri) as network:
        network.change = change
        yield network.uri


def test_a_field_in_each_object_of_a_server_is_counted(everything: tuple[MlflowServer, Filled]) -> None:
    plain = read_server(everything[0].uri, artifacts=False)
    with spoiled(everything[0].uri) as uri:
        found = read_server(uri, artifacts=False)
    assert repr({**found.tables, "gaps": []}) == repr({**plain.tables, "gaps": []})
    counts = unknown(found)
    kinds = (kind for kind in KINDS if kind not in (WORKSPACE, DATASET))
    numbers = {kind: number for kind in kinds if (number := len(found.rows(IDENTITIES[kind].name)))}
    assert len(numbers) == len(KINDS) - 3  # MLflow has skills since 3.18
    numbers[SCORER] = len(found.rows("scorer_versions"))  # each of which has an answer
    assert {kind: counts.get((kind, "later")) for kind in numbers} == {kind: _times(n) for kind, n in numbers.items()}
    parts = {
        ("run", "data/params/later"): "params",
        ("run", "inputs/dataset_inputs/later"): "dataset_inputs",
        ("run", "inputs/model_inputs/later"): "model_inputs",
        ("run", "outputs/model_outputs/later"): "model_outputs",
        ("logged_model", "data/metrics/later"): "logged_model_metrics",
        ("trace", "assessments/later"): "assessments",
        ("registered_model", "versions/later"): "model_versions",
        ("registered_model", "aliases/later"): "registered_model_aliases",
        ("webhook", "events/later"): "webhook_events",
        ("gateway_endpoint", "bindings/later"): "gateway_endpoint_bindings",
        ("gateway_endpoint", "model_mappings/later"): "gateway_endpoint_models",
        ("guardrail", "endpoints/later"): "guardrail_endpoints",
        ("review_queue", "item/later"): "review_queue_items",
        ("mcp_server", "versions/later"): "mcp_server_versions",
    }
    assert {part: counts.get(part) for part in parts} == {
        part: _times(len(found.rows(table))) for part, table in parts.items()
    }
    assert {kind for kind, field in counts if field == "answer/later"} == numbers.keys()
    assert counts["trace", "payload/later"] == _times(len({row["trace_id"] for row in found.rows("spans")}))
    histories = {(row["run_id"], row["key"]) for row in found.rows("metrics")}
    assert counts["run", "metrics/later"] == counts["run", "data/metrics/later"] == _times(len(histories))


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def test_threads_and_shards_add_up(tmp_path: Path) -> None:
    runs = tuple(Run(run_id=f"{number:032x}") for number in range(301))
    write_store(Store(experiments=(Experiment(experiment_id="1", name="many", runs=runs),)), tmp_path / "mlruns")
    for run in runs:
        with (tmp_path / "mlruns" / "1" / run.run_id / "meta.yaml").open("a") as file:
            file.write("later: 1\n")
    report = copy(MlrunsSource(tmp_path / "mlruns"), CountingSink(), jobs=4)
    [gap] = report.gaps
    assert (gap.owner_kind, gap.owner_id, gap.path, gap.code) == ("source", "run", "later", UNKNOWN_FIELD)
    assert (
        gap.reason == f"this version knows no such field; this export met a value 301 times, such as in run {'0' * 32}"
    )
