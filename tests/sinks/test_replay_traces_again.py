"""Traces that are there already: of an import before, killed or not, or of somebody else."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from mlflow_archive.format import refusals as codes
from tests.sinks.conftest import Place
from tests.sinks.replayed import Cut, dying
from tests.sinks.replayed_traces import (
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
    traces,
)
from tests.support.cuts import every
from tests.support.trace_views import TracePlace


@pytest.mark.parametrize("source_tags", [True, False])
def test_twice_changes_nothing(place: Place, view: TracePlace, source_tags: bool) -> None:
    source, ids = everything(place.name)
    place.replay(source, source_tags=source_tags)
    before = [view.state(trace_id) for trace_id in ids]
    report = place.replay(source, source_tags=source_tags)
    assert (refusals(report), outcomes(report)) == ([], {"skipped": len(ids)})
    assert [view.state(trace_id) for trace_id in ids] == before


@pytest.mark.parametrize("executed", [True, False])
def test_killed_anywhere_and_run_again_ends_with_one_of_each(place: Place, view: TracePlace, executed: bool) -> None:
    source, ids = everything(place.name)
    place.replay(source)
    expected = _comparable(view, ids, place.name)
    for after in range(2 + executed, 200, every(6 if place.kind == "store" else 14)):
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
