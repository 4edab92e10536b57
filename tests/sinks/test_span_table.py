"""Which spans stay the same in the target's table: foretold, and proved on MLflow's own store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlflow_archive.flow.copy import copy
from mlflow_archive.sinks.replay import ReplaySink, open_target
from mlflow_archive.sinks.replay.traces import otlp
from tests.sinks.replayed_traces import changed, new_id, refusals, span, span_row, trace, traces
from tests.support.trace_views import TracePlace

TRACE_ID = "tr-" + "0123456789abcdef" * 2
REQUEST_ID = {"mlflow.traceRequestId": json.dumps(TRACE_ID)}

CHANGED = {
    "no end": {"end_time_unix_nano": None},
    "end 0": {"end_time_unix_nano": 0},
    "text that is no JSON": {"attributes": {**REQUEST_ID, "a": "plain"}},
    "JSON otherwise spelled": {"attributes": {**REQUEST_ID, "a": '{"b":1}'}},
    "JSON with escapes": {"attributes": {**REQUEST_ID, "a": '"\\u00fc"'}},
    "JSON within JSON": {"attributes": {**REQUEST_ID, "a": json.dumps('{"b": 1}')}},
    "no text": {"attributes": {**REQUEST_ID, "a": 1}},
    "large number": {"attributes": {**REQUEST_ID, "a": str(1 << 64)}},
    "no number": {"attributes": {**REQUEST_ID, "a": "NaN"}},
    "a key twice": {"attributes": {**REQUEST_ID, "a": '{"b": 1, "b": 1}'}},
    "very deep": {"attributes": {**REQUEST_ID, "a": "[" * 50 + "]" * 50}},
    "another trace": {"attributes": {"mlflow.traceRequestId": json.dumps("tr-" + "1" * 32)}},
    "a tag of the trace": {"attributes": {**REQUEST_ID, "mlflow.traceTag.a": '"b"'}},
    "cost to be computed": {
        "attributes": {**REQUEST_ID, "mlflow.chat.tokenUsage": "{}", "mlflow.llm.model": '"gpt-4o"'}
    },
    "message without error": {"status": {"code": "STATUS_CODE_OK", "message": "fine"}},
    "other field": {"kind": "internal"},
    "id of another length": {"span_id": "AAA="},
    "event with null": {"events": [{"name": "e", "time_unix_nano": 1, "attributes": {"a": None}}]},
    "event without time": {"events": [{"name": "e", "time_unix_nano": 0, "attributes": {}}]},
    "link to another place": {"links": [{"trace_id": "trace:/c.s/1", "span_id": "0" * 15 + "1", "attributes": None}]},
}


def test_ordinary_spans_survive() -> None:
    link = {"trace_id": "tr-" + "a" * 32, "span_id": "0" * 15 + "1", "attributes": {"kind": "x"}}
    event = {"name": "e", "time_unix_nano": 5, "attributes": {"a": "b", "n": 1, "l": [0.5, 1.5], "t": True}}
    error = {"code": "STATUS_CODE_ERROR", "message": "it broke"}
    assert otlp.survives(span(TRACE_ID, 2, parent=1, links=[link], events=[event], status=error), TRACE_ID)


def test_spans_of_earlier_versions_get_an_empty_list_of_links() -> None:
    earlier = span(TRACE_ID, 2, parent=1)
    assert earlier.pop("links") == []
    assert not otlp.survives(earlier, TRACE_ID)
    assert otlp.survives(otlp.with_links(earlier), TRACE_ID)
    assert otlp.with_links(earlier)["links"] == []
    assert otlp.with_links({"name": "x"}) == {"name": "x"}


@pytest.mark.parametrize("fields", CHANGED.values(), ids=CHANGED.keys())
def test_spans_that_mlflow_would_change_do_not(fields: dict[str, Any]) -> None:
    assert not otlp.survives(span(TRACE_ID, **fields), TRACE_ID)


@pytest.mark.parametrize("trace_id", ["0123456789abcdef" * 2, "tr-1", "tr-" + "0" * 32])
def test_ids_that_the_protocol_does_not_carry_do_not(trace_id: str) -> None:
    assert not otlp.survives({**span(TRACE_ID)}, trace_id)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
LEAF = st.one_of(st.none(), st.booleans(), st.integers(-(2**65), 2**65), st.floats(), TEXT)
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
ATTRIBUTE = st.one_of(
    VALUE.map(lambda value: json.dumps(value, ensure_ascii=False)),
    VALUE.map(lambda value: json.dumps(json.dumps(value))),
    VALUE.map(json.dumps),
    TEXT,
)
PLAIN = st.dictionaries(
    TEXT, st.one_of(TEXT, st.integers(-(2**64), 2**64), st.floats(), st.none(), st.lists(TEXT, max_size=2)), max_size=3
)
EVENT = st.builds(
    lambda name, time, attributes: {"name": name, "time_unix_nano": time, "attributes": attributes},
    TEXT,
    st.integers(0, 2**64),
    PLAIN,
)
SPAN = st.fixed_dictionaries(
    {
        "name": TEXT,
        "attributes": st.dictionaries(TEXT, ATTRIBUTE, max_size=4),
        "events": st.lists(EVENT, max_size=2),
        "status": st.sampled_from(
            [
                {"code": "STATUS_CODE_UNSET", "message": ""},
                {"code": "STATUS_CODE_OK", "message": ""},
                {"code": "STATUS_CODE_ERROR", "message": "ü"},
            ]
        ),
        "links": st.lists(
            st.builds(
                lambda number, attributes: {
                    "trace_id": f"tr-{number:032x}",
                    "span_id": f"{number:016x}",
                    "attributes": attributes or None,
                },
                st.integers(0, 2**60),
                PLAIN,
            ),
            max_size=1,
        ),
    }
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TracePlace:
    folder = tmp_path_factory.mktemp("spans")
    return TracePlace(
        uri=f"sqlite:///{folder / 'm.db'}", database=folder / "m.db", artifacts=Path(folder / "artifacts")
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(made=st.lists(SPAN, min_size=1, max_size=12))
def test_any_spans_come_out_as_they_are_and_what_is_foretold_holds(
    store: TracePlace, made: list[dict[str, Any]]
) -> None:
    ids = [new_id() for _ in made]
    spans = {}
    for trace_id, fields in zip(ids, made, strict=True):
        own = {"mlflow.traceRequestId": json.dumps(trace_id), "mlflow.spanType": '"TOOL"', **fields["attributes"]}
        spans[trace_id] = span(trace_id, **{**fields, "attributes": own})
    rows = [span_row(trace_id, held) for trace_id, held in spans.items()]
    source = traces("any", [trace(trace_id) for trace_id in ids], spans=rows)
    report = copy(source, ReplaySink(open_target(store.uri, artifact_root=str(store.artifacts))))
    assert refusals(report) == []
    foretold = {trace_id for trace_id, held in spans.items() if otlp.survives(held, trace_id)}
    assert changed(report).get("traces_with_spans_as_artifact", 0) == len(ids) - len(foretold)
    for trace_id, held in spans.items():
        if trace_id in foretold:
            found = [row["content"] for row in store.rows("spans", trace_id)]
        else:
            assert store.rows("spans", trace_id) == []
            found = [
                json.dumps(each, ensure_ascii=False)
                for each in json.loads(store.files(trace_id)["traces.json"])["spans"]
            ]
        assert found == [json.dumps(held, ensure_ascii=False)]
