"""Traces over the API: payloads in all their homes, cut values, links, filters, and what is unchanged."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from io import BytesIO
from typing import Any, Final, NamedTuple
from uuid import uuid4

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.tracing.otel.otel_archival import traces_data_pb_to_spans

from mlflow_archive.artifact_roots.attachments import attachments_in, attachments_in_files
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import ArtifactUnreadableError, Known
from mlflow_archive.format import gaps
from mlflow_archive.kinds import TRACE
from mlflow_archive.sources.reading.fields import Fields, ValueMalformedError, refuse
from mlflow_archive.sources.rest.traces import traces as traces_module
from mlflow_archive.sources.rest.traces.assessments import assessment_row
from mlflow_archive.sources.rest.traces.spans import span_row, span_texts
from tests.sources.rest_reading import files, ids, read
from tests.support.bad_network import bad_network
from tests.support.everything import Filled
from tests.support.mlflow_server import MlflowServer
from tests.support.reading import Read

Everything = tuple[MlflowServer, Filled]


@pytest.fixture(scope="module")
def found(everything: Everything) -> Read:
    return read(everything[0].uri, kinds=(TRACE,))


def _database(server: MlflowServer, query: str, *values: str) -> list[Any]:
    with closing(sqlite3.connect(server.database)) as database:
        return database.execute(query, values).fetchall()


def test_content_of_spans_is_the_text_of_the_database(everything: Everything, found: Read) -> None:
    server, _ = everything
    stored = dict(_database(server, "SELECT span_id, content FROM spans"))
    assert {row["span_id"]: row["content"] for row in found.tables["spans"]} == stored
    assert len(stored) >= 5


def test_payloads_that_are_files_come_as_they_are(everything: Everything, found: Read) -> None:
    server, filled = everything
    main = filled.runs.experiments["main"]
    for name in ("file", "old"):
        trace_id = filled.traces.traces[name]
        stored = (server.artifacts / main / "traces" / trace_id / "artifacts" / "traces.json").read_bytes()
        assert files(found, TRACE, trace_id)["traces.json"] == stored
    [protobuf] = files(found, TRACE, filled.traces.traces["archived"]).values()
    assert isinstance(protobuf, bytes)
    assert [span.name for span in traces_data_pb_to_spans(protobuf)] == ["by hand ü", "by hand ü"]
    assert files(found, TRACE, filled.traces.traces["running"]) == {}


@pytest.mark.parametrize("name", ["agent", "file"])
def test_attachments(everything: Everything, found: Read, name: str) -> None:
    _, filled = everything
    held = files(found, TRACE, filled.traces.traces[name])
    picture = held[f"attachments/{filled.traces.attachments[name]}"]
    assert isinstance(picture, bytes)
    assert picture.startswith(b"\x89PNG")


def test_archived_payloads_elsewhere(everything: Everything) -> None:
    """At a place that nobody reaches; that only the server reaches, which gives JSON; that is reached from here."""
    server, filled = everything
    main = filled.runs.experiments["main"]
    trace_id, old = f"tr-{uuid4().hex}", filled.traces.traces["archived"]
    payload = (server.artifacts / f"archive-of-traces/{main}/traces/{old}/artifacts/traces.pb").read_bytes()
    only_server, ours = server.database.parent / "only-here", server.database.parent / trace_id / "artifacts"
    for folder in (only_server, ours):
        folder.mkdir(parents=True)
        (folder / "traces.pb").write_bytes(payload)
    tags = {"mlflow.trace.spansLocation": "ARCHIVE_REPO", "mlflow.trace.archiveLocation": "hdfs://nowhere/x"}
    _start(server, main, trace_id, tags=tags)

    def found_at(place: str) -> Read:
        query = "UPDATE trace_tags SET value = ? WHERE request_id = ? AND key = 'mlflow.trace.archiveLocation'"
        with closing(sqlite3.connect(server.database, timeout=30)) as database, database:
            database.execute(query, (place, trace_id))
        return read(server.uri, kinds=(TRACE,), trace_filter=f"attributes.request_id = '{trace_id}'")

    try:
        assert found_at("hdfs://nowhere/x").gaps() == {(trace_id, "traces.pb", gaps.ARTIFACT_UNREADABLE)}
        [text] = files(found_at(only_server.as_uri()), TRACE, trace_id).values()
        assert [span["name"] for span in json.loads(text)["spans"]] == ["by hand ü", "by hand ü"]
        assert files(found_at(ours.as_uri()), TRACE, trace_id) == {"traces.pb": payload}
        (ours / "traces.pb").unlink()
        assert found_at(ours.as_uri()).gaps() == {(trace_id, "traces.pb", gaps.ARTIFACT_MISSING)}
    finally:
        _delete(server, main, trace_id)


def test_a_finished_trace_without_spans_is_a_gap(everything: Everything) -> None:
    server, filled = everything
    main, trace_id = filled.runs.experiments["main"], f"tr-{uuid4().hex}"
    _start(server, main, trace_id)
    try:
        found = read(server.uri, kinds=(TRACE,), trace_filter=f"attributes.request_id = '{trace_id}'")
    finally:
        _delete(server, main, trace_id)
    assert found.gaps() == {(trace_id, "traces.json", gaps.ARTIFACT_MISSING)}


def _start(server: MlflowServer, experiment: str, trace_id: str, **fields: Any) -> None:
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    info = {"trace_id": trace_id, "trace_location": place, "request_time": "2023-01-01T00:00:00Z", "state": "OK"}
    body = {"trace": {"trace_info": {**info, **fields}}}
    assert requests.post(f"{server.uri}/api/3.0/mlflow/traces", json=body, timeout=30).ok


def _delete(server: MlflowServer, experiment: str, trace_id: str) -> None:
    MlflowClient(server.uri).delete_traces(experiment, trace_ids=[trace_id])


def test_values_that_the_api_cuts_are_gaps_and_whole_ones_are_not(everything: Everything, found: Read) -> None:
    """``linked`` has a tag of just the length at which the API cuts, and inputs that the client cut."""
    _, filled = everything
    old = filled.traces.traces["old"]
    assert found.gaps() == {(old, "tags/long", gaps.VALUE_CUT), (old, "metadata/long", gaps.VALUE_CUT)}
    exact = found.rows("trace_tags", trace_id=filled.traces.traces["linked"], key="just at the limit")
    assert [row["value"] for row in exact] == ["e" * 4096]


def test_links_to_runs_and_prompts(everything: Everything, found: Read) -> None:
    _, filled = everything
    evaluation, child = filled.runs.runs["evaluation"], filled.runs.runs["child"]
    text, chat, _ = filled.registry.prompts
    linked, file = (filled.traces.traces[name] for name in ("linked", "file"))
    assert {(r["trace_id"], r["destination_type"], r["destination_id"]) for r in found.tables["trace_links"]} == {
        (linked, "run", evaluation),
        (file, "run", evaluation),
        (linked, "prompt_version", f"{text}/3"),
        (linked, "prompt_version", f"{chat}/1"),
    }
    metadata = found.rows("trace_metadata", trace_id=file, key="mlflow.sourceRun")
    assert [row["value"] for row in metadata] == [child]


def test_unchanged_traces_are_left_out(everything: Everything, found: Read) -> None:
    server, filled = everything
    known = {row["owner_id"]: row["fingerprint"] for row in found.rows("fingerprints", owner_kind=TRACE)}
    old = filled.traces.traces["old"]
    assert set(known) == set(filled.traces.traces.values()) - {old}
    seen: Known = lambda kind, each: known.get(each) if kind == TRACE else None  # noqa: E731
    again = read(server.uri, seen, kinds=(TRACE,))
    assert ids(again, "traces", "trace_id") == {old}
    assert again.tables["spans"] == []


def test_a_changed_trace_comes_again(everything: Everything) -> None:
    server, filled = everything
    trace_id = filled.traces.traces["running"]

    def fingerprint() -> str:
        found = read(server.uri, kinds=(TRACE,), trace_filter=f"attributes.request_id = '{trace_id}'")
        [row] = found.tables["fingerprints"]
        return str(row["fingerprint"])

    before = fingerprint()
    client = MlflowClient(server.uri)
    client.set_trace_tag(trace_id, "new", "1")
    after = fingerprint()
    client.delete_trace_tag(trace_id, "new")
    assert before == fingerprint() != after


def test_selection_by_filter(everything: Everything) -> None:
    server, filled = everything
    found = read(server.uri, kinds=(TRACE,), trace_filter="attributes.status = 'ERROR'")
    assert ids(found, "traces", "trace_id") == {filled.traces.traces["failed"]}
    with pytest.raises(SelectionError, match="does not understand the filter 'nonsense'"):
        read(server.uri, kinds=(TRACE,), trace_filter="nonsense")


def test_selection_by_run_brings_its_traces(everything: Everything) -> None:
    """Those that are linked to it, and those that were made in it."""
    server, filled = everything
    names = {"evaluation": {"linked", "file"}, "child": {"file"}, "parent": set()}
    for run, traces in names.items():
        found = read(server.uri, runs=(filled.runs.runs[run],), artifacts=False)
        assert ids(found, "traces", "trace_id") == {filled.traces.traces[name] for name in traces}
        assert found.tables["registered_models"] == []
    both = read(server.uri, runs=(filled.runs.runs["child"], filled.runs.runs["evaluation"]), kinds=(TRACE,))
    assert sorted(row["trace_id"] for row in both.tables["traces"]) == sorted(
        filled.traces.traces[name] for name in ("linked", "file")
    )
    assert both.tables["runs"] == []


def test_selection_by_experiment(everything: Everything) -> None:
    server, filled = everything
    assert read(server.uri, experiments=("elsewhere",)).tables["traces"] == []
    found = read(server.uri, experiments=("main",), kinds=(TRACE,))
    assert ids(found, "traces", "trace_id") == set(filled.traces.traces.values())


def test_pages_and_chunks(everything: Everything, found: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pages and chunks give the same as large ones."""
    server, _ = everything
    monkeypatch.setattr(traces_module, "PAGE", 2)
    monkeypatch.setattr(traces_module, "CHARACTERS_PER_CHUNK", 1)
    small = read(server.uri, kinds=(TRACE,))
    for name in ("traces", "spans", "trace_tags", "assessments", "trace_links", "gaps"):
        order = [json.dumps(row, sort_keys=True) for row in small.tables[name]]
        assert sorted(order) == sorted(json.dumps(row, sort_keys=True) for row in found.tables[name])
    assert len(small.chunks) > len(found.chunks)


def test_a_server_with_the_older_api_gives_traces(everything: Everything) -> None:
    """MLflow 2.14 to 2.22 has traces at another endpoint, without assessments and links."""
    server, filled = everything
    with bad_network(server.uri) as network:
        network.faults = {"/api/3.0/": ["no page"] * 1000}
        found = read(network.uri, kinds=(TRACE,))
    assert ids(found, "traces", "trace_id") == set(filled.traces.traces.values())
    assert found.tables["assessments"] == found.tables["trace_links"] == []
    old = filled.traces.traces["old"]
    assert set(files(found, TRACE, old)) == {"traces.json"}
    assert {(row["owner_id"], row["code"]) for row in found.tables["gaps"]} == {
        (old, gaps.VALUE_CUT),
        (filled.traces.traces["linked"], gaps.VALUE_CUT),
    }
    [row] = found.rows("traces", trace_id=filled.traces.traces["file"])
    assert (row["request_time"], row["execution_duration_ms"], row["state"]) == (1_700_000_000_500, 1250, "OK")


def test_spans_that_cannot_be_had_are_a_gap_and_the_trace_has_no_fingerprint(everything: Everything) -> None:
    server, filled = everything
    agent = filled.traces.traces["agent"]
    with bad_network(server.uri) as network:
        network.faults = {f"get-trace-artifact?request_id={agent}": ["500"] * 3}
        found = read(network.uri, kinds=(TRACE,), trace_filter=f"attributes.request_id = '{agent}'")
    assert found.gaps() == {(agent, "spans", gaps.OBJECT_UNREADABLE)}
    assert found.tables["fingerprints"] == found.tables["spans"] == []
    assert ids(found, "traces", "trace_id") == {agent}


@pytest.mark.parametrize("status", ["403", "500"])
def test_files_that_the_server_does_not_list_are_gaps(everything: Everything, found: Read, status: str) -> None:
    """Also of traces whose spans are in the database; what the server gives without a list comes all the same."""
    server, filled = everything
    with bad_network(server.uri) as network:
        network.faults = {"mlflow-artifacts/artifacts?": [status] * 10_000}
        refused = read(network.uri, kinds=(TRACE,))
        given = {name: files(refused, TRACE, filled.traces.traces[name]) for name in ("agent", "file")}
    traces = filled.traces.traces
    unlisted = {trace_id for trace_id, path, code in refused.gaps() if (path, code) == ("", gaps.ARTIFACT_LISTING)}
    assert unlisted >= {trace_id for name, trace_id in traces.items() if name != "archived"}
    assert ids(refused, "fingerprints", "owner_id") == set()
    for name, path in (("file", "traces.json"), ("agent", next(iter(given["agent"])))):
        assert given[name][path] == files(found, TRACE, traces[name])[path]


def test_links_to_prompts_that_the_server_does_not_list_are_a_gap(everything: Everything, found: Read) -> None:
    with bad_network(everything[0].uri) as network:
        network.faults = {"model-versions/search": ["403"]}
        refused = read(network.uri, kinds=(TRACE,))
    assert refused.gaps() - found.gaps() == {("", "links to prompts", gaps.OBJECT_UNREADABLE)}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
indents = st.sampled_from([None, 0, 3])


@given(
    spans=st.lists(st.dictionaries(st.text(), json_values, max_size=3), max_size=4), indent=indents, other=json_values
)
def test_texts_of_spans_are_cut_out_unchanged(spans: list[dict[str, Any]], indent: int | None, other: Any) -> None:
    texts = [json.dumps(span, indent=indent, ensure_ascii=index % 2 == 0) for index, span in enumerate(spans)]
    payload = f'{{ "request": {json.dumps(other)} ,"spans":[{" , ".join(texts)} ],"x":{json.dumps(other)}}}'
    assert list(span_texts(payload)) == list(zip(texts, spans, strict=True))


@pytest.mark.parametrize(
    "payload", ["", "[]", '{"spans": 1}', '{"spans": [1]}', '{"spans": [{}', '{"spans": [{} {}]}', "{1}"]
)
def test_other_payloads_are_refused(payload: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever kind; the caller tells of the payload
        list(span_texts(payload))


def test_a_span_row_of_odd_values() -> None:
    span = {
        "span_id": "AQEBAQEBAQE=",
        "parent_span_id": None,
        "name": "n",
        "start_time_unix_nano": 1,
        "end_time_unix_nano": None,
        "attributes": {"mlflow.llm.cost": '{"input_cost": true, "output_cost": 1e999}', "mlflow.llm.model": "plain"},
    }
    row = span_row("text", span, "t", "1")
    assert (row["span_id"], row["end_time_unix_nano"], row["status"], row["type"]) == (
        "01" * 8,
        None,
        "UNSET",
        "UNKNOWN",
    )
    assert (row["input_cost"], row["output_cost"], row["model_name"]) == (None, None, "plain")


def test_attachments_that_only_a_file_names(everything: Everything) -> None:
    """The payload is no row of the server's: what it names is there, or it is a gap."""
    server, filled = everything
    main, trace_id = filled.runs.experiments["main"], f"tr-{uuid4().hex}"
    folder = server.artifacts / main / "traces" / trace_id / "artifacts"
    (folder / "attachments").mkdir(parents=True)
    (folder / "attachments" / "id-1").write_bytes(b"1")
    named = [f"mlflow-attachment://id-{n}?content_type=x&trace_id={trace_id}&size=1" for n in (1, 2)]
    (folder / "traces.json").write_text(json.dumps({"spans": [{"attributes": {"a": json.dumps(named)}}]}))
    _start(server, main, trace_id)
    try:
        found = read(server.uri, kinds=(TRACE,), trace_filter=f"attributes.request_id = '{trace_id}'")
        assert files(found, TRACE, trace_id)["attachments/id-1"] == b"1"
        [lost] = [file for file in found.artifacts if file.path == "attachments/id-2"]
        with pytest.raises(ArtifactUnreadableError), lost.open():
            pass
    finally:
        _delete(server, main, trace_id)


class _File(NamedTuple):
    path: str
    data: bytes

    def open(self) -> closing[BytesIO]:
        return closing(BytesIO(self.data))


@pytest.mark.parametrize("space", [0, (1 << 20) - 300, (1 << 20) - 80, (3 << 20) - 10])
def test_attachments_in_a_payload(space: int) -> None:
    """Wherever they lie in it, each once; those of other traces are not its own, and other files name nothing."""
    own, other = (f"mlflow-attachment://{{}}?x=1&trace_id={trace_id}" for trace_id in ("tr-1", "tr-12"))
    names = [own.format("id-1"), own.format("id-2"), other.format("id-3"), "mlflow-attachment://id-4?y"]
    text = json.dumps({"a": json.dumps(names), "b": own.format("id-1")})
    data = b" " * space + text.encode()
    expected = ["attachments/id-1", "attachments/id-2"]
    assert attachments_in(data, "tr-1") == expected
    for name, found in (("traces.json", expected), ("traces.pb", expected), ("other", [])):
        assert attachments_in_files([_File(name, data)], "tr-1") == found


DEEP: Final = "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(
    ("text", "value", "aggregate"),
    [
        ('{"a":  1}', '{"a": 1}', None),
        ("1", "1", 1.0),
        ("no JSON", "no JSON", None),
        ("yes", "yes", 1.0),
        (DEEP, DEEP, None),
    ],
)
def test_a_serialized_value_that_is_not_json_stays_as_it_is(text: str, value: str, aggregate: float | None) -> None:
    fields = Fields(_expectation({"serialization_format": "JSON_FORMAT", "value": text}), refuse)
    row = assessment_row(fields, "tr-1", "1", 0)
    assert (row["value"], row["aggregate_value"]) == (value, aggregate)
    assert list(fields.unread()) == []


def test_a_value_that_is_serialized_in_another_form_is_refused() -> None:
    fields = Fields(_expectation({"serialization_format": "PICKLE", "value": "x"}), refuse)
    with pytest.raises(ValueMalformedError, match="'PICKLE'"):
        assessment_row(fields, "tr-1", "1", 0)


def _expectation(serialized: dict[str, str]) -> dict[str, Any]:
    time = "2026-01-01T00:00:00Z"
    return {
        "assessment_id": "a-1",
        "assessment_name": "a",
        "create_time": time,
        "last_update_time": time,
        "expectation": {"serialized_value": serialized},
    }
