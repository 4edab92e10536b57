"""What a million runs cost follows from the slopes of what was recorded of fewer."""

from __future__ import annotations

import pytest
from bench.scale_price import Record, price


def record(runs: int, *, processes: int = 2, seconds: float = 0.002) -> Record:
    """Return what an export records that takes 2 ms a run to read and 1 ms to merge, and 4 s to begin."""
    steps = {"export": [4 + runs * seconds, 200.0 + runs / 1e4], "merge": [runs * 0.001, 300.0], "worker": [0.0, 180.0]}
    return Record(runs=runs, processes=processes, steps=steps, archive_bytes=runs * 7_000, most_bytes=runs * 15_000)


def test_machines_share_what_workers_do_and_the_rest_stays() -> None:
    assert price([record(10_000), record(30_000), record(100_000)]).splitlines() == [
        "1,000,000 runs, 1,000,000,000 points, from 10,000, 30,000, 100,000 runs by 2 processes:",
        "",
        "| machines | read and write, shared | merge and commit, by one | in all |",
        "|---:|---:|---:|---:|",
        "| 1 | 33 min | 17 min, 33% | 50 min |",
        "| 4 | 8 min | 17 min, 67% | 25 min |",
        "| 16 | 2 min | 17 min, 89% | 19 min |",
        "",
        "| by one machine | time | most memory |",
        "|---|---:|---:|",
        "| export | 33 min | 300 MB |",
        "| merge | 17 min | 300 MB |",
        "| worker |  | 180 MB |",
        "",
        "The archive has 7.0 GB; it takes 15.0 GB of disk while it is made.",
    ]


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([record(10_000)], "two numbers of runs"),
        ([record(10_000), record(30_000, processes=1)], "one number of proc"),
        ([record(10_000), record(30_000, seconds=0)], "the machine was busy"),
    ],
)
def test_records_that_make_no_line_are_refused(records: list[Record], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        price(records)
