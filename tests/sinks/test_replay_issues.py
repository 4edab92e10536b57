"""Issues that are there already, though somebody changed what can be changed of them."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import Any

import pytest

from mlflow_archive.sinks.replay.objects.issues import ISSUES
from mlflow_archive.sinks.replay.options import Limits
from tests.sinks.conftest import Place
from tests.sinks.replayed import Cut, dying
from tests.sinks.replayed_traces import outcomes
from tests.support.chunks import ChunkSource, chunk, experiment, run

RUN = "a" * 32


def issue(number: int, **columns: Any) -> dict[str, Any]:
    """Return a row of ``issues``; all are equal but for their id."""
    row = {"issue_id": f"iss-{number:032x}", "experiment_id": "5", "name": "Twin", "description": "Same."}
    return {**row, "status": "pending", "created_timestamp": number, "last_updated_timestamp": number, **columns}


def source(name: str, *issues: dict[str, Any], runs: tuple[str, ...] = (RUN,)) -> ChunkSource:
    made = chunk(runs=[run(run_id, "5") for run_id in runs])
    first = chunk(experiments=[experiment("5", name)])
    return ChunkSource((0, [first]), (1, [made]), (2, [chunk(issues=list(issues))]))


def listed(place: Place) -> dict[str, str]:
    """Return the names of the issues of the target by id."""
    with closing(place.open()) as target:
        found = target.api.post("/api/3.0/mlflow/issues/search", {"experiment_id": experiment_id(place)})
    return {each["issue_id"]: each["name"] for each in found.get("issues", [])}


def experiment_id(place: Place) -> str:
    return str(place.client().get_experiment_by_name(place.name).experiment_id)


def rename(place: Place, issue_id: str, name: str) -> None:
    with closing(place.open()) as target:
        target.api.patch(f"/api/3.0/mlflow/issues/{issue_id}", {"issue_id": issue_id, "name": name})


def tags(place: Place) -> dict[str, str]:
    found = place.client().get_experiment(experiment_id(place)).tags
    return {key: value for key, value in found.items() if key.startswith(ISSUES)}


def test_renamed_ones_are_found_again(place: Place) -> None:
    three = [issue(number, source_run_id=RUN) for number in (1, 2, 3)]
    first = place.replay(source(place.name, *three))
    ids: Any = first.details["ids"]
    made = ids["issue"]
    rename(place, made[three[1]["issue_id"]], "Renamed")
    before = listed(place)
    second = place.replay(source(place.name, issue(0), *three))
    assert outcomes(second, "issue") == {"created": 1, "skipped": 3}
    again: Any = second.details["ids"]
    assert {source_id: again["issue"][source_id] for source_id in made} == made, "each is the one that it was"
    assert before.items() < listed(place).items()
    assert len(listed(place)) == 4
    held = tags(place)
    assert outcomes(place.replay(source(place.name, issue(0), *three)), "issue") == {"skipped": 4}
    assert tags(place) == held


def test_ones_without_the_tag_are_found_by_what_they_are(place: Place) -> None:
    """As those of an import that was cut off, or of one before there were such tags."""
    place.replay(source(place.name, issue(1), issue(2)))
    before = listed(place)
    with closing(place.open()) as target:
        for key in tags(place):
            target.set_experiment_tag(experiment_id(place), key, "")
    assert outcomes(place.replay(source(place.name, issue(1), issue(2), issue(3))), "issue") == {
        "created": 1,
        "skipped": 2,
    }
    assert before.items() < listed(place).items()


@pytest.mark.parametrize("executed", [True, False])
def test_killed_anywhere_and_run_again_there_is_one_of_each(place: Place, executed: bool) -> None:
    for after in range(12):
        with suppress(Cut):
            place.replay(source(place.name, issue(1), issue(2)), wrap=dying(after, executed=executed))
    place.replay(source(place.name, issue(1), issue(2)))
    assert list(listed(place).values()) == ["Twin", "Twin"]


def test_many_are_kept_in_several_tags(place: Place) -> None:
    many = [issue(number, name=f"Issue {number}") for number in range(1, 8)]
    limits = Limits(experiment_tag=250)
    for some in (many[:2], many[:4], many):
        place.replay(source(place.name, *some), limits=limits)
    assert sorted(tags(place)) == [f"{ISSUES}1", f"{ISSUES}2", f"{ISSUES}3"]
    assert max(map(len, tags(place).values())) <= 250
    for number, issue_id in enumerate(listed(place)):
        rename(place, issue_id, f"Renamed {number}")
    assert outcomes(place.replay(source(place.name, *many), limits=limits), "issue") == {"skipped": 7}


def test_the_run_that_comes_later_makes_no_second_issue(place: Place) -> None:
    place.replay(source(place.name, issue(1, source_run_id=RUN), runs=()))
    assert outcomes(place.replay(source(place.name, issue(1, source_run_id=RUN))), "issue") == {"skipped": 1}
    assert len(listed(place)) == 1
