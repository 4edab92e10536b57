"""Servers that give a few rows a page whatever is asked for, sort as they like, or give one page again and again."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Literal

import pytest

from mlflow_archive.errors import ServerError
from mlflow_archive.format.gaps import ARTIFACT_LISTING, METRIC_UNREADABLE
from mlflow_archive.kinds import RUN
from mlflow_archive.sources.rest.lists import Answer, pages
from tests.sources.rest_reading import ids, read
from tests.support.reading import Read
from tests.support.stand_in import Json, standing_in

Point = tuple[int, int, float]
"""Time, step and value."""

HISTORY: tuple[Point, ...] = (
    *((time, time, 0.5) for time in range(4)),
    *((4, 4, 0.0), (4, 4, nan), (5, 5, 1.0), (5, 6, nan), (5, 6, 0.0), (6, 7, nan), (6, 7, 0.0)),
)
"""NaN is equal to 0 in the server's order, and may stand before or behind it."""


@dataclass
class Tracking:
    """Three experiments with runs, each with one history; ``page`` is how many rows an answer has at most.

    ``tokens`` are offsets, cursors of another form, or those of a server that takes no token and gives the first page:
    always the same one, or one for each page.
    """

    page: int
    tokens: Literal["offset", "cursor", "first", "first of many"] = "offset"
    ignored: str = ""
    """The list that is given from its beginning in the last two cases."""
    history: tuple[Point, ...] = HISTORY
    starts: tuple[int | None, ...] = (1000, 1000, 1000, 1001, 1002, 1002, 1003)
    files: tuple[str, ...] = ()
    asked: int = 0
    runs: list[Json] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.experiments = [{"experiment_id": str(n), "name": f"e{n}"} for n in range(3)]
        self.runs = [self._run(number, start) for number, start in enumerate(self.starts)]
        self.points = [
            {"key": "m", "timestamp": time, "step": step, "value": "NaN" if isnan(value) else value}
            for time, step, value in self.history
        ]

    def _run(self, number: int, start: int | None) -> Json:
        info: Json = {"run_id": f"{number:032x}", "experiment_id": str(number % 3), "status": "FINISHED"}
        times = {} if start is None else {"start_time": start}
        place = f"s3://bucket/{number}/artifacts" if self.files else ""
        info |= {**times, "artifact_uri": place, "lifecycle_stage": "active"}
        time, step, value = max(self.history, key=lambda point: (point[1], point[0], 0.0 if isnan(point[2]) else 1.0))
        latest = {"key": "m", "timestamp": time, "step": step, "value": "NaN" if isnan(value) else value}
        return {"info": info, "data": {"metrics": [latest]}}

    def answer(self, path: str, body: Json) -> tuple[int, Json]:
        self.asked += 1
        assert self.asked < 2000, "it does not end"
        if path.endswith("experiments/search"):
            return 200, self._page("experiments", self.experiments, body)
        if path.endswith("runs/search"):
            conditions = body["filter"]
            since = re.search(r"start_time >= (-?\d+)", conditions)
            until = re.search(r"start_time < (-?\d+)", conditions)
            starts = [run["info"].get("start_time") for run in self.runs]
            rows = [
                run
                for run, start in zip(self.runs, starts, strict=True)
                if run["info"]["experiment_id"] in body["experiment_ids"]
                and (since is None or (start is not None and start >= int(since[1])))
                and (until is None or (start is not None and start < int(until[1])))
            ]
            return 200, self._page("runs", rows, body)
        if path.endswith("metrics/get-history"):
            return 200, self._page("metrics", self.points, body)
        if path.endswith("artifacts/list"):
            return 200, self._page("files", [{"path": name, "file_size": 1} for name in self.files], body)
        return 404, {}

    def _page(self, name: str, rows: list[Json], body: Json) -> Json:
        ignores = self.tokens.startswith("first") and name == self.ignored
        asked_start = self._start(body.get("page_token"))
        start = 0 if ignores else asked_start
        size = min(self.page, int(body.get("max_results", 1000)))
        following = size if self.tokens == "first" and ignores else asked_start + size
        more = {"next_page_token": self._token(following)} if ignores or start + size < len(rows) else {}
        return {name: rows[start : start + size], **more}

    def _start(self, token: str | None) -> int:
        if token is None:
            return 0
        if self.tokens == "cursor":
            return int(token.removeprefix("after "))
        return int(json.loads(base64.b64decode(token))["offset"])

    def _token(self, start: int) -> str:
        if self.tokens == "cursor":
            return f"after {start}"
        return base64.b64encode(json.dumps({"offset": start}).encode()).decode()


def _read(tracking: Tracking, **selection: object) -> Read:
    with standing_in(tracking.answer) as uri:
        return read(uri, **{"kinds": (RUN,), "artifacts": False, **selection})  # type: ignore[arg-type]


def _assert_whole(found: Read, tracking: Tracking) -> None:
    assert found.tables["gaps"] == []
    assert [row["run_id"] for row in found.tables["runs"]] == [f"{n:032x}" for n in range(len(tracking.runs))]
    assert ids(found, "experiments", "experiment_id") == {"0", "1", "2"}
    for run_id in ids(found, "runs", "run_id"):
        points = [(row["step"], repr(row["value"])) for row in found.rows("metrics", run_id=run_id)]
        assert sorted(points) == sorted((step, repr(value)) for _, step, value in tracking.history)


@pytest.mark.parametrize("page", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("tokens", ["offset", "cursor"])
def test_small_pages_lose_nothing(page: int, tokens: Literal["offset", "cursor"]) -> None:
    tracking = Tracking(page, tokens)
    _assert_whole(_read(tracking), tracking)


@pytest.mark.parametrize("page", [1, 2, 3])
def test_runs_without_a_start_come_at_the_end(page: int) -> None:
    tracking = Tracking(page, starts=(1000, 1001, None, None, None))
    _assert_whole(_read(tracking), tracking)


@pytest.mark.parametrize("page", [1, 2, 3, 4])
@pytest.mark.parametrize("tokens", ["offset", "cursor"])
def test_a_history_in_another_order_is_whole(page: int, tokens: Literal["offset", "cursor"]) -> None:
    by_step = tuple((time, step, float(step)) for step, time in enumerate((1, 2, 3, 9, 8, 7, 2, 1, 10)))
    tracking = Tracking(page, tokens, history=by_step)
    _assert_whole(_read(tracking), tracking)


@pytest.mark.parametrize("page", [1, 2, 3, 4])
@pytest.mark.parametrize("tokens", ["first", "first of many"])
def test_a_history_that_begins_again_and_again_is_a_gap(page: int, tokens: Literal["first", "first of many"]) -> None:
    found = _read(Tracking(page, tokens, "metrics", starts=(1000,)))
    [gap] = found.rows("gaps")
    assert (gap["owner_id"], gap["path"], gap["code"]) == (f"{0:032x}", "m", METRIC_UNREADABLE)
    assert "gives the same page again" in gap["reason"]
    steps = [row["step"] for row in found.rows("metrics")]
    assert steps == [*range(page), 7]  # and the latest point, which the run itself shows


@pytest.mark.parametrize("page", [1, 2, 3])
@pytest.mark.parametrize("tokens", ["first", "first of many"])
@pytest.mark.parametrize("name", ["experiments", "runs"])
def test_a_list_that_begins_again_and_again_ends_the_export(
    page: int, tokens: Literal["first", "first of many"], name: str
) -> None:
    starts = (1000,) * 7
    with pytest.raises(ServerError, match="the same page again"):
        _read(Tracking(page, tokens, name, starts=starts))


@pytest.mark.parametrize("page", [1, 2, 3, 4])
@pytest.mark.parametrize("form", [lambda _: "the same", lambda start: f"after {start}"])
def test_an_object_list_that_begins_again_and_again_is_a_loss(page: int, form: Callable[[int], str]) -> None:
    asked = []

    def ask(size: int, token: str | None, *, careful: bool = False) -> Answer:
        asked.append(token)
        assert len(asked) < 100, "it does not end"
        return [{"id": n} for n in range(page)], form(len(asked))

    found = list(pages(ask, lambda row: row["id"], size=10))
    assert [row["id"] for part in found for row in part.rows] == list(range(page))
    assert ["same page again" in loss.reason for part in found for loss in part.losses] == [True]


def test_a_page_without_rows_does_not_end_a_list_that_goes_on() -> None:
    answers: dict[str | None, Answer] = {None: ([{"id": 1}], "a"), "a": ([], "b"), "b": ([{"id": 2}], None)}

    def ask(size: int, token: str | None, *, careful: bool = False) -> Answer:
        return answers[token]

    assert [row["id"] for page in pages(ask, lambda row: row["id"], size=10) for row in page.rows] == [1, 2]


def test_rows_that_a_user_may_not_see_are_stepped_over() -> None:
    """MLflow's log-in fills a page with what comes behind, and says in the token where that was."""
    shown = [*range(3), *range(40, 60)]

    def ask(size: int, token: str | None, *, careful: bool = False) -> Answer:
        start = 0 if token is None else json.loads(base64.b64decode(token))["offset"]
        rows = [row for row in shown if row >= start][:size]
        end = rows[-1] + 1 if rows else 60
        following = base64.b64encode(json.dumps({"offset": end}).encode()).decode()
        return [{"id": row} for row in rows], following if end < 60 else None

    for size in (2, 3, 5, 10):
        assert [row["id"] for page in pages(ask, lambda row: row["id"], size=size) for row in page.rows] == shown


@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_folder_that_is_listed_in_pages_is_whole(page: int) -> None:
    names = tuple(f"f{n}" for n in range(7))
    found = _read(Tracking(page, files=names, starts=(1000,)), artifacts=True)
    assert [file.path for file in found.artifacts] == list(names)
    found = _read(Tracking(page, "first", "files", files=names, starts=(1000,)), artifacts=True)
    assert [row["code"] for row in found.rows("gaps")] == [ARTIFACT_LISTING]
