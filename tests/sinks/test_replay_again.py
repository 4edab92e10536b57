"""Replay once more: repeating changes nothing, what was cut off is completed, what changed is updated."""

from __future__ import annotations

from typing import Any, cast

import pytest

from mlflow_archive.errors import ServerError
from mlflow_archive.format import refusals
from mlflow_archive.sinks.replay import Target
from tests.sinks.conftest import Place
from tests.sinks.replayed import A, Cut, CutTarget, P, counts, dying, one_run, state, whole
from tests.support.bad_network import bad_network
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points, run
from tests.support.cuts import every
from tests.support.mlflow_server import MlflowServer


@pytest.mark.parametrize("source_tags", [True, False])
def test_twice_changes_nothing(place: Place, source_tags: bool) -> None:
    place.replay(whole(place.name), source_tags=source_tags)
    before = state(place)
    report = place.replay(whole(place.name), source_tags=source_tags)
    assert counts(report) == (0, 0, 4)
    assert state(place) == before


def test_without_source_tags_only_the_identity_is_added(place: Place) -> None:
    place.replay(whole(place.name), source_tags=False)
    tags = place.runs()["child"].data.tags
    assert {key for key in tags if key.startswith((P, "mlflow_archive."))} == {"mlflow_archive.source_run_id"}
    report = place.replay(whole(place.name))
    assert counts(report) == (0, 4, 0), "the same runs are found when source tags are wanted later"


@pytest.mark.parametrize("executed", [True, False])
def test_killed_anywhere_and_run_again_ends_with_one_copy_of_each(place: Place, executed: bool) -> None:
    place.replay(whole(place.name))
    expected = _comparable(state(place), place.name)
    for after in range(2, 100, every(4 if place.kind == "store" else 10)):
        name = f"{place.name}-{after}"
        try:
            place.replay(whole(name), wrap=dying(after, executed=executed))
        except Cut:
            assert place.replay(whole(name)).gaps == []
            assert _comparable(state(place, name), name) == expected
        else:
            assert after > 20, "no request was cut"
            return


def test_a_file_on_which_the_target_failed_is_refused_and_written_by_the_next_import(
    mlflow_server: MlflowServer,
) -> None:
    """All else arrives; the run is marked as incomplete until then, also where the target fails again."""
    name = "failing files"
    with bad_network(mlflow_server.uri) as network:
        place = Place(kind="server", uri=network.uri, artifact_root=None, folder=mlflow_server.artifacts, name=name)
        for outcome in ((4, 0, 0), (0, 1, 3)):
            network.faults = {"artifacts/empty": ["500"] * 99}
            report = place.replay(whole(name))
            assert counts(report) == outcome
            assert [(gap.owner_id, gap.path, gap.code) for gap in report.gaps] == [
                (A, "empty", refusals.ARTIFACT_REFUSED)
            ]
        network.faults = {}
        report = place.replay(whole(name))
        assert (counts(report), report.gaps) == ((0, 1, 3), [])
        assert place.files(place.runs()["parent"])["empty"] == b""
        assert counts(place.replay(whole(name))) == (0, 0, 4)


def _comparable(found: dict[str, Any], name: str) -> dict[str, Any]:
    """Drop what the target itself gives: ids, and where it keeps artifacts."""
    ids = {info["run_id"]: run_name for run_name, (info, *_) in found.items()}
    text = repr(
        {
            run_name: (info["status"], info["end_time"], info["lifecycle_stage"], *(sorted(x.items()) for x in rest))
            for run_name, (info, *rest) in sorted(found.items())
        }
    ).replace(name, "NAME")
    for run_id, run_name in ids.items():
        text = text.replace(run_id, run_name)
    return {"text": text}


def test_a_create_without_answer_is_not_done_twice(place: Place) -> None:
    creates = []

    class Doubtful:
        def __init__(self, target: Target) -> None:
            self._target = target

        def __getattr__(self, name: str) -> Any:
            return getattr(self._target, name)

        def create_run(self, new: Any) -> Any:
            creates.append(self._target.create_run(new))
            raise ServerError("the connection was dropped before the answer was complete")

    report = place.replay(one_run(place.name), wrap=lambda target: cast("Target", Doubtful(target)))
    assert len(creates) == len(place.runs()) == 1
    assert counts(report) == (1, 0, 0)


def test_an_unreachable_server_ends_the_copy(place: Place) -> None:
    def unreachable(target: Target) -> Target:
        return cast("Target", CutTarget(target, 3, executed=False, error=lambda: ServerError("cannot reach it")))

    with pytest.raises(ServerError, match="cannot reach it"):
        place.replay(whole(place.name), wrap=unreachable)


def test_a_run_that_changed_is_updated(place: Place) -> None:
    place.replay(one_run(place.name, runs=[run(A, "5", run_name="only", status="RUNNING", end_time=None)]))
    later = one_run(
        place.name,
        artifacts=[artifact(A, "late.txt", b"x")],
        params=pairs(A, {"p": "1"}),
        tags=pairs(A, {"t": "2"}),
        metrics=points(A, "m", [1.0, 2.0]),
    )
    report = place.replay(later)
    only = place.runs()["only"]
    assert counts(report) == (0, 1, 0)
    assert (only.info.status, only.info.end_time) == ("FINISHED", 1655004883611)
    assert only.data.params == {"p": "1"}
    assert (only.data.tags["t"], only.data.metrics) == ("2", {"m": 2.0})
    assert place.files(only) == {"late.txt": b"x"}
    assert counts(place.replay(later)) == (0, 0, 1)


def test_a_long_history_comes_in_several_chunks(place: Place) -> None:
    def source(last: int) -> ChunkSource:
        first = chunk(experiments=[experiment("5", place.name)])
        parts = [
            chunk(complete=False, runs=[run(A, "5", run_name="only")], metrics=points(A, "m", [0.0] * 1500)),
            chunk(complete=False, metrics=points(A, "n", [1.0] * 700)),
            chunk([artifact(A, "f", b"1")], metrics=points(A, "o", [1.0] * last)),
        ]
        return ChunkSource((0, [first]), (1, parts))

    assert counts(place.replay(source(3))) == (1, 0, 0)
    only = place.runs()["only"]
    history = place.client().get_metric_history(only.info.run_id, "m")
    assert (len(history), only.info.status, place.files(only)) == (1500, "FINISHED", {"f": b"1"})
    assert counts(place.replay(source(3))) == (0, 0, 1)
    assert counts(place.replay(source(4))) == (0, 1, 0)
    assert len(place.client().get_metric_history(only.info.run_id, "o")) == 4
