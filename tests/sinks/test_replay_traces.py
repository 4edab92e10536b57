"""Replay of traces into a real server and a real store: homes of the payload, what must wait, what is there already."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from mlflow_archive.errors import ServerError
from mlflow_archive.format import refusals as codes
from mlflow_archive.sinks.replay import Target
from mlflow_archive.sinks.replay.kinds import otlp
from tests.sinks.conftest import Place
from tests.sinks.replayed import A, B, Cut, dying
from tests.sinks.replayed_traces import (
    BEGIN,
    assessment,
    changed,
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
from tests.support.mlflow_server import MlflowServer
from tests.support.trace_views import TracePlace

SOURCE = "mlflow_export_import."


@pytest.fixture
def view(place: Place, request: pytest.FixtureRequest) -> TracePlace:
    if place.kind == "server":
        server: MlflowServer = request.getfixturevalue("mlflow_server")
        return TracePlace(uri=server.uri, database=server.database, artifacts=server.artifacts)
    return TracePlace(uri=place.uri, database=place.folder.parent / "mlflow.db", artifacts=place.folder)


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


# What is there already


@pytest.mark.parametrize("source_tags", [True, False])
def test_twice_changes_nothing(place: Place, view: TracePlace, source_tags: bool) -> None:
    source, ids = everything(place.name)
    place.replay(source, source_tags=source_tags)
    before = [view.state(trace_id) for trace_id in ids]
    report = place.replay(source, source_tags=source_tags)
    assert (refusals(report), outcomes(report)) == ([], {"skipped": len(ids)})
    assert [view.state(trace_id) for trace_id in ids] == before


def everything(name: str) -> tuple[ChunkSource, list[str]]:
    """Return traces of all homes, with runs, overrides, an issue reference, a deleted run, links; and their ids."""
    table, odd, file, bare = ids = [new_id() for _ in range(4)]
    metadata = json.dumps({"mlflow.assessment.sourceRunId": B})
    source = traces(
        name,
        [trace(trace_id) for trace_id in ids],
        runs=[run(A, "5", run_name="one"), run(B, "5", run_name="two", lifecycle_stage="deleted")],
        files=[trace_file(file, "traces.json", b'{"spans": []}'), trace_file(file, "attachments/1", b"\x00")],
        spans=[
            span_row(table, span(table)),
            span_row(table, span(table, 2, parent=1)),
            span_row(odd, span(odd, end_time_unix_nano=None)),
        ],
        trace_tags=[*pairs_of(table, {"t": "x" * 7000, "odd$": "kept", "null": None}), *pairs_of(bare, {"a": "1"})],
        trace_metadata=pairs_of(table, {"long": "m" * 2000, "mlflow.sourceRun": A}),
        assessments=[
            assessment(table, f"a{table}", valid=False),
            assessment(table, f"b{table}", 2.0, overrides=f"a{table}", valid=False),
            assessment(table, f"c{table}", 3.0, overrides=f"b{table}"),
            assessment(odd, f"i{odd}", {"issue_name": "slow"}, assessment_type="issue", name="iss-1"),
            assessment(odd, f"d{odd}", metadata=metadata),
        ],
        trace_links=[
            {"trace_id": table, "destination_type": "run", "destination_id": A},
            {"trace_id": bare, "destination_type": "prompt_version", "destination_id": "p/1"},
        ],
    )
    return source, ids


@pytest.mark.parametrize("executed", [True, False])
def test_killed_anywhere_and_run_again_ends_with_one_of_each(place: Place, view: TracePlace, executed: bool) -> None:
    source, ids = everything(place.name)
    place.replay(source)
    expected = _comparable(view, ids, place.name)
    for after in range(2 + executed, 200, 3 if place.kind == "store" else 7):
        name = f"{place.name}-{after}"
        again, ids = everything(name)
        try:
            place.replay(again, wrap=dying(after, executed=executed))
        except Cut:
            report = place.replay(again)
            assert (refusals(report), sum(outcomes(report).values())) == ([], 4)
            assert _comparable(view, ids, name) == expected
        else:
            assert after > 20, "no request was cut"
            return


def _comparable(view: TracePlace, ids: list[str], name: str) -> list[str]:
    """Drop what is different each time: ids, and how often MLflow wrote spans."""
    found = []
    for trace_id in ids:
        state = {**view.state(trace_id), "trace_info": len(view.rows("trace_info", trace_id))}
        state["entity_associations"] = [row["destination_type"] for row in view.rows("entity_associations", trace_id)]
        text = repr(state).replace(name, "NAME")
        for number, each in enumerate(ids):
            text = text.replace(span(each)["trace_id"], f"BYTES{number}").replace(each, f"ID{number}")
        found.append(re.sub(r"\('experiment_id', \d+\)|(artifacts|:)/\d+/traces|\b[0-9a-f]{32}\b", "*", text))
    return found


def test_a_trace_that_no_import_made_is_left_where_it_is(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    _start_by_hand(place, f"{place.name} elsewhere", trace_id)
    before = view.state(trace_id)
    report = place.replay(traces(place.name, [trace(trace_id)], spans=[span_row(trace_id, span(trace_id))]))
    assert refusals(report) == [(trace_id, "", codes.TRACE_ID_TAKEN)]
    assert view.state(trace_id) == before


def test_a_trace_in_the_same_experiment_is_completed_and_keeps_what_it_has(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    _start_by_hand(place, place.name, trace_id, tags={"own": "theirs"})
    source = traces(
        place.name,
        [trace(trace_id)],
        spans=[span_row(trace_id, span(trace_id))],
        assessments=[assessment(trace_id, trace_id)],
        trace_tags=pairs_of(trace_id, {"own": "ours", "new": "1", "odd$": "refused"}),
    )
    report = place.replay(source)
    assert outcomes(report) == {"updated": 1}
    assert refusals(report) == [(trace_id, "odd$", codes.TAG_REFUSED)]
    assert changed(report)["trace_tags_kept_as_in_target"] == 1
    tags = view.pairs("trace_tags", trace_id)
    assert (tags["own"], tags["new"]) == ("theirs", "1")
    assert len(view.rows("assessments", trace_id)) == len(json.loads(view.files(trace_id)["traces.json"])["spans"]) == 1


def test_what_was_added_at_the_source_since_is_added(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    first = trace(trace_id, state="IN_PROGRESS", execution_duration_ms=None, response_preview=None)
    place.replay(traces(place.name, [first], assessments=[assessment(trace_id, f"a{trace_id}", valid=True)]))
    place.client().set_trace_tag(trace_id, "their own", "kept")
    later = traces(
        place.name,
        [trace(trace_id)],
        spans=[span_row(trace_id, span(trace_id))],
        assessments=[
            assessment(trace_id, f"a{trace_id}", valid=False),
            assessment(trace_id, f"b{trace_id}", overrides=f"a{trace_id}"),
        ],
        trace_tags=pairs_of(trace_id, {"late": "1"}),
        trace_metadata=pairs_of(trace_id, {"late": "2"}),
    )
    report = place.replay(later)
    assert (refusals(report), outcomes(report)) == ([], {"updated": 1})
    (info,) = view.rows("trace_info", trace_id)
    assert (info["status"], info["execution_time_ms"], info["response_preview"]) == ("OK", 1259, "A letter.")
    tags = view.pairs("trace_tags", trace_id)
    assert (tags["late"], tags["their own"]) == ("1", "kept")
    assert view.pairs("trace_request_metadata", trace_id)["late"] == "2"
    assert sorted(row["valid"] for row in view.rows("assessments", trace_id)) == [0, 1]
    assert len(json.loads(view.files(trace_id)["traces.json"])["spans"]) == 1
    assert outcomes(place.replay(later)) == {"skipped": 1}


def test_other_spans_in_the_target_are_left_and_told(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    place.replay(traces(place.name, [trace(trace_id)], spans=[span_row(trace_id, span(trace_id))]))
    place.client().set_trace_tag(trace_id, "their own", "kept")
    other = traces(place.name, [trace(trace_id)], spans=[span_row(trace_id, span(trace_id, name="other"))])
    assert refusals(place.replay(other)) == [(trace_id, "spans", codes.SPANS_REFUSED)]
    assert [row["name"] for row in view.rows("spans", trace_id)] == ["span 1"]


def test_under_another_experiment_an_imported_trace_stays_where_it_is(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    source = traces(place.name, [trace(trace_id)], spans=[span_row(trace_id, span(trace_id))])
    place.replay(source)
    before = view.rows("trace_info", trace_id)
    report = place.replay(source, experiment_prefix="again ")
    assert changed(report)["traces_in_experiment_of_earlier_import"] == 1
    assert (view.rows("trace_info", trace_id), refusals(report)) == (before, [])


def _start_by_hand(place: Place, experiment_name: str, trace_id: str, **info: Any) -> None:
    """Make an experiment and a trace in it, as anybody does."""
    target = place.open()
    experiment_id = target.create_experiment(experiment_name, {})
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}
    body = {"trace_id": trace_id, "trace_location": location, "request_time": "2024-01-01T00:00:00Z", **info}
    target.api.post("/api/3.0/mlflow/traces", {"trace": {"trace_info": body}})
    target.close()


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


def test_times_that_nobody_can_state_are_refused(place: Place) -> None:
    trace_id = new_id()
    report = place.replay(traces(place.name, [trace(trace_id, request_time=1 << 60)]))
    assert refusals(report) == [(trace_id, "", codes.TRACE_REFUSED)]


def test_spans_go_into_files_where_that_is_asked_for(place: Place, view: TracePlace) -> None:
    trace_id = new_id()
    source = traces(place.name, [trace(trace_id)], spans=[span_row(trace_id, span(trace_id))])
    report = place.replay(source, spans_in_table=False)
    assert (view.rows("spans", trace_id), changed(report)["traces_with_spans_as_artifact"]) == ([], 1)
    assert json.loads(view.files(trace_id)["traces.json"]) == {"spans": [span(trace_id)]}
    assert outcomes(place.replay(source)) == {"skipped": 1}, "where they lie once, they stay"


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
