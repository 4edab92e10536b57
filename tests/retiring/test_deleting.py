"""Deletes of a receipt, step by step: what is marked before it goes, what stays, and what is looked at again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlflow_archive.errors import ServerError
from mlflow_archive.kinds import EXPERIMENT, LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring.judging import Stay
from mlflow_archive.retiring.receipt import RetiredObject, RetireReceipt
from mlflow_archive.retiring.retire import GONE, Retirement, bring_back, refusal
from mlflow_archive.retiring.site import Foundation
from tests.retiring.memory_site import MemoryArchive, MemorySite, beside, entries_of, site_of


def retirement(site: MemorySite, archive: MemoryArchive | None = None, **states: str) -> Retirement:
    entries = entries_of(site, **states)
    return Retirement(beside(site, archive), RetireReceipt(path=None, facts={}, entries=entries))


def outcome(entries: list[RetiredObject]) -> dict[str, tuple[str, str, str]]:
    return {entry.id: (entry.state, entry.code, entry.reason) for entry in entries}


def steps(retiring: Retirement) -> Any:
    return retiring.sides.progress.done  # type: ignore[attr-defined]


DONE = ("deleted", "", "")
NOT_AS_KEPT = "it is not as the archive holds it: runs"


def test_runs_go_before_what_they_made_each_marked_before_and_looked_at_again() -> None:
    site = site_of("a", "b", models={"m": "a"})
    retiring = retirement(site)
    marked: list[list[str]] = []
    site.before = lambda said: marked.append([each.state for each in retiring.receipt.entries])
    retiring.run()
    assert site.said == [
        "stages a b",
        "read run a b",
        "hide a",
        "hide b",
        "read run a b",
        "stages m",
        "read logged_model a",
        "hide m",
        "read logged_model a",
    ]
    deleting = ["deleting", "deleting", "planned"]
    assert marked[2:5] == [deleting] * 3
    assert marked[7] == ["deleted", "deleted", "deleting"]
    assert outcome(retiring.receipt.entries) == {"a": DONE, "b": DONE, "m": DONE}
    assert retiring.receipt.state == "done"
    retired = ("retired", 1)
    of_runs, of_models = [("run", 2), ("run", 2), retired, retired], [("logged_model", 1), ("logged_model", 1), retired]
    assert steps(retiring) == of_runs + of_models
    assert site.asked == [
        ("foundation", ("a", "b")),
        ("entangled", "run", ["1"]),
        ("foundation", ("a", "b")),
        ("entangled", "run", ["1"]),
        ("foundation", ()),
        ("entangled", "logged_model", ["1"]),
        ("foundation", ()),
        ("entangled", "logged_model", ["1"]),
    ]


def test_what_is_gone_deleted_or_changed_meanwhile_stays_and_says_so() -> None:
    site = site_of("a", "b", "c", "d", models={"m": "b"})
    retiring = retirement(site, MemoryArchive(site))
    del site.objects[RUN, "a"]
    site.objects[RUN, "b"]["lifecycle_stage"] = "deleted"
    site.objects[RUN, "c"]["run_name"] = "renamed"
    retiring.run()
    assert site.said[:4] == ["stages a b c d", "read run c d", "hide d", "read run d"]
    assert outcome(retiring.receipt.entries) == {
        "a": ("left", "R502", "it is not at the source any more"),
        "b": ("left", "R502", "somebody else has deleted it meanwhile"),
        "c": ("left", "R502", NOT_AS_KEPT),
        "d": DONE,
        "m": ("held", "", "the run b that made it stays"),
    }
    assert site.objects[RUN, "c"]["lifecycle_stage"] == "active"


def test_where_nothing_may_go_nothing_is_looked_at_again() -> None:
    site = site_of("a")
    retiring = retirement(site, MemoryArchive(MemorySite()))
    retiring.run()
    assert site.said == ["stages a", "read run a"]
    assert outcome(retiring.receipt.entries) == {"a": ("left", "R501", "the archive does not hold it")}


def test_what_a_kill_left_between_mark_and_look_is_looked_at_once_more() -> None:
    site = site_of("a", "b", "c", "d")
    archive = MemoryArchive(site)
    for name in "abc":
        site.objects[RUN, name]["lifecycle_stage"] = "deleted"
    site.objects[RUN, "b"]["run_name"] = "renamed"
    retiring = retirement(site, archive, a="deleting", b="deleting", c="deleted", d="deleting")
    retiring.run()
    assert site.said == ["stages a b d", "read run d", "hide d", "read run a b d", "show b"]
    reason = f"{NOT_AS_KEPT}; that was seen behind its delete, and it was brought back"
    assert outcome(retiring.receipt.entries) == {"a": DONE, "b": ("left", "R502", reason), "c": DONE, "d": DONE}
    assert site.objects[RUN, "b"]["lifecycle_stage"] == "active"


def test_a_change_between_the_last_look_before_and_the_delete_is_seen_and_it_is_brought_back() -> None:
    site = site_of("a", "b")
    retiring = retirement(site)

    def change(said: str) -> None:
        if said == "hide a":
            site.objects[RUN, "a"]["run_name"] = "renamed"

    site.before = change
    retiring.run()
    assert [said for said in site.said if said.startswith("show")] == ["show a"]
    reason = f"{NOT_AS_KEPT}; that was seen behind its delete, and it was brought back"
    assert outcome(retiring.receipt.entries) == {"a": ("left", "R502", reason), "b": DONE}
    assert steps(retiring) == [("run", 2), ("run", 2), ("retired", 1)]


def test_a_rule_that_holds_it_behind_the_delete_leaves_it_held() -> None:
    site = site_of("a")
    retiring = retirement(site)

    def register(said: str) -> None:
        if said == "hide a":
            site.registered = Foundation(runs=frozenset({"a"}), logged_models=frozenset())

    site.before = register
    retiring.run()
    held = "a version of a registered model stands on it; that was seen behind its delete, and it was brought back"
    assert outcome(retiring.receipt.entries) == {"a": ("held", "", held)}


def test_what_the_source_refuses_stays_and_the_others_go() -> None:
    site = site_of("a", "b")
    retiring = retirement(site)

    def refuse(said: str) -> None:
        if said == "hide a":
            raise ServerError("no permission", status=403)

    site.before = refuse
    retiring.run()
    assert site.said[-1] == "read run b"
    refused = ("left", "R504", "the source refused: no permission")
    assert outcome(retiring.receipt.entries) == {"a": refused, "b": DONE}


@pytest.mark.parametrize(("status", "refuses"), [(None, False), (499, True), (404, True), (500, False), (503, False)])
def test_which_answers_refuse(status: int | None, refuses: bool) -> None:
    """Others say that it cannot be done now: the command ends and goes on when it is given again."""
    error = ServerError("no", status=status)
    if refuses:
        assert refusal(error) == Stay(reason="the source refused: no", code="R504")
        return
    with pytest.raises(ServerError) as caught:
        refusal(error)
    assert caught.value is error


def of_server(*runs: str, **options: Any) -> MemorySite:
    site = site_of(*runs, **options)
    site.unseen = frozenset({LOGGED_MODEL})
    return site


def test_a_model_that_a_server_does_not_bring_back_is_looked_at_by_its_id() -> None:
    site = of_server("r", models={"as kept": "r", "changed": "r", "not shown": "r", "new": None, "unread": None})
    archive = MemoryArchive(site)
    del archive._rows[LOGGED_MODEL, "new"]
    names = ("as kept", "changed", "not shown", "new", "unread")
    retiring = retirement(site, archive, r="deleted", **dict.fromkeys(names, "deleting"))
    for name in names:
        site.objects[LOGGED_MODEL, name]["lifecycle_stage"] = "deleted"
    site.objects[LOGGED_MODEL, "changed"]["name"] = "renamed"
    del site.objects[LOGGED_MODEL, "not shown"]
    retiring.run()
    assert site.said == [f"stages {' '.join(names)}", *(f"look {name}" for name in names)]
    changed = "it is not as the archive holds it: logged models; that was seen behind its delete"
    assert outcome(retiring.receipt.entries) == {
        "r": DONE,
        **dict.fromkeys(names, DONE),
        "changed": ("deleted", "R502", changed),
    }
    assert [amount for unit, amount in steps(retiring) if unit == "retired"] == [1] * 5


def test_a_planned_model_that_a_server_does_not_show_is_gone() -> None:
    site = of_server("r", models={"m": "r"})
    retiring = retirement(site, r="deleted")
    del site.objects[LOGGED_MODEL, "m"]
    retiring.run()
    assert site.said == ["stages m"]
    assert outcome(retiring.receipt.entries)["m"] == ("left", "R502", "it is not at the source any more")


def test_verdicts_are_of_the_runs_that_go_by_the_receipt_as_it_is_now() -> None:
    site = site_of("a", "b", models={"m": "a", "n": "b", "o": None})
    retiring = retirement(site, a="deleted", b="left")
    assert retiring.verdicts([]) == {}
    assert site.said == []
    staying = Stay(reason="the run b that made it stays")
    assert retiring.verdicts([4, 2, 3]) == {4: None, 2: None, 3: staying}
    assert site.said[1:] == ["read logged_model 1"]
    assert set(site.said[0].split()) == {"read", "logged_model", "a", "b"}
    retiring.receipt.put(1, replace(retiring.receipt.entries[1], state="purged"))
    retiring.receipt.put(0, replace(retiring.receipt.entries[0], state="held"))
    assert retiring.verdicts([2, 3]) == {2: Stay(reason="the run a that made it stays"), 3: None}
    site.objects.clear()
    assert retiring.verdicts([2, 0]) == {2: GONE, 0: GONE}


def test_what_others_would_lose_by_it_is_asked_about_for_all_kinds_and_experiments() -> None:
    site = site_of("a", "b", traces=("t",))
    site.objects[TRACE, "t"]["experiment_id"] = "2"
    site.others = {RUN: ("b",)}
    verdicts = retirement(site).verdicts([0, 1, 2])
    assert [None if stay is None else stay.code for stay in verdicts.values()] == [None, "R504", None]
    assert site.asked == [("foundation", ("a", "b")), ("entangled", "run", "trace", ["1", "2"])]


def test_all_that_a_receipt_says_was_deleted_is_brought_back_and_the_rest_says_how() -> None:
    names = ("deleted", "deleting", "purging", "purged", "planned", "left", "held")
    site = site_of(*names, "none", "twice")
    states = {**{name: name for name in names}, "none": "deleted", "twice": "purged"}
    entries = [
        RetiredObject(kind=EXPERIMENT, id="1", state="deleted"),
        *(replace(entry, code="R1", reason="x") for entry in entries_of(site, **states)),
    ]
    for name in ("none", "purged"):
        del site.objects[RUN, name]
    receipt = RetireReceipt(path=None, facts={"archive": "a.mlfa", "source": "sqlite:///x"}, entries=entries)
    gone = bring_back(receipt, site)
    assert site.said[0] == "stages deleted deleting purging purged none twice"
    assert site.said[1:] == [f"show {name}" for name in ("deleted", "deleting", "purging", "twice")]
    back = ("brought back", "", "")
    way = "mlflow-archive restore a.mlfa --run purged --merge --to sqlite:///x --artifact-root ROOT"
    assert outcome(gone) == {
        **dict.fromkeys(("deleted", "deleting", "purging", "twice"), back),
        "purged": ("left", "R502", f"it was purged, and comes back from the archive: {way}"),
        "none": ("left", "R502", "it is not at the source any more"),
    }
    assert {entry.id: entry.state for entry in receipt.entries if entry not in gone} == {
        "1": "deleted",
        **{name: name for name in ("planned", "left", "held")},
    }
    assert receipt.state == "brought back"


def test_many_are_brought_back_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlflow_archive.retiring.retire.AT_ONCE", 2)
    site = site_of(*"abcde")
    receipt = RetireReceipt(path=None, facts={}, entries=entries_of(site, **dict.fromkeys("abcde", "deleted")))
    bring_back(receipt, site)
    assert [said for said in site.said if said.startswith("stages")] == ["stages a b", "stages c d", "stages e"]


def test_what_mlflow_has_no_way_to_bring_back_says_how_and_what_is_active_needs_none() -> None:
    site = of_server("r", models={"m": "r", "n": "r"})
    site.objects[LOGGED_MODEL, "m"]["lifecycle_stage"] = "deleted"
    entries = entries_of(site, m="deleted", n="deleting")
    receipt = RetireReceipt(path=None, facts={"source": "http://server"}, entries=entries)
    reason = "MLflow's API has no way to bring it back; its database has: mlflow-archive undo RECEIPT --to DATABASE"
    assert outcome(bring_back(receipt, site)) == {
        "m": ("deleted", "R504", reason),
        "n": ("brought back", "", ""),
    }
