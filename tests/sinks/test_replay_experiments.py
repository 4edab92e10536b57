"""Experiments of a replay: names, stages, and what the target has already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from mlflow_archive.sinks.replay import Target
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


@pytest.mark.parametrize("place", ["store"], indirect=True)
@pytest.mark.parametrize("source_tags", [True, False])
def test_two_active_experiments_of_one_name_are_never_merged(place: Place, source_tags: bool) -> None:
    def some(*ids: str) -> ChunkSource:
        names = {"5": (A, "first"), "6": (B, "second")}
        tags = [{"experiment_id": source_id, "key": "team", "value": names[source_id][1]} for source_id in ids]
        runs = [run(names[source_id][0], source_id, run_name=names[source_id][1]) for source_id in ids]
        experiments = [experiment(source_id, place.name) for source_id in ids]
        return ChunkSource((0, [chunk(experiments=experiments, experiment_tags=tags)]), (1, [chunk(runs=runs)]))

    def looked() -> list[tuple[str, str, list[str]]]:
        names = (place.name, f"{place.name} ({'6' if first else '5'})")
        return [(n, place.client().get_experiment_by_name(n).tags["team"], [*place.runs(n)]) for n in names]

    first = True
    report = place.replay(some("6", "5"), source_tags=source_tags)
    there = looked()
    assert [entry[1:] for entry in there] == [("first", ["first"]), ("second", ["second"])]
    assert "shares the name" in str(report.details["notes"])
    assert counts(place.replay(some("5", "6"), source_tags=source_tags)) == (0, 0, 2)
    assert looked() == there
    if source_tags:  # without them only the names say which is which
        assert counts(place.replay(some("6"))) == (0, 0, 1)


@pytest.mark.parametrize("place", ["store"], indirect=True)
def test_the_one_that_came_first_keeps_the_name(place: Place) -> None:
    def one(source_id: str, run_id: str) -> tuple[Any, Any]:
        return experiment(source_id, place.name), run(run_id, source_id, run_name=source_id)

    (five, run_of_five), (six, run_of_six) = one("5", A), one("6", B)
    place.replay(ChunkSource((0, [chunk(experiments=[six])]), (1, [chunk(runs=[run_of_six])])))
    both = ChunkSource((0, [chunk(experiments=[five, six])]), (1, [chunk(runs=[run_of_five, run_of_six])]))
    assert counts(place.replay(both)) == (1, 0, 1)
    assert [*place.runs(), *place.runs(f"{place.name} (5)")] == ["6", "5"]


@pytest.mark.parametrize("place", ["store"], indirect=True)
def test_an_experiment_that_another_import_makes_meanwhile_is_joined(place: Place) -> None:
    class Slower:
        """A target in which another import is always a moment earlier."""

        def __init__(self, target: Target) -> None:
            self._target = target

        def __getattr__(self, name: str) -> Any:
            return getattr(self._target, name)

        def create_experiment(self, name: str, tags: Mapping[str, str]) -> str:
            self._target.create_experiment(name, tags)
            return self._target.create_experiment(name, tags)

    report = place.replay(one_run(place.name), wrap=lambda target: cast("Target", Slower(target)))
    assert (report.gaps, counts(report)) == ([], (1, 0, 0))
    assert place.runs().keys() == {"only"}
