"""Traces of file stores: V3 and V2, payloads, filters."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Quiet
from mlflow_archive.format.gaps import ARTIFACT_LISTING, ARTIFACT_MISSING, FIELD_UNREADABLE, OBJECT_UNREADABLE
from mlflow_archive.kinds import KINDS
from mlflow_archive.kinds.traces import COSTS, TOKENS
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns import MlrunsSource
from mlflow_archive.sources.mlruns.times import duration_ms, time_ms
from mlflow_archive.sources.reading.trace_columns import COST, NAME_TAG, SESSION, USAGE
from tests.sources.mlruns_objects import TRACE_ID, one_trace, read
from tests.support.corpora import store_facts, store_path
from tests.support.mlruns import RUN_ID, one_run, write_meta
from tests.support.reading import Read, content

CORPUS = ("gyasis__PromptChain", "data/examples/mlruns")
OTHER_ID = "b" * 32  # as MLflow 2 made them
ERROR = '{"error_code": "E", "error_message": null, "stack_trace": null}'


# --- what was counted, what MLflow reads -------------------------------------------------------------------------


def as_shown(found: Read, trace_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return tags and metadata of a trace as MLflow shows them, JSON of tokens and cost decoded."""
    [row] = found.rows("traces", trace_id=trace_id)
    tags, metadata = (
        {each["key"]: each["value"] for each in found.rows(table, trace_id=trace_id)}
        for table in ("trace_tags", "trace_metadata")
    )
    for pairs, key, name in ((tags, NAME_TAG, "trace_name"), (metadata, SESSION, "session_id")):
        if row[name] is not None:
            assert key not in pairs
            pairs[key] = row[name]
    for key, names in ((USAGE, TOKENS), (COST, COSTS)):
        if numbers := {name: row[name] for name in names if row[name] is not None}:
            assert key not in metadata
            metadata[key] = numbers
    return tags, metadata


def decoded(metadata: dict[str, str]) -> dict[str, Any]:
    return {key: json.loads(value) if key in (USAGE, COST) else value for key, value in metadata.items()}


def test_a_real_store_has_the_counted_content() -> None:
    facts = store_facts(*CORPUS)
    found = read(store_path(*CORPUS))
    files = [file for file in found.artifacts if file.owner_kind == "trace"]
    assert {
        "traces": len(found.tables["traces"]),
        "trace_tags": sum(len(as_shown(found, row["trace_id"])[0]) for row in found.tables["traces"]),
        "trace_metadata": sum(len(as_shown(found, row["trace_id"])[1]) for row in found.tables["traces"]),
        "trace_artifact_files": len(files),
    } == {name: facts[name] for name in ("traces", "trace_tags", "trace_metadata", "trace_artifact_files")}
    assert {file.path for file in files} == {"traces.json"}
    spans = [len(json.loads(content(file))["spans"]) for file in files]
    stats = [json.loads(row["value"]) for row in found.rows("trace_metadata", key="mlflow.trace.sizeStats")]
    assert sorted(spans) == sorted(each["num_spans"] for each in stats)
    assert len(found.rows("fingerprints", owner_kind="trace")) == facts["traces"]
    assert (found.gaps(), found.tables["spans"]) == (set(), [])


@pytest.mark.parametrize("corpus", [True, False], ids=["corpus", "written by MLflow"])
def test_every_value_is_what_mlflow_reads(
    full_store: Path, corpus: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.tracking.file_store import FileStore  # noqa: PLC0415

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    root = tmp_path / "mlruns"
    shutil.copytree(store_path(*CORPUS) if corpus else full_store, root)
    found = read(root)
    store = FileStore(str(root))
    folders = [path.parent for pattern in ("*", ".trash/*") for path in root.glob(f"{pattern}/traces/*/*_info.yaml")]
    assert sorted(row["trace_id"] for row in found.tables["traces"]) == sorted(path.name for path in folders)
    assert len(folders) == (8 if corpus else 6)
    for folder in folders:
        theirs = store._get_trace_info_from_dir(str(folder))
        (row,) = found.rows("traces", trace_id=folder.name)
        columns = {"trace_name", "session_id", *TOKENS, *COSTS}
        assert {name: value for name, value in row.items() if value is not None and name not in columns} == {
            name: value
            for name, value in {
                "trace_id": theirs.trace_id,
                "experiment_id": theirs.experiment_id,
                "request_time": theirs.request_time,
                "execution_duration_ms": theirs.execution_duration,
                "state": theirs.state.value,
                "client_request_id": theirs.client_request_id,
                "request_preview": theirs.request_preview,
                "response_preview": theirs.response_preview,
            }.items()
            if value is not None
        }
        assert as_shown(found, folder.name) == (theirs.tags, decoded(theirs.trace_metadata))
        assert_same_assessments(found.rows("assessments", trace_id=folder.name), theirs.assessments)


def assert_same_assessments(rows: list[dict[str, Any]], theirs: list[Any]) -> None:
    """Compare with what MLflow reads, and with what its database would hold for the same entities."""
    from mlflow.store.tracking.dbmodels.models import SqlAssessments  # noqa: PLC0415

    by_id = {each.assessment_id: each for each in theirs}
    assert {row["assessment_id"] for row in rows} == set(by_id)
    for row in rows:
        entity = by_id[row["assessment_id"]]
        stored = SqlAssessments.from_mlflow_entity(entity)
        names = (
            "trace_id name assessment_type value error created_timestamp last_updated_timestamp source_type source_id "
            "run_id span_id rationale"
        )
        for name in names.split():
            assert (name, row[name]) == (name, getattr(stored, name))
        assert row["metadata"] == stored.assessment_metadata
        if row["assessment_type"] == "feedback":  # MLflow forgets these of other types when it reads them
            assert (row["overrides"], row["valid"]) == (entity.overrides, entity.valid)


def test_a_store_written_by_mlflow_comes_in_full(full_read: Read) -> None:
    """What MLflow's reader of infos does not show: payloads and attachments, full lengths, traces of deleted ones."""
    states = Counter(row["state"] for row in full_read.tables["traces"])
    assert states == {"OK": 2, "ERROR": 2, "IN_PROGRESS": 2}
    stages = {row["experiment_id"]: row["lifecycle_stage"] for row in full_read.tables["experiments"]}
    assert Counter(stages[row["experiment_id"]] for row in full_read.tables["traces"]) == {"active": 3, "deleted": 3}
    for row in full_read.rows("traces", state="OK"):
        trace_id = row["trace_id"]
        assert row["client_request_id"] == "c-1"
        tags = {each["key"]: each["value"] for each in full_read.rows("trace_tags", trace_id=trace_id)}
        assert (tags["team"], tags["long"], row["trace_name"]) == ("x\ny", "t" * 3000, "outer")
        files = {file.path: content(file) for file in full_read.artifacts if file.owner_id == trace_id}
        payload = json.loads(files.pop("traces.json"))
        assert [span["name"] for span in payload["spans"]] == ["outer", "inner"]
        ((path, data),) = files.items()
        assert path.startswith("attachments/")
        assert data == b"\x89PNG picture"
        assert path.removeprefix("attachments/") in json.dumps(payload)
        valid = {row["value"]: row["valid"] for row in full_read.rows("assessments", trace_id=trace_id, name="judged")}
        assert valid == {"1.0": False, "2.0": True}
    assert full_read.tables["spans"] == full_read.tables["trace_links"] == []


# --- trace_info.yaml ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "column", "value", "gap"),
    [
        ({}, "request_time", 1_768_913_496_189, False),
        ({"request_time": "2026-01-20 12:51:36+01:00"}, "request_time", 1_768_909_896_000, False),
        ({"request_time": 1_700_000_000_123}, "request_time", 1_700_000_000_123, False),
        ({"request_time": "1969-12-31T23:59:59.999999Z"}, "request_time", -1, False),
        ({"request_time": None}, "request_time", 0, True),
        ({"request_time": "yesterday"}, "request_time", 0, True),
        ({"request_time": "2026-13-20T12:51:36Z"}, "request_time", 0, True),
        ({"execution_duration_ms": None}, "execution_duration_ms", None, False),
        ({"execution_duration_ms": "long"}, "execution_duration_ms", None, True),
        ({"execution_duration_ms": None, "execution_duration": "1.500s"}, "execution_duration_ms", 1500, False),
        ({"execution_duration_ms": None, "execution_duration": "soon"}, "execution_duration_ms", None, True),
        ({"state": None}, "state", "STATE_UNSPECIFIED", True),
        ({"state": "NEW_STATE"}, "state", "NEW_STATE", False),
        ({"client_request_id": "0123"}, "client_request_id", "0123", False),
        ({"request_preview": "no"}, "request_preview", "no", False),
    ],
)
def test_fields(root: Path, fields: dict[str, Any], column: str, value: object, gap: bool) -> None:
    one_trace(root, **fields)
    found = read(root)
    assert found.tables["traces"][0][column] == value
    assert found.gaps() == ({(TRACE_ID, column, FIELD_UNREADABLE)} if gap else set())
    assert len(found.rows("fingerprints", owner_kind="trace")) == (0 if gap else 1)


@pytest.mark.parametrize(
    ("status", "state"), [("OK", "OK"), ("ERROR", "ERROR"), ("TRACE_STATUS_UNSPECIFIED", "STATE_UNSPECIFIED")]
)
def test_a_trace_of_mlflow_2(root: Path, status: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.store.tracking.file_store import FileStore  # noqa: PLC0415

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    info = {
        "assessments": [],
        "execution_time_ms": 12,
        "experiment_id": "1",
        "request_id": OTHER_ID,
        "status": status,
        "timestamp_ms": 1_700_000_000_123,
    }
    values = {"request_metadata/mlflow.traceInputs": '{"x": 1}', "tags/mlflow.traceName": "old", "tags/é": ""}
    folder = one_trace(root, OTHER_ID, info=info, files=values)
    found = read(root)
    (row,) = found.tables["traces"]
    theirs = FileStore(str(root))._get_trace_info_from_dir(str(folder))
    assert (row["trace_id"], row["request_time"], row["execution_duration_ms"], row["state"]) == (
        theirs.trace_id,
        theirs.request_time,
        theirs.execution_duration,
        theirs.state.value,
    )
    assert (row["state"], row["request_time"]) == (state, 1_700_000_000_123)
    assert as_shown(found, OTHER_ID) == (theirs.tags, theirs.trace_metadata)
    assert found.gaps() == set()


@pytest.mark.parametrize("text", ["", "x", "2026-01-20T12:51:36", "2026-01-20", "12:51Z"])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        time_ms(text)
    with pytest.raises(ValueError, match="is no duration"):
        duration_ms(text)


def test_an_attachment_that_spans_name_and_that_is_not_there_is_a_gap(root: Path) -> None:
    folder = one_trace(root, files={"artifacts/attachments/there": "1"})
    named = [f"mlflow-attachment://{name}?content_type=x&trace_id={TRACE_ID}" for name in ("there", "lost")]
    (folder / "artifacts" / "traces.json").write_text(json.dumps({"spans": [{"attributes": {"a": json.dumps(named)}}]}))
    assert read(root).gaps() == {(TRACE_ID, "attachments/lost", ARTIFACT_MISSING)}
    assert read(root, Selection(artifact_globs=("traces.json",))).gaps() == set()


@pytest.mark.parametrize("data", [b"", b"- a\n", b"x: [\n", b"state: OK\n", b"trace_id: other\n", None])
def test_a_broken_trace_is_a_gap_and_the_others_go_on(root: Path, data: bytes | None) -> None:
    folder = one_trace(root, files={"tags/t": "1"})
    one_trace(root, OTHER_ID)
    if data is None:
        (folder / "trace_info.yaml").unlink()
    else:
        (folder / "trace_info.yaml").write_bytes(data)
    found = read(root, Selection(trace_filter="tags.t = '2'")) if data == b"" else read(root)
    assert [row["trace_id"] for row in found.tables["traces"]] == ([] if data == b"" else [OTHER_ID])
    assert found.gaps() == {(TRACE_ID, "", OBJECT_UNREADABLE)}


def test_a_value_that_is_no_text_is_a_gap_and_the_rest_is_read(root: Path) -> None:
    folder = one_trace(root, files={"tags/good": "1", "request_metadata/good": "1"})
    (folder / "tags" / "bad").write_bytes(b"\xff")
    (folder / "request_metadata" / "bad").write_bytes(b"\xff")
    found = read(root)
    assert [row["key"] for row in found.tables["trace_tags"]] == ["good"]
    assert found.gaps() == {
        (TRACE_ID, "tags/bad", FIELD_UNREADABLE),
        (TRACE_ID, "request_metadata/bad", FIELD_UNREADABLE),
    }


def test_a_trace_in_two_experiments_is_a_gap(root: Path) -> None:
    one_trace(root)
    write_meta(root / "2", {"name": "two", "experiment_id": "2"})
    shutil.copytree(root / "1" / "traces", root / "2" / "traces")
    found = read(root)
    assert [row["experiment_id"] for row in found.tables["traces"]] == ["1"]
    assert found.gaps() == {(TRACE_ID, f"2/traces/{TRACE_ID}", OBJECT_UNREADABLE)}


# --- artifacts ---------------------------------------------------------------------------------------------------


def test_spans_that_were_counted_and_are_not_there_are_a_gap(root: Path) -> None:
    folder = one_trace(root, files={"request_metadata/mlflow.trace.sizeStats": '{"num_spans": 1}'})
    assert read(root).gaps() == {(TRACE_ID, "traces.json", ARTIFACT_MISSING)}
    assert read(root, Selection(artifacts=False)).gaps() == set()
    assert read(root, Selection(artifact_globs=("model/*",))).gaps() == set()
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "traces.pb").write_bytes(b"x")
    found = read(root)
    assert (found.gaps(), found.paths(TRACE_ID)) == (set(), {"traces.pb": 1})


def test_the_location_of_a_trace(root: Path, tmp_path: Path) -> None:
    """The folder in the store wins, then where the tag says, then the map; a place out of reach is a gap."""
    uri = f"s3://me:secret@bucket/1/traces/{TRACE_ID}/artifacts"
    folder = one_trace(root, files={"tags/mlflow.artifactLocation": uri})
    found = read(root)
    assert found.gaps() == {(TRACE_ID, "", ARTIFACT_LISTING)}
    assert "me:secret" not in str(found.tables)
    place = tmp_path / "to" / "1" / "traces" / TRACE_ID / "artifacts"
    place.mkdir(parents=True)
    (place / "traces.json").write_text("{}")
    assert read(root, artifact_map=[("s3://bucket", str(tmp_path / "to"))]).paths(TRACE_ID) == {"traces.json": 2}
    (folder / "tags" / "mlflow.artifactLocation").write_text(place.as_uri())
    assert read(root).paths(TRACE_ID) == {"traces.json": 2}
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "traces.json").write_text('{"spans": []}')
    assert read(root).paths(TRACE_ID) == {"traces.json": 13}


# --- selection ---------------------------------------------------------------------------------------------------


@pytest.fixture
def several(root: Path) -> Path:
    """Traces ``0`` to ``3`` in experiment 1, of which 0 was made in the run and 3 failed; ``9`` in a deleted one."""
    one_run(root)
    for number in range(4):
        files = {"tags/mlflow.traceName": f"name {number}", "tags/team": "a" if number < 2 else "b"}
        if number == 0:
            files["request_metadata/mlflow.sourceRun"] = RUN_ID
        times: dict[str, Any] = {
            "request_time": 1000 + number,
            "execution_duration_ms": None if number == 2 else number,
        }
        one_trace(root, f"{number}", files=files, state="ERROR" if number == 3 else "OK", **times)
    write_meta(root / ".trash" / "9", {"name": "gone", "experiment_id": "9"})
    one_trace(root, "9")
    (root / ".trash" / "9" / "traces").mkdir()
    (root / "1" / "traces" / "9").rename(root / ".trash" / "9" / "traces" / "9")
    return root


@pytest.mark.parametrize(
    ("selection", "traces"),
    [
        (Selection(), "01239"),
        (Selection(deleted=False), "0123"),
        (Selection(experiments=("gone",)), "9"),
        (Selection(runs=(RUN_ID,)), "0"),
        (Selection(filter_string="attributes.status = 'FAILED'"), ""),
        (Selection(kinds=("run",)), ""),
        (Selection(kinds=("trace",)), "01239"),
        (Selection(kinds=("trace",), runs=(RUN_ID,)), "0"),
        (Selection(trace_filter="tags.team = 'a'"), "01"),
        (Selection(trace_filter="tags.team = 'a' AND attributes.timestamp > 1000"), "1"),
        (Selection(trace_filter="status = 'ERROR'"), "3"),
        (Selection(trace_filter="name LIKE 'name %'", experiments=("1",)), "0123"),
        (Selection(trace_filter=f"run_id = '{RUN_ID}'"), "0"),
        (Selection(trace_filter="end_time_ms >= 1001"), "139"),
        (Selection(trace_filter="tags.team IS NULL"), "9"),
        (Selection(trace_filter="tags.team RLIKE '^a$'"), "01"),
        (Selection(trace_filter="request_id IN ('1', '9')"), "19"),
        (Selection(trace_filter="metadata.`mlflow.sourceRun` IS NOT NULL"), "0"),
        (Selection(trace_filter="tags.team = 'none'"), ""),
    ],
)
def test_selection(several: Path, selection: Selection, traces: str) -> None:
    found = read(several, selection)
    assert "".join(row["trace_id"] for row in found.tables["traces"]) == traces
    assert len({row["experiment_id"] for row in found.tables["experiments"]}) == len(found.tables["experiments"])
    assert {row["experiment_id"] for row in found.tables["traces"]} <= {
        row["experiment_id"] for row in found.tables["experiments"]
    }


@pytest.mark.parametrize("trace_filter", ["", None])
def test_no_filter_is_none(several: Path, trace_filter: str | None) -> None:
    assert len(read(several, Selection(trace_filter=trace_filter)).tables["traces"]) == 5


@pytest.mark.parametrize(
    ("trace_filter", "words"),
    [
        ("tags.x >", "not in MLflow's search syntax"),
        ("nonsense.x = 'y'", "Invalid entity type"),
        ("span.name = 'x'", "asks for spans"),
        ("trace.text LIKE '%x%'", "asks for spans"),
        ("feedback.good = 'true'", "asks for feedbacks"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_the_first_shard(
    several: Path, trace_filter: str, words: str
) -> None:
    with pytest.raises(SelectionError) as refused:
        next(MlrunsSource(several).plan(Selection(trace_filter=trace_filter), Quiet()))
    assert words in str(refused.value)


def test_many_traces_come_in_shards_of_a_hundred_after_the_runs(root: Path) -> None:
    for number in range(101):
        one_trace(root, f"{number:03}", files={"tags/t": str(number % 2)})
    found = read(root)
    assert [(shard.name, shard.stage, shard.weight) for shard in found.shards] == [
        ("experiments from 0", 0, 0),
        ("experiment 1, runs 0-0", 3, 1),
        ("experiment 1, traces 0-99", 6, 100),
        ("experiment 1, traces 100-100", 6, 1),
        ("fields that this version does not know", len(KINDS), 0),
    ]
    assert len(found.tables["traces"]) == 101
    assert len(read(root, Selection(trace_filter="tags.t = '1'")).tables["traces"]) == 50
