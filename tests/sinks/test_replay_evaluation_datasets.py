"""Replay of evaluation datasets into a real server and a real store."""

from __future__ import annotations

import json
from typing import Any, cast
from uuid import uuid4

import pytest

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.report import Report
from mlflow_archive.format import refusals as codes
from mlflow_archive.sinks.replay import Target
from tests.sinks.conftest import Place
from tests.sinks.replayed import A, Cut, dying
from tests.sinks.replayed_traces import changed, new_id, outcomes, refusals, trace
from tests.support.chunks import ChunkSource, chunk, experiment, run
from tests.support.cuts import every
from tests.support.trace_views import client_of

KIND = "evaluation_dataset"


def dataset(dataset_id: str, name: str = "questions", **columns: Any) -> dict[str, Any]:
    return {
        "dataset_id": dataset_id,
        "name": name,
        "digest": "abc",
        "created_time": 1700000000123,
        "last_update_time": 1700000000456,
        "created_by": "ada",
        **columns,
    }


def record(dataset_id: str, number: int, inputs: Any = None, **columns: Any) -> dict[str, Any]:
    return {
        "dataset_id": dataset_id,
        "dataset_record_id": f"dr-{number}",
        "inputs": json.dumps({"q": number} if inputs is None else inputs),
        "created_time": 1700000000789,
        **columns,
    }


def datasets(name: str, rows: list[dict[str, Any]], **tables: Any) -> ChunkSource:
    """Return a source with two experiments, a run and a trace, then datasets."""
    first = chunk(experiments=[experiment("5", name), experiment("6", f"{name} six")])
    runs = chunk(runs=[run(A, "5", run_name="one")])
    return ChunkSource(
        (0, [first]),
        (1, [runs]),
        (2, [chunk(traces=tables.pop("traces", []))]),
        (3, [chunk(evaluation_datasets=rows, **tables)]),
    )


def whole(name: str) -> ChunkSource:
    """Return two datasets of one name; the first has tags, experiments and all kinds of records."""
    one, two, trace_id = f"d-{uuid4().hex}", f"d-{uuid4().hex}", new_id()
    source = {"source_type": "TRACE", "source_data": {"trace_id": trace_id, "run_id": A}}
    return datasets(
        name,
        [dataset(one, name), dataset(two, name, created_by=None)],
        traces=[trace(trace_id)],
        evaluation_dataset_tags=[{"dataset_id": one, "key": "team", "value": "ü"}],
        evaluation_dataset_experiments=[{"dataset_id": one, "experiment_id": each} for each in ("5", "6")],
        evaluation_dataset_records=[
            record(one, 1, outputs='{"mlflow_wrapped": "plain"}'),
            record(
                one, 2, outputs='{"mlflow_wrapped": {"a": [1, null]}}', expectations='{"e": 0.1}', tags='{"t": "1"}'
            ),
            record(one, 3, {"nested": {"b": [1.0, 1, None]}}, source=json.dumps(source)),
            record(one, 4, outputs='{"a": 1}', expectations="null", tags="{}"),
            *(record(two, number) for number in range(600)),
        ],
    )


def found(place: Place, report: Report) -> list[Any]:
    """Return the datasets of the target with their records and experiments."""
    ids = cast("dict[str, dict[str, str]]", report.details["ids"])[KIND]
    with client_of(place.uri) as client:
        made = [client.get_dataset(target) for target in ids.values()]
        for each in made:
            assert (each.records, each.experiment_ids) is not None, "read now, from this target"
    return made


def records(made: Any) -> dict[str, tuple[Any, Any, Any]]:
    there = {json.dumps(each.inputs): (each.outputs, each.expectations, each.tags) for each in made.records}
    assert len(there) == len(made.records)
    return there


def test_everything_arrives(place: Place) -> None:
    report = place.replay(whole(place.name))
    assert (refusals(report), outcomes(report, KIND)) == ([], {"created": 2})
    one, two = found(place, report)
    assert (one.name, one.tags["team"], one.created_by, two.created_by) == (place.name, "ü", "ada", None)
    assert one.tags["mlflow_export_import.evaluation_dataset.created_time"] == "1700000000123"
    experiments = cast("dict[str, str]", report.details["experiments"])
    assert sorted(one.experiment_ids) == sorted(experiments.values())
    assert records(one) == {
        '{"q": 1}': ("plain", None, {}),
        '{"q": 2}': ({"a": [1, None]}, {"e": 0.1}, {"t": "1"}),
        '{"nested": {"b": [1.0, 1, null]}}': (None, None, {}),
        '{"q": 4}': ({"a": 1}, None, {}),
    }
    (source,) = [each.source for each in one.records if each.source]
    assert source.source_data["run_id"] == place.runs()["one"].info.run_id
    assert len(two.records) == 600


def test_a_name_that_is_given_is_that_of_a_new_dataset(place: Place) -> None:
    source = datasets(place.name, [dataset(f"d-{uuid4().hex}", place.name), dataset(f"d-{uuid4().hex}", "other")])
    renames = {f"{place.name}*": f"{place.name} new*"}
    for _ in range(2):
        report = place.replay(source, rename_evaluation_dataset=renames, evaluation_dataset_prefix="x ")
        assert [each.name for each in found(place, report)] == [f"x {place.name} new", "x other"]
        assert report.details["notes"] == []
    report = place.replay(source, evaluation_dataset_prefix="x ")
    assert f"is in the target as 'x {place.name} new' and not 'x {place.name}'" in str(report.details["notes"])
    assert outcomes(report, KIND) == {"skipped": 2}


@pytest.mark.parametrize("source_tags", [True, False])
def test_twice_changes_nothing(place: Place, source_tags: bool) -> None:
    source = whole(place.name)
    place.replay(source, source_tags=source_tags)
    report = place.replay(source, source_tags=source_tags)
    assert (refusals(report), outcomes(report, KIND)) == ([], {"skipped": 2})
    assert len(place.client().search_datasets(filter_string=f"name = '{place.name}'")) == 2


@pytest.mark.parametrize("executed", [True, False])
def test_killed_anywhere_and_run_again_ends_with_one_of_each(place: Place, executed: bool) -> None:
    for after in range(4 + executed, 60, every(6)):
        name = f"{place.name}-{after}"
        source = whole(name)
        try:
            place.replay(source, wrap=dying(after, executed=executed))
        except Cut:
            report = place.replay(source)
            assert refusals(report) == []
            assert sorted(len(each.records) for each in found(place, report)) == [4, 600]
            assert len(place.client().search_datasets(filter_string=f"name = '{name}'")) == 2
        else:
            assert after > 10, "no request was cut"
            return


def test_what_was_added_at_the_source_since_is_added(place: Place) -> None:
    dataset_id = f"d-{uuid4().hex}"
    place.replay(datasets(place.name, [dataset(dataset_id)], evaluation_dataset_records=[record(dataset_id, 1)]))
    later = datasets(
        place.name,
        [dataset(dataset_id)],
        evaluation_dataset_records=[record(dataset_id, number) for number in (1, 2)],
        evaluation_dataset_tags=[{"dataset_id": dataset_id, "key": "new", "value": None}],
        evaluation_dataset_experiments=[{"dataset_id": dataset_id, "experiment_id": "6"}],
    )
    report = place.replay(later)
    assert (refusals(report), outcomes(report, KIND)) == ([], {"updated": 1})
    (made,) = found(place, report)
    assert (made.tags["new"], len(made.records), len(made.experiment_ids)) == ("", 2, 1)
    assert outcomes(place.replay(later), KIND) == {"skipped": 1}


def test_records_that_cannot_be_are_told_and_the_others_come(place: Place) -> None:
    dataset_id = f"d-{uuid4().hex}"
    source = datasets(
        place.name,
        [dataset(dataset_id, "n" * 300)],
        evaluation_dataset_records=[
            record(dataset_id, 1, {"b": 2, "a": 1}),
            record(dataset_id, 2, {"a": 1, "b": 2}),
            record(dataset_id, 3, ["no object"]),
            record(dataset_id, 4, outputs="no JSON"),
            record(dataset_id, 5, source='{"source_type": "ALIEN", "source_data": {}}'),
            record(dataset_id, 6, created_by="eve"),
        ],
    )
    report = place.replay(source)
    assert [(owner, code) for owner, _, code in refusals(report)] == [(dataset_id, codes.RECORDS_REFUSED)] * 3
    assert (changed(report)["records_with_equal_inputs"], changed(report)["record_creators"]) == (1, 1)
    (made,) = found(place, report)
    assert (len(made.name), set(records(made))) == (255, {'{"b": 2, "a": 1}', '{"q": 6}'})


def test_a_create_without_answer_is_not_done_twice(place: Place) -> None:
    class DoubtfulApi:
        def __init__(self, api: Any) -> None:
            self._api = api

        def __getattr__(self, name: str) -> Any:
            return getattr(self._api, name)

        def post(self, path: str, body: Any, **kwargs: Any) -> Any:
            answer = self._api.post(path, body, **kwargs)
            if path.endswith("/datasets/create"):
                raise ServerError("the connection was dropped before the answer was complete")
            return answer

    class Doubtful:
        def __init__(self, target: Target) -> None:
            self._target = target
            self.api = DoubtfulApi(target.api)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._target, name)

    dataset_id = f"d-{uuid4().hex}"
    source = datasets(place.name, [dataset(dataset_id, place.name)])
    report = place.replay(source, wrap=lambda target: cast("Target", Doubtful(target)))
    assert (refusals(report), outcomes(report, KIND)) == ([], {"created": 1})
    assert len(place.client().search_datasets(filter_string=f"name = '{place.name}'")) == 1


def test_a_dry_run_writes_nothing(place: Place) -> None:
    source = whole(place.name)
    assert outcomes(place.replay(source, dry_run=True), KIND) == {"created": 2}
    assert place.client().search_datasets(filter_string=f"name = '{place.name}'") == []
