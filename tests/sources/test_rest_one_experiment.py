"""Servers that speak MLflow's API and search in the first of several experiments, or take no order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mlflow_archive.kinds import RUN
from tests.sources.rest_reading import ids, read
from tests.support.stand_in import Json, standing_in


class Tracking:
    """Some experiments with runs each; ``first_only`` says that a search is one in the first experiment named."""

    def __init__(self, run_counts: Sequence[int], *, first_only: bool, takes_order: bool = True, page: int = 1000):
        self.first_only, self.takes_order, self.page = first_only, takes_order, page
        self.searches: list[Json] = []
        self.experiments = [{"experiment_id": str(n), "name": f"e{n}", "tags": []} for n in range(len(run_counts))]
        self.runs = [self._run(str(n), k) for n, count in enumerate(run_counts) for k in range(count)]

    @staticmethod
    def _run(experiment_id: str, number: int) -> Json:
        run_id = f"{experiment_id:0>16}{number:0>16}"
        info = {"run_id": run_id, "experiment_id": experiment_id, "start_time": 1000 + number, "status": "FINISHED"}
        return {"info": {**info, "lifecycle_stage": "active"}, "data": {}}

    @property
    def run_ids(self) -> set[str]:
        return {run["info"]["run_id"] for run in self.runs}

    def answer(self, path: str, body: Json) -> tuple[int, Json]:
        if not path.endswith(("experiments/search", "runs/search")):
            return 404, {}
        if "order_by" in body and not self.takes_order:
            return 400, {"error": "order_by is invalid"}
        if path.endswith("experiments/search"):
            return 200, self._page("experiments", self.experiments, body)
        self.searches.append(body)
        names = body["experiment_ids"][: 1 if self.first_only else None]
        return 200, self._page("runs", [run for run in self.runs if run["info"]["experiment_id"] in names], body)

    def _page(self, name: str, rows: list[Json], body: Json) -> Json:
        start = int(body.get("page_token", "after 0").removeprefix("after ")) if self.page < 1000 else 0
        size = min(self.page, body.get("max_results", 1000))
        more = {"next_page_token": f"after {start + size}"} if self.page < 1000 and len(rows) > start + size else {}
        return {name: rows[start : start + size], **more}


def _read_runs(tracking: Tracking) -> set[str]:
    with standing_in(tracking.answer) as uri:
        found = read(uri, kinds=(RUN,), artifacts=False)
    assert found.tables["gaps"] == []
    rows = [row["run_id"] for row in found.tables["runs"]]
    assert len(rows) == len(set(rows))
    assert ids(found, "experiments", "experiment_id") == {row["experiment_id"] for row in tracking.experiments}
    return set(rows)


@pytest.mark.parametrize("run_counts", [(2, 2), (0, 3), (0, 0, 1, 0, 2), (1,), (0, 0), (2, *([1] * 120))])
@pytest.mark.parametrize("takes_order", [True, False])
def test_a_server_that_searches_in_the_first_experiment_loses_no_run(
    run_counts: tuple[int, ...], takes_order: bool
) -> None:
    tracking = Tracking(run_counts, first_only=True, takes_order=takes_order)
    assert _read_runs(tracking) == tracking.run_ids


def test_pages_are_followed_where_no_order_is_taken() -> None:
    tracking = Tracking((7, 0, 5), first_only=True, takes_order=False, page=3)
    assert _read_runs(tracking) == tracking.run_ids


@pytest.mark.parametrize(("run_counts", "searches"), [((2, 3, 0, 0, 0, 1), 1), ((2, 3, *([0] * 98)), 2), ((5,), 1)])
def test_a_server_that_searches_in_all_is_not_asked_more_often(run_counts: tuple[int, ...], searches: int) -> None:
    tracking = Tracking(run_counts, first_only=False)
    assert _read_runs(tracking) == tracking.run_ids
    assert len(tracking.searches) == searches


def test_experiments_without_runs_cost_a_request_for_one_run_where_nothing_is_known_of_the_server() -> None:
    tracking = Tracking((2, 0, 0, 0), first_only=False)
    assert _read_runs(tracking) == tracking.run_ids
    alone = [search for search in tracking.searches if len(search["experiment_ids"]) == 1]
    assert [search["max_results"] for search in alone] == [1, 1, 1]
