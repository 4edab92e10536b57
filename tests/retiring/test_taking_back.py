"""What an import made of other kinds is asked to be deleted in order, by which requests, and why some of it stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.kinds import (
    EVALUATION_DATASET,
    EXPERIMENT,
    LOGGED_MODEL,
    MODEL_VERSION,
    REGISTERED_MODEL,
    RUN,
    TRACE,
    WEBHOOK,
)
from mlflow_archive.retiring.receipt import RetiredObject, RetireReceipt
from mlflow_archive.retiring.taking_back import TakingBack, no_way
from mlflow_archive.sinks.replay.target.target import Target, TargetExperiment

VERSIONS, MODELS, HOOKS = (f"/api/2.0/mlflow/{name}" for name in ("model-versions", "registered-models", "webhooks"))
GONE = ServerError("not found", status=404, error_code="RESOURCE_DOES_NOT_EXIST")
REFUSED = ServerError("no permission", status=403, error_code="PERMISSION_DENIED")


@dataclass
class Answers:
    """What stands for a target: notes what it is asked, answers ``pages`` by path and experiment, and may raise."""

    deleted: tuple[str, ...] = ()
    pages: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    hear: Callable[[str], object] = str

    @property
    def api(self) -> Answers:
        return self

    def delete(self, path: str, body: Mapping[str, str] | None) -> None:
        self.asked.append((path, body))
        self.hear(path)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append((path, dict(body)))
        [experiment_id] = body["experiment_ids"]
        pages = self.pages.get((path.removeprefix("/api/2.0/mlflow/"), experiment_id), [{}])
        return pages[int(body.get("page_token", 0))]

    def experiments(self) -> list[TargetExperiment]:
        named = [("0", False), *((name, True) for name in self.deleted)]
        return [TargetExperiment(experiment_id=at, name="", deleted=deleted, tags={}) for at, deleted in named]

    def delete_experiment(self, experiment_id: str) -> None:
        self.asked.append(("delete", experiment_id))
        self.hear(experiment_id)


def taking(target: Answers, *entries: RetiredObject) -> TakingBack:
    return TakingBack(cast("Target", target), RetireReceipt(path=None, facts={}, entries=list(entries)))


def made(kind: str, name: str, state: str = "planned") -> RetiredObject:
    return RetiredObject(kind=kind, id=name, state=state)


def outcome(taken: TakingBack) -> list[tuple[str, str, str, str]]:
    return [(entry.id, entry.state, entry.code, entry.reason) for entry in taken.receipt.entries]


def test_what_stands_on_others_goes_before_them_each_marked_before() -> None:
    target = Answers()
    taken = taking(
        target,
        made(WEBHOOK, "a/b c"),
        made(REGISTERED_MODEL, "net/1"),
        made(EVALUATION_DATASET, "d/1"),
        made(MODEL_VERSION, "net/1/3"),
        made(MODEL_VERSION, "other/1", "purging"),
        made(RUN, "r"),
        made(MODEL_VERSION, "left/1", "left"),
        made(MODEL_VERSION, "gone/1", "purged"),
        made(EXPERIMENT, "1"),
    )
    states: list[list[str]] = []
    target.hear = lambda _: states.append([entry.state for entry in taken.receipt.entries])
    taken.take()
    assert target.asked == [
        (f"{VERSIONS}/delete", {"name": "net/1", "version": "3"}),
        (f"{VERSIONS}/delete", {"name": "other", "version": "1"}),
        (f"{MODELS}/delete", {"name": "net/1"}),
        ("/api/3.0/mlflow/datasets/d%2F1", None),
        (f"{HOOKS}/a%2Fb%20c", None),
    ]
    assert states[0] == ["planned"] * 3 + ["purging", "purging", "planned", "left", "purged", "planned"]
    assert states[4][:5] == ["purging", *["purged"] * 4]
    assert [state for _, state, _, _ in outcome(taken)] == ["purged"] * 5 + ["planned", "left", "purged", "planned"]
    assert {(code, reason) for _, _, code, reason in outcome(taken)} == {("", "")}


@pytest.mark.parametrize(
    ("error", "state", "expected"),
    [
        (GONE, "planned", ("left", "R502", "it is not at the source any more")),
        (GONE, "purging", ("purged", "", "")),  # by this command, which was killed
        (REFUSED, "planned", ("left", "R504", "the source refused: no permission")),
        (REFUSED, "purging", ("left", "R504", "the source refused: no permission")),
        (ItemError("in use"), "planned", ("left", "R504", "the target refused: in use")),
        (ItemError("in use"), "purging", ("left", "R504", "the target refused: in use")),
    ],
)
def test_what_becomes_of_what_is_not_deleted(error: Exception, state: str, expected: tuple[str, str, str]) -> None:
    def refuse(path: str) -> None:
        if path.startswith(MODELS):
            raise error

    taken = taking(Answers(hear=refuse), made(REGISTERED_MODEL, "net", state), made(WEBHOOK, "w"))
    taken.take()
    assert outcome(taken) == [("net", *expected), ("w", "purged", "", "")]


def test_where_the_target_cannot_be_reached_it_is_marked_and_goes_on_the_next_time() -> None:
    def fail(path: str) -> None:
        raise ServerError("no answer")

    taken = taking(Answers(hear=fail), made(WEBHOOK, "v"), made(WEBHOOK, "w"))
    with pytest.raises(ServerError, match="no answer"):
        taken.take()
    assert [state for _, state, _, _ in outcome(taken)] == ["purging", "planned"]


def in_it(name: str, *ids: str) -> dict[str, Any]:
    key = {"runs": "run_id", "models": "model_id"}[name]
    return {name: [{"info": {key: each}} for each in ids]}


def test_experiments_go_that_hold_what_went_only() -> None:
    runs, models = "runs/search", "logged-models/search"
    target = Answers(
        deleted=("by it", "before"),
        pages={
            (runs, "empty"): [in_it("runs")],
            (runs, "went"): [{**in_it("runs", "r"), "next_page_token": "1"}, in_it("runs", "s")],
            (models, "went"): [in_it("models", "m")],
            (runs, "a run"): [{**in_it("runs", "r"), "next_page_token": "1"}, in_it("runs", "other", "more")],
            (models, "a model"): [in_it("models", "m", "of others")],
        },
    )
    names = ("empty", "went", "a run", "a model", "a trace")
    taken = taking(
        target,
        *(made(kind, name, "deleted") for kind, name in ((RUN, "r"), (RUN, "s"), (LOGGED_MODEL, "m"))),
        made(RUN, "other", "left"),
        made(EXPERIMENT, "by it", "deleting"),
        made(EXPERIMENT, "before"),
        *(made(EXPERIMENT, name) for name in names),
        made(EXPERIMENT, "kept", "held"),
        made(EXPERIMENT, "done", "deleted"),
        made(TRACE, "t", "left"),
    )
    states: list[str] = []
    target.hear = lambda _: states.append(" ".join(e.state for e in taken.receipt.entries if e.id in ("empty", "went")))
    taken.take_experiments({"a trace"})

    def not_empty(content: str) -> tuple[str, str, str]:
        return "left", "R502", f"it is not empty: {content}, which did not go, lies in it"

    gone = ("deleted", "", "")
    assert {name: rest for name, *rest in outcome(taken)[4:-1]} == {
        "by it": [*gone],
        "before": ["held", "", "it is deleted already"],
        "empty": [*gone],
        "went": [*gone],
        "a run": [*not_empty("the run other")],
        "a model": [*not_empty("the logged model of others")],
        "a trace": [*not_empty("traces")],
        "kept": ["held", "", ""],
        "done": [*gone],
    }
    assert [asked[1] for asked in target.asked if asked[0] == "delete"] == ["empty", "went"]
    assert states == ["deleting planned", "deleted deleting"]
    body = {"experiment_ids": ["went"], "run_view_type": "ALL"}
    of_went = [asked for asked in target.asked if asked[0] != "delete" and asked[1]["experiment_ids"] == ["went"]]
    assert of_went == [
        (f"/api/2.0/mlflow/{runs}", body),
        (f"/api/2.0/mlflow/{runs}", {**body, "page_token": "1"}),
        (f"/api/2.0/mlflow/{models}", body),
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (REFUSED, ("left", "R504", "the source refused: no permission")),
        (ItemError("in use"), ("left", "R504", "the target refused: in use")),
    ],
)
def test_an_experiment_that_is_refused_stays_and_the_next_goes(
    error: Exception, expected: tuple[str, str, str]
) -> None:
    def refuse(experiment_id: str) -> None:
        if experiment_id == "1":
            raise error

    taken = taking(Answers(hear=refuse), made(EXPERIMENT, "1"), made(EXPERIMENT, "2"))
    taken.take_experiments(())
    assert outcome(taken) == [("1", *expected), ("2", "deleted", "", "")]


def test_what_undo_does_not_take_back_may_lie_in_any_experiment() -> None:
    issue = replace(made("issue", "i", "left"), reason="undo takes back no issues")
    for kind, state, stays in (("issue", "left", True), ("issue", "held", False), (RUN, "left", False)):
        entry = replace(issue, kind=kind, state=state)
        taken = taking(Answers(), entry, replace(entry, kind="scorer"), made(EXPERIMENT, "1"))
        if not stays:
            taken.receipt.entries.pop(1)
        taken.take_experiments(())
        said = ("left", "R502", "it is not empty: issues, which did not go, lies in it")
        assert outcome(taken)[-1] == ("1", *(said if stays else ("deleted", "", "")))


def test_why_a_kind_is_not_taken_back() -> None:
    stay = no_way("review_queue")
    assert (stay.code, stay.reason) == ("R504", "undo takes back no review queues: delete it in MLflow")
