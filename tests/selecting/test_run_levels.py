"""Parents come before their children, each run once, whatever the tags say."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mlflow_archive.selecting.run_levels import by_depth

RUNS = [f"r{number:02}" for number in range(12)]
LINKS = st.lists(st.tuples(st.sampled_from(RUNS), st.sampled_from([*RUNS, "elsewhere"])), max_size=20)


def levels(runs: list[str], links: list[tuple[str, str]]) -> list[list[str]]:
    """Levels with the links in batches of three, as a table may come."""
    batches = [links[at : at + 3] for at in range(0, len(links), 3)]
    columns = [
        tuple(pa.chunked_array([list(each)], pa.string()) for each in zip(*some, strict=True)) for some in batches
    ]
    found = by_depth(pa.array(runs, pa.string()), ((children, parents) for children, parents in columns))
    return [level.to_pylist() for level in found]


@given(LINKS)
def test_every_run_comes_once_and_after_its_parent(links: list[tuple[str, str]]) -> None:
    found = levels(RUNS, links)
    assert sorted(run for level in found for run in level) == RUNS
    assert all(level == sorted(level) and level for level in found)
    depth = {run: number for number, level in enumerate(found) for run in level}
    parents = {child: parent for child, parent in links if parent in depth}
    for run in RUNS:
        above, at = [], run
        while at in parents and at not in above:
            above.append(at)
            at = parents[at]
        if at not in parents:  # no circle above it: its depth is the number of its ancestors
            assert depth[run] == len(above)


def test_a_circle_is_cut_and_what_hangs_below_it_comes_after() -> None:
    found = levels(["a", "b", "c", "d", "e"], [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("e", "e")])
    assert {run for level in found for run in level} == set("abcde")
    order = [run for level in found for run in level]
    assert order.index("a") < order.index("d")


def test_no_runs() -> None:
    assert levels([], [("a", "b")]) == []
