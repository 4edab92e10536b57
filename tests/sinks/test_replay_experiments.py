"""Experiments of a replay: names, stages, and what the target has already."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sinks.conftest import Place
from tests.sinks.replayed import A, B, Cut, counts, deleted, dying, one_run
from tests.support.chunks import ChunkSource, chunk, experiment, pairs, run


def test_rename_and_prefix(place: Place) -> None:
    report = place.replay(one_run("old name"), rename_experiment={"old name": place.name}, experiment_prefix="moved/")
    assert report.complete
    assert place.runs(f"moved/{place.name}").keys() == {"only"}


def test_a_deleted_experiment_ends_deleted(place: Place) -> None:
    source = one_run(place.name, experiment_columns={"lifecycle_stage": "deleted"})
    place.replay(source)
    assert place.client().get_experiment_by_name(place.name).lifecycle_stage == "deleted"
    assert counts(place.replay(source)) == (0, 0, 1)
    more = one_run(place.name, experiment_columns={"lifecycle_stage": "deleted"}, params=pairs(A, {"p": "1"}))
    assert counts(place.replay(more)) == (0, 1, 0)
    assert place.client().get_experiment_by_name(place.name).lifecycle_stage == "deleted"
    assert place.runs()["only"].data.params == {"p": "1"}


def test_an_import_of_a_deleted_experiment_that_was_killed_still_ends_deleted(place: Place) -> None:
    source = one_run(place.name, experiment_columns={"lifecycle_stage": "deleted"})
    with pytest.raises(Cut):
        place.replay(source, wrap=dying(4, executed=True))
    assert place.client().get_experiment_by_name(place.name).lifecycle_stage == "active"
    place.replay(source)
    assert place.client().get_experiment_by_name(place.name).lifecycle_stage == "deleted"


def test_an_active_experiment_of_the_target_stays_active(place: Place) -> None:
    place.client().create_experiment(place.name)
    report = place.replay(one_run(place.name, experiment_columns={"lifecycle_stage": "deleted"}))
    assert place.client().get_experiment_by_name(place.name).lifecycle_stage == "active"
    assert "stays so" in str(report.details["notes"])


def test_a_name_that_a_deleted_experiment_holds_is_refused_with_its_runs(place: Place) -> None:
    client = place.client()
    client.delete_experiment(client.create_experiment(place.name))
    report = place.replay(one_run(place.name))
    assert [(gap.owner_kind, gap.owner_id, gap.code) for gap in report.gaps] == [
        ("experiment", "5", "R201"),
        ("run", A, "R101"),
    ]
    assert "mlflow gc" in report.gaps[0].reason


def test_two_experiments_of_one_name_are_kept_apart(place: Place) -> None:
    def two(first: Any, second: Any) -> ChunkSource:
        runs = [run(A, "5", run_name="gone"), run(B, "6", run_name="here")]
        return ChunkSource((0, [chunk(experiments=[first, second])]), (1, [chunk(runs=runs)]))

    report = place.replay(two(deleted(place.name), experiment("6", place.name)))
    assert place.runs().keys() == {"here"}
    assert place.runs(f"{place.name} (deleted 5)").keys() == {"gone"}
    assert "(deleted 5)" in str(report.details["notes"])
    assert counts(place.replay(two(experiment("6", place.name), deleted(place.name)))) == (0, 0, 2)


ACTING = ("mlflow.issueDetection.schedule", "mlflow.trace.archivalRetention", "mlflow.notKnownYet")


@pytest.mark.parametrize("place", ["store"], indirect=True)
@pytest.mark.parametrize("live", [False, True])
def test_tags_on_which_a_server_acts_arrive_as_source_tags(place: Place, live: bool) -> None:
    value = '{"type": "duration", "value": "30d"}'
    tags = [{"experiment_id": "5", "key": key, "value": value} for key in (*ACTING, "mlflow.experimentKind", "mine")]
    source = ChunkSource((0, [chunk(experiments=[experiment("5", place.name)], experiment_tags=tags)]))
    report = place.replay(source, acting_tags=live)
    arrived = place.client().get_experiment_by_name(place.name).tags
    assert {*ACTING, "mlflow.experimentKind", "mine"} - arrived.keys() == (set() if live else {*ACTING})
    assert all(arrived[f"mlflow_export_import.{key}"] == value for key in ACTING)
    assert all((key in str(report.details["notes"])) is not live for key in ACTING)
    assert place.replay(source, acting_tags=live).details["notes"] == report.details["notes"]
    assert place.client().get_experiment_by_name(place.name).tags == arrived
