"""A plan: an entry for each object that is selected, whole, with the first reason why it stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from mlflow_archive.flow.source import Source
from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring.judging import Rules, Stay
from mlflow_archive.retiring.plan import SiteMoment, plan, stays
from mlflow_archive.retiring.receipt import RetiredObject
from mlflow_archive.retiring.site import Foundation
from mlflow_archive.selecting.selection import Selection
from tests.retiring.memory_site import MemoryArchive, MemorySite, beside, site_of


def planned(site: MemorySite, archive: MemoryArchive | None = None, **options: Any) -> list[RetiredObject]:
    selection = options.pop("selection", Selection())
    rules = options.pop("rules", None)
    with beside(site, archive, rules).moment() as moment:
        return plan(moment, selection, **options)


def states(entries: list[RetiredObject]) -> dict[str, tuple[str, str, str]]:
    return {entry.id: (entry.state, entry.code, entry.reason) for entry in entries}


PLANNED = ("planned", "", "")


def test_entries_say_what_an_object_is_and_where_it_lies() -> None:
    site = site_of("r", models={"m": "r"}, traces=("t",))
    site.kinds = (LOGGED_MODEL, RUN, TRACE)
    site.objects[RUN, "r"].update(run_name="first")
    site.objects[LOGGED_MODEL, "m"].update(name="net", last_updated_timestamp=1_001, experiment_id="2")
    site.objects[TRACE, "t"].update(experiment_id="3")
    assert planned(site) == [
        RetiredObject(kind=RUN, id="r", name="first", experiment_id="1", experiment="one"),
        RetiredObject(
            kind=LOGGED_MODEL, id="m", name="net", experiment_id="2", experiment="two", maker="r", updated_ms=1_001
        ),
        RetiredObject(
            kind=TRACE,
            id="t",
            name="",
            experiment_id="3",
            state="left",
            code="R502",
            reason="its experiment has another name or time of creation than in the archive",
        ),
    ]
    site.objects[RUN, "r"].update(run_name=None)
    site.objects[TRACE, "t"].update(experiment_id="2")
    assert [(entry.id, entry.name, entry.experiment) for entry in planned(site)] == [
        ("r", "", "one"),
        ("m", "net", "two"),
        ("t", "", "two"),
    ]


def test_models_go_whose_run_goes_or_went_and_what_changed_stays() -> None:
    site = site_of("r", "s", "gone", models={"of r": "r", "of s": "s", "of gone": "gone", "of nobody": None})
    archive = MemoryArchive(site)
    site.objects[RUN, "s"]["run_name"] = "renamed"
    del site.objects[RUN, "gone"]
    changed = ("left", "R502", "it is not as the archive holds it: runs")
    expected = {
        "r": PLANNED,
        "s": changed,
        "of r": PLANNED,
        "of s": ("held", "", "the run s that made it stays"),
        "of gone": ("held", "", "the run gone that made it stays"),
        "of nobody": PLANNED,
    }
    assert states(planned(site, archive)) == expected
    assert states(planned(site, archive, gone=("gone",))) == {**expected, "of gone": PLANNED}
    assert site.asked == [("foundation", ()), ("entangled", LOGGED_MODEL, RUN, None)] * 2
    assert site.said == ["read logged_model run"] * 2


def test_a_plan_asks_for_what_the_site_brings_back_or_for_the_kinds_that_are_given() -> None:
    site = site_of("r", models={"m": "r"}, traces=("t",))
    assert [entry.id for entry in planned(site)] == ["r", "m"]
    assert [entry.id for entry in planned(site, kinds=(TRACE,))] == ["t"]
    assert [asked for asked in site.asked if asked[0] == "entangled"] == [
        ("entangled", LOGGED_MODEL, RUN, None),
        ("entangled", TRACE, None),
    ]
    assert [entry.id for entry in planned(site, kinds=(RUN,), selection=Selection(runs=("r",)))] == ["r"]


def test_what_versions_will_stand_on_counts_where_it_is_given() -> None:
    site = site_of("r", "s")
    site.registered = Foundation(runs=frozenset({"r"}), logged_models=frozenset())
    stands = ("held", "", "a version of a registered model stands on it")
    assert states(planned(site)) == {"r": stands, "s": PLANNED}
    later = Foundation(runs=frozenset({"s"}), logged_models=frozenset())
    assert states(planned(site, foundation=later)) == {"r": PLANNED, "s": stands}
    assert states(planned(site, rules=Rules(with_versions=True))) == {"r": PLANNED, "s": PLANNED}
    assert site.asked.count(("foundation", ())) == 2


def test_a_trace_waits_for_the_runs_that_are_there_and_do_not_go() -> None:
    site = site_of("r", traces=("t",))
    sides = beside(site)
    judge = sides.judge(site.registered, {}, {"going"})
    assert list(judge.there(["none", "r"])) == ["r"]
    assert site.said == ["stages none r"]
    assert (judge.rules, judge.foundation, judge.entangled, set(judge.going)) == (
        Rules(),
        site.registered,
        {},
        {"going"},
    )


def test_a_moment_closes_its_source_whatever_comes() -> None:
    class Counted:
        """A source of which it counts that it is opened and closed."""

        said = ""

        def facts(self) -> None:
            self.said += "facts "

        def close(self) -> None:
            self.said += "close "

    site, source = site_of("r"), Counted()
    sides = beside(site)
    site.source = lambda: source  # type: ignore[assignment, method-assign, return-value]
    with sides.moment() as moment:
        assert moment == SiteMoment(sides, cast("Source", source))
        assert source.said.split() == ["facts"]
    assert source.said.split() == ["facts", "close"]


def test_runs_of_experiments_that_went_are_no_longer_planned() -> None:
    """Where runs are gone, deleted objects are read, too: those of experiments that are deleted are passed over."""
    site = site_of("r")
    asked: list[Selection] = []
    plain = site.source

    def source() -> Any:
        opened = plain()
        planning = opened.plan

        def plan_noted(selection: Selection, progress: Any) -> Any:
            asked.append(selection)
            return planning(selection, progress)

        opened.plan = plan_noted  # type: ignore[method-assign]
        return opened

    site.source = source  # type: ignore[method-assign]
    planned(site)
    planned(site, gone=("x",))
    assert [(selection.kinds, selection.deleted) for selection in asked] == [
        ((LOGGED_MODEL, RUN), False),
        ((LOGGED_MODEL, RUN), True),
    ]


def test_who_stays_is_left_for_a_reason_with_a_code_and_held_by_a_rule() -> None:
    entry = RetiredObject(kind=RUN, id="r", name="n", state="deleting")
    assert stays(entry, Stay(reason="why", code="R502")) == replace(entry, state="left", code="R502", reason="why")
    assert stays(entry, Stay(reason="why")) == replace(entry, state="held", code="", reason="why")
    assert entry.state == "deleting"


def test_when_a_model_was_changed_is_told_in_milliseconds() -> None:
    site = site_of("r", models={"m": "r"})
    moment = datetime(2024, 5, 1, 12, 0, 0, 123_000, tzinfo=UTC)
    site.objects[LOGGED_MODEL, "m"]["last_updated_timestamp"] = moment
    [_, model] = planned(site)
    assert model.updated_ms == 1_714_564_800_123
