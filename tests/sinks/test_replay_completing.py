"""A run that is completed by a later import is marked until it is whole, so that a cut one is seen and completed."""

from __future__ import annotations

from typing import Any

import pytest

from mlflow_archive.sinks.replay.places.experiments import INCOMPLETE, STATE
from tests.sinks.conftest import Place
from tests.sinks.replayed import A, Cut, counts, dying, one_run
from tests.support.chunks import ChunkSource, artifact, pairs, points


def earlier(name: str) -> ChunkSource:
    return one_run(name, params=pairs(A, {"p": "1"}))


def later(name: str) -> ChunkSource:
    """Return the same run with more of everything."""
    return one_run(
        name,
        artifacts=[artifact(A, "late.txt", b"x"), artifact(A, "later.txt", b"y")],
        params=pairs(A, {"p": "1", "q": "2"}),
        tags=pairs(A, {"t": "2"}),
        metrics=points(A, "m", [1.0, 2.0]),
    )


def seen(place: Place, name: str) -> tuple[bool, Any]:
    """Return whether the run is marked as incomplete, and what else it has."""
    only = place.runs(name)["only"]
    tags = {key: value for key, value in only.data.tags.items() if key in ("t", "mlflow.runName")}
    return only.data.tags.get(STATE) == INCOMPLETE, (only.data.params, tags, only.data.metrics, place.files(only))


@pytest.mark.parametrize("place", ["store"], indirect=True)
def test_a_run_that_is_completed_is_marked_from_the_first_write_to_the_last(place: Place) -> None:
    place.replay(later(place.name))
    whole = seen(place, place.name)
    assert whole == (False, whole[1])
    partial = 0
    for after in range(5, 40, 3):
        name = f"{place.name}-{after}"
        place.replay(earlier(name))
        before = seen(place, name)
        try:
            place.replay(later(name), wrap=dying(after, executed=True))
        except Cut:
            marked, content = seen(place, name)
            assert marked or content in (before[1], whole[1]), f"cut at request {after}"
            partial += content not in (before[1], whole[1])
            assert counts(place.replay(later(name)))[0] == 0
            assert seen(place, name) == whole
        else:
            assert partial > 1
            return
    pytest.fail("no end of requests")
