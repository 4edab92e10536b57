"""Replay of traces into a real server and a real store: homes of the payload, what must wait, limits, old targets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from mlflow_archive.errors import ServerError
from mlflow_archive.format import refusals as codes
from mlflow_archive.sinks.replay import Target
from mlflow_archive.sinks.replay.traces import otlp
from tests.sinks.conftest import Place
from tests.sinks.replayed import A, B
from tests.sinks.replayed_traces import (
    BEGIN,
    assessment,
    changed,
    everything,
    new_id,
    outcomes,
    pairs_of,
    refusals,
    span,
    span_row,
    trace,
    trace_file,
    traces,
)
from tests.support.chunks import ChunkSource, chunk, experiment, run
from tests.support.databases import PostgresServer
from tests.support.trace_views import TracePlace

SOURCE = "mlflow_export_import."


# Homes of the payload


def test_spans_that_the_table_would_change_become_a_file(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    odd = [
        span(trace_id, 1, end_time_unix_nano=None),
        span(trace_id, 2, parent=1, attributes={"mlflow.traceRequestId": json.dumps(trace_id), "raw": "no JSON"}),
    ]
    rows = [span_row(trace_id, held) for held in odd]
    rows[1]["content"] = rows[1]["content"].replace('"events": []', '"events" : [ ]')
    report = place.replay(traces(place.name, [trace(trace_id)], spans=rows))
    text = '{"spans":[' + ",".join(row["content"] for row in rows) + "]}"
    assert view.files(trace_id) == {"traces.json": text.encode()}
    assert view.rows("spans", trace_id) == []
    assert (refusals(report), changed(report)["traces_with_spans_as_artifact"]) == ([], 1)
    assert [held.name for held in view.trace(trace_id).data.spans] == ["span 1", "span 2"]


@pytest.mark.parametrize(
    "attributes",
    [
        {"mlflow.chat.tokenUsage": '{"input_tokens": 10, "output_tokens": 5}', "mlflow.llm.model": '"gpt-4o"'},
        {"nested": json.dumps(json.dumps({"a": 1}))},
    ],
    ids=["adds to the trace", "changes a span only"],
)
def test_a_target_that_changes_spans_against_all_foresight(
    place: Place, view: TracePlace, monkeypatch: pytest.MonkeyPatch, attributes: dict[str, str]
) -> None:
    monkeypatch.setattr(otlp, "survives", lambda span, trace_id: True)
    trace_id = new_id()
    held = span(trace_id, attributes={"mlflow.traceRequestId": json.dumps(trace_id), **attributes})
    row = span_row(trace_id, held)
    replaced = [assessment(trace_id, f"{trace_id}-a", valid=False), assessment(trace_id, f"b-{trace_id}")]
    replaced[1]["overrides"] = replaced[0]["assessment_id"]
    source = traces(
        place.name, [trace(trace_id)], spans=[row], assessments=replaced, trace_tags=pairs_of(trace_id, {"t": "1"})
    )
    report = place.replay(source)
    assert (refusals(report), outcomes(report)) == ([], {"created": 1})
    assert json.loads(view.files(trace_id)["traces.json"]) == {"spans": [held]}
    assert view.rows("spans", trace_id) == []
    assert [row["total_cost"] for row in view.rows("trace_info", trace_id)] == [None]
    assert sorted(row["valid"] for row in view.rows("assessments", trace_id)) == [0, 1]
    assert outcomes(place.replay(source)) == {"skipped": 1}


def test_files_stay_as_they_are_also_under_ids_of_mlflow_2(place: Place, view: TracePlace) -> None:
    old, newer = uuid4().hex, new_id()
    data = b'{ "spans": [ ], "request": "\\u00fc" }\n'
    files = [
        trace_file(old, "traces.json", data),
        trace_file(newer, "traces.json", data),
        trace_file(newer, "attachments/0b1c", b"\x89PNG"),
    ]
    tags = pairs_of(old, {"mlflow.artifactLocation": "s3://old/1/traces", "mlflow.trace.archivalFailure": "x"})
    report = place.replay(traces(place.name, [trace(old), trace(newer)], files=files, trace_tags=tags))
    assert (refusals(report), outcomes(report)) == ([], {"created": 2})
    assert view.files(old) == {"traces.json": data}
    assert view.files(newer) == {"traces.json": data, "attachments/0b1c": b"\x89PNG"}
    found = view.pairs("trace_tags", old)
    assert found[SOURCE + "mlflow.artifactLocation"] == "s3://old/1/traces"
    assert not {"mlflow.trace.archivalFailure", "mlflow.trace.spansLocation"} & found.keys()


def test_an_archived_payload_that_cannot_be_read_is_kept_and_told(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    report = place.replay(
        traces(place.name, [trace(trace_id)], files=[trace_file(trace_id, "traces.pb", b"\xffnothing")])
    )
    assert refusals(report) == [(trace_id, "traces.pb", codes.SPANS_REFUSED)]
    assert view.files(trace_id) == {"traces.pb": b"\xffnothing"}


def test_the_experiment_that_spans_name_is_that_of_the_target(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    held = span(
        trace_id, attributes={"mlflow.traceRequestId": json.dumps(trace_id), "mlflow.experimentId": json.dumps("5")}
    )
    report = place.replay(traces(place.name, [trace(trace_id)], spans=[span_row(trace_id, held)]))
    target = cast("dict[str, str]", report.details["experiments"])["5"]
    (found,) = view.trace(trace_id).data.spans
    assert (found.attributes["mlflow.experimentId"], found.start_time_ns) == (target, BEGIN + 1)


def test_spans_in_many_chunks_make_one_trace(place: Place, view: TracePlace) -> None:
    small, large = new_id(), new_id()
    filling = {"mlflow.traceRequestId": json.dumps(large), "x": json.dumps("ü" * 100_000)}
    rows = [
        span_row(large, span(large, number, parent=1 if number > 1 else None, attributes=filling))
        for number in range(1, 21)
    ]
    parts = [
        chunk(
            traces=[trace(small), trace(large)],
            spans=[span_row(small, span(small)), *rows[:7]],
            complete=False,
            assessments=[assessment(large, large)],
        ),
        chunk(spans=rows[7:15], complete=False),
        chunk(spans=rows[15:]),
    ]
    source = ChunkSource((0, [chunk(experiments=[experiment("5", place.name)])]), (1, parts))
    report = place.replay(source)
    assert (refusals(report), outcomes(report)) == ([], {"created": 2})
    assert len(view.rows("spans", small)) == 1
    found = json.loads(view.files(large)["traces.json"])["spans"]
    assert found == [json.loads(row["content"]) for row in rows]
    assert outcomes(place.replay(source)) == {"skipped": 2}


# References


def test_references_are_those_of_the_target(place: Place, view: TracePlace) -> None:
    trace_id, away = new_id(), new_id()
    metadata = {"mlflow.sourceRun": A, "mlflow.modelId": "m-unknown", "long": "m" * 3000}
    source = traces(
        place.name,
        [trace(trace_id, session_id="s", input_tokens=3, total_tokens=3, input_cost=0.1), trace(away)],
        runs=[run(A, "5", run_name="one"), run(B, "5", run_name="two")],
        trace_metadata=[*pairs_of(trace_id, metadata), *pairs_of(away, {"mlflow.sourceRun": "e" * 32})],
        trace_links=[
            {"trace_id": trace_id, "destination_type": "run", "destination_id": B},
            {"trace_id": away, "destination_type": "run", "destination_id": "e" * 32},
            {"trace_id": trace_id, "destination_type": "prompt_version", "destination_id": "with/slash/3"},
        ],
    )
    report = place.replay(source)
    runs = place.runs()
    assert refusals(report) == []
    found = view.pairs("trace_request_metadata", trace_id)
    assert (found["mlflow.sourceRun"], found["mlflow.modelId"]) == (runs["one"].info.run_id, "m-unknown")
    assert found["long"] == "m" * 3000
    (info,) = view.rows("trace_info", trace_id)
    assert (info["session_id"], info["input_tokens"], info["output_tokens"], info["input_cost"]) == ("s", 3, None, 0.1)
    links = {(row["destination_type"], row["destination_id"]) for row in view.rows("entity_associations", trace_id)}
    assert links == {("run", runs["two"].info.run_id), ("prompt_version", "with/slash/3")}
    told = ("traces_without_their_run", "traces_without_their_logged_model", "trace_links_without_run")
    assert [changed(report)[what] for what in told] == [1, 1, 1]


def test_older_metadata_keep_what_the_target_would_drop(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    text = '{"input_tokens": 1, "weird": 9}'
    source = traces(place.name, [trace(trace_id)], trace_metadata=pairs_of(trace_id, {"mlflow.trace.tokenUsage": text}))
    report = place.replay(source)
    assert view.pairs("trace_tags", trace_id)[SOURCE + "trace.metadata.mlflow.trace.tokenUsage"] == text
    assert view.rows("trace_info", trace_id)[0]["input_tokens"] == 1
    assert changed(report)["trace_metadata_in_columns"] == 1
    assert outcomes(place.replay(source)) == {"skipped": 1}


# Assessments


def test_assessments_of_deleted_runs_are_there_in_the_end(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    run_of = {"mlflow.assessment.sourceRunId": A}
    given = [
        assessment(trace_id, "x" + trace_id, metadata=json.dumps(run_of), run_id=A, valid=False),
        assessment(trace_id, "y" + trace_id, overrides="x" + trace_id),
        assessment(trace_id, "z" + trace_id),
    ]
    deleted = run(A, "5", run_name="gone", lifecycle_stage="deleted")
    source = traces(place.name, [trace(trace_id)], runs=[deleted], assessments=given)
    for expected in ({"created": 1}, {"skipped": 1}):
        report = place.replay(source)
        assert (refusals(report), outcomes(report)) == ([], expected)
        target = cast("dict[str, str]", report.details["runs"])[A]
        found = {row["assessment_id"][0]: row for row in view.rows("assessments", trace_id)}
        assert {key: row["valid"] for key, row in found.items()} == {"x": 0, "y": 1, "z": 1}
        assert json.loads(found["x"]["assessment_metadata"]) == {"mlflow.assessment.sourceRunId": target}
        assert (found["x"]["run_id"], found["x"]["created_timestamp"]) == (target, 1700000001001)
        assert place.runs()["gone"].info.lifecycle_stage == "deleted"


def test_traces_of_a_deleted_experiment_keep_the_assessments_of_its_runs(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    metadata = json.dumps({"mlflow.assessment.sourceRunId": A})
    source = traces(
        place.name,
        [trace(trace_id)],
        runs=[run(A, "5", run_name="active itself")],
        experiment_columns={"lifecycle_stage": "deleted"},
        assessments=[assessment(trace_id, trace_id, metadata=metadata)],
        spans=[span_row(trace_id, span(trace_id))],
    )
    for expected in ({"created": 1}, {"skipped": 1}):
        report = place.replay(source)
        assert (refusals(report), outcomes(report)) == ([], expected)
        assert place.client().get_experiment_by_name(place.name).lifecycle_stage == "deleted"
        assert len(view.rows("assessments", trace_id)) == len(view.rows("spans", trace_id)) == 1


def test_what_assessments_cannot_keep_is_told_on_the_trace(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    ids = {name: f"{name}-{trace_id}" for name in ("alone", "rated", "chosen", "wrong")}
    given = [
        assessment(trace_id, ids["alone"], valid=False),
        assessment(trace_id, ids["rated"], 3),
        assessment(trace_id, ids["chosen"], {"a": 10**30}, assessment_type="expectation", rationale="why"),
        assessment(trace_id, ids["wrong"], assessment_type="guess"),
    ]
    source = traces(place.name, [trace(trace_id)], assessments=given)
    report = place.replay(source)
    assert refusals(report) == [(trace_id, ids["wrong"], codes.ASSESSMENT_REFUSED)]
    assert changed(report)["assessment_fields"] == 3
    assert json.loads(view.pairs("trace_tags", trace_id)[SOURCE + "trace.assessments"]) == [
        {"assessment_id": ids["chosen"], "rationale": "why"},
        {"assessment_id": ids["rated"], "value": "3"},
        {"assessment_id": ids["alone"], "valid": False},
    ]
    values = {row["assessment_id"]: row["value"] for row in view.rows("assessments", trace_id)}
    assert values == {ids["alone"]: "1.0", ids["rated"]: "3.0", ids["chosen"]: json.dumps({"a": 10**30})}


# Limits, older targets, dry runs


def test_long_values_are_cut_and_told(place: Place, view: TracePlace) -> None:
    long_id, trace_id = "tr-" + "1" * 60 + uuid4().hex, new_id()
    source = traces(
        place.name,
        [trace(long_id), trace(trace_id, request_preview="p" * 1001, trace_name="n" * 5000, session_id="s" * 300)],
        trace_tags=pairs_of(trace_id, {"k" * 300: "v" * 8001}),
        trace_metadata=pairs_of(trace_id, {"m": "v" * 8001}),
    )
    report = place.replay(source)
    ids = cast("dict[str, dict[str, str]]", report.details["ids"])["trace"]
    assert (refusals(report), len(ids[long_id])) == ([], 50)
    assert view.pairs("trace_tags", ids[long_id])[SOURCE + "trace.trace_id"] == long_id
    (info,) = view.rows("trace_info", trace_id)
    assert [len(info[name]) for name in ("request_preview", "trace_name", "session_id")] == [1000, 4096, 250]
    shortened = cast("list[dict[str, Any]]", report.details["shortened"])
    assert {"trace id", "request_preview", "trace tag", "trace tag key", "trace metadata"} <= {
        each["kind"] for each in shortened
    }
    assert outcomes(place.replay(source)) == {"skipped": 2}


def test_an_older_target_is_told_by_kind_and_number(place: Place) -> None:
    class OlderApi:
        def __init__(self, api: Any) -> None:
            self._api = api

        def __getattr__(self, name: str) -> Any:
            def request(path: str, *args: Any, **kwargs: Any) -> Any:
                if path.startswith("/api/3.0/mlflow/traces"):
                    raise ServerError("does not exist there (404)", status=404)
                return getattr(self._api, name)(path, *args, **kwargs)

            return request

    class OlderTarget:
        def __init__(self, target: Target) -> None:
            self._target = target
            self.api = OlderApi(target.api)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._target, name)

    wrap = cast("Callable[[Target], Target]", OlderTarget)
    report = place.replay(traces(place.name, [trace(new_id()), trace(new_id())]), wrap=wrap)
    assert [(gap.owner_kind, gap.code, gap.reason[:8]) for gap in report.gaps] == [
        ("trace", codes.KIND_REFUSED, "2 traces")
    ]
    assert outcomes(report) == {"refused": 2}


def test_a_dry_run_writes_nothing(place: Place, view: TracePlace) -> None:
    source, ids = everything(place.name)
    report = place.replay(source, dry_run=True)
    assert (outcomes(report), refusals(report)) == ({"created": 4}, [])
    assert not set(ids) & set(view.trace_ids())
    place.replay(source)
    before = [view.state(trace_id) for trace_id in ids]
    assert outcomes(place.replay(source, dry_run=True)) == {"skipped": 4}
    assert [view.state(trace_id) for trace_id in ids] == before


def test_a_time_that_nobody_can_state_becomes_the_nearest_and_a_tag_says_it(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    report = place.replay(traces(place.name, [trace(trace_id, request_time=1 << 60)]))
    assert refusals(report) == []
    state = view.state(trace_id)
    assert [dict(row)["timestamp_ms"] for row in state["trace_info"]] == [253_402_300_799_999]
    tags = {row["key"]: row["value"] for row in map(dict, state["trace_tags"])}
    assert tags["mlflow_export_import.trace.request_time"] == str(1 << 60)


def test_spans_go_into_files_where_that_is_asked_for(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    source = traces(place.name, [trace(trace_id)], spans=[span_row(trace_id, span(trace_id))])
    report = place.replay(source, spans_in_table=False)
    assert (view.rows("spans", trace_id), changed(report)["traces_with_spans_as_artifact"]) == ([], 1)
    assert json.loads(view.files(trace_id)["traces.json"]) == {"spans": [span(trace_id)]}
    assert outcomes(place.replay(source)) == {"skipped": 1}, "where they lie once, they stay"


@pytest.mark.parametrize("place", ["store"], indirect=True)
@pytest.mark.parametrize("more", [False, True])
def test_a_file_of_the_same_spans_as_the_database_is_no_loss(place: Place, view: TracePlace, more: bool) -> None:
    trace_id = new_id()
    stored = span(trace_id)
    file = {"spans": [stored, span(trace_id, 2)] if more else [{**stored, "links": None}]}
    files = [trace_file(trace_id, "traces.json", json.dumps(file).encode())]
    rows = [span_row(trace_id, stored)]
    report = place.replay(traces(place.name, [trace(trace_id)], files=files, spans=rows), spans_in_table=False)
    assert refusals(report) == ([(trace_id, "traces.json", codes.ARTIFACT_REFUSED)] if more else [])
    assert changed(report).get("trace_files_that_the_database_repeats", 0) == (0 if more else 1)
    assert json.loads(view.files(trace_id)["traces.json"]) == {"spans": [stored]}


def test_postgresql_takes_all_of_it(postgres: PostgresServer, tmp_path: Path) -> None:
    uri = postgres.new_database().replace("postgresql://", "postgresql+psycopg2://")
    source, ids = everything("postgresql")
    target = Place(kind="store", uri=uri, artifact_root=str(tmp_path), folder=tmp_path, name="postgresql")
    report = target.replay(source)
    assert (refusals(report), outcomes(report)) == ([], {"created": 4})
    found = target.client().get_trace(ids[0])
    assert [each.name for each in found.data.spans] == ["span 1", "span 2"]
    assert sorted(bool(each.valid) for each in found.info.assessments) == [False, False, True]
    assert outcomes(target.replay(source)) == {"skipped": 4}
