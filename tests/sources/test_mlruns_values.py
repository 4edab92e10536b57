"""Params, tags and metric histories of file stores as their files hold them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.format.gaps import FIELD_UNREADABLE, METRIC_UNREADABLE
from mlflow_archive.sources.mlruns.runs.history import read_latest
from tests.sources.mlruns_objects import read
from tests.support.mlruns import RUN_ID, Point, one_run
from tests.support.reading import bits


def test_values_are_whole_texts(root: Path) -> None:
    values = {"empty": "", "a/b/c d": "line\r\nline\n", "é/漢": "\ufeffbom \u2028 \x00"}
    one_run(root, params=values, tags=values)
    found = read(root)
    for table in ("params", "tags"):
        assert {row["key"]: row["value"] for row in found.tables[table]} == values


@pytest.mark.parametrize("folder", ["params", "tags", "metrics"])
def test_what_cannot_be_text_or_is_no_file_is_a_gap(root: Path, folder: str) -> None:
    run = one_run(root, params={"ok": "1"}, tags={"ok": "1"}, metrics=(Point(key="ok", value=1),))
    (run / folder / "latin").write_bytes(b"caf\xe9")
    (run / folder / "link").symlink_to("/etc/hostname")
    (run / folder / "loop").symlink_to(".", target_is_directory=True)
    os.mkfifo(run / folder / "pipe")
    Path(os.fsdecode(os.fsencode(run / folder) + b"/name\xff")).write_text("1")
    for litter in (".DS_Store", ".gitkeep"):
        (run / folder / litter).write_bytes(b"\xff")
    found = read(root)
    code = METRIC_UNREADABLE if folder == "metrics" else FIELD_UNREADABLE
    names = ("latin", "link", "loop", "pipe", "name\\xff")
    assert found.gaps() == {(RUN_ID, f"{folder}/{name}", code) for name in names}
    assert [row["key"] for row in found.tables[folder]] == ["ok"]
    assert found.tables["fingerprints"] == []


@pytest.mark.parametrize("folder", ["params", "tags", "metrics"])
def test_a_file_in_the_place_of_a_folder_is_a_gap(root: Path, folder: str) -> None:
    run = one_run(root, tags={})
    if (run / folder).exists():
        (run / folder).rmdir()
    (run / folder).write_text("x")
    assert [path for _, path, _ in read(root).gaps()] == [folder]


def history(root: Path, data: bytes) -> tuple[list[tuple[Any, ...]], list[str]]:
    (one_run(root) / "metrics" / "m").write_bytes(data)
    found = read(root)
    names = ("timestamp", "value", "step", "dataset_name", "dataset_digest")
    return [tuple(row[name] for name in names) for row in found.tables["metrics"]], [
        row["reason"] for row in found.rows("gaps", path="metrics/m", code=METRIC_UNREADABLE)
    ]


@pytest.mark.parametrize(
    ("data", "points"),
    [
        (b"5 0.5\n", [(5, 0.5, 0, None, None)]),
        (b"5 0.5 -3\n", [(5, 0.5, -3, None, None)]),
        (b"5 0.5 3\r\n", [(5, 0.5, 3, None, None)]),
        (b"5 0.5 3", [(5, 0.5, 3, None, None)]),
        (b"5 0.5 3 iris ab12\n", [(5, 0.5, 3, "iris", "ab12")]),
        (b"5 0.5 3 my own data ab12\n", [(5, 0.5, 3, "my own data", "ab12")]),
        (b"5 1 3\n5 1 3\n", [(5, 1.0, 3, None, None)] * 2),
        (b"5 inf 0\n5 -Infinity 1\n", [(5, math.inf, 0, None, None), (5, -math.inf, 1, None, None)]),
        (b"5 1\n6 2 1\n", [(5, 1.0, 0, None, None), (6, 2.0, 1, None, None)]),
        (b"5 1 1\n\n6 2 2\n", [(5, 1.0, 1, None, None), (6, 2.0, 2, None, None)]),
    ],
    ids=["2", "3", "crlf", "no end", "5", "spaces in dataset", "repeated", "inf", "older lines", "blank line"],
)
def test_metric_lines(root: Path, data: bytes, points: list[tuple[Any, ...]]) -> None:
    assert history(root, data) == (points, [])


def test_nan_is_kept(root: Path) -> None:
    one_run(root, metrics=(Point(key="m", value=math.nan),))
    assert math.isnan(read(root).tables["metrics"][0]["value"])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"5 1 1\n6 2 2 x\n7 3 3\n", "line 2: it has 4 fields"),
        (b"5 1 1\nx 2 2\n7 3 3\n", "line 2: invalid literal"),
        (b"5 1 1\n6 \xff 2\n7 3 3\n", "line 2: 'utf-8' codec"),
        (b"5 1 1\n6 2 99999999999999999999\n7 3 3\n", "line 2: a number needs more than 64 bits"),
        (b"5 1 1\n7 3 3\n9 4", "line 3: it breaks off"),
        (
            b"5 1 1\n7 3 3\nx\ny\n",
            "line 3: it has 1 fields, expected timestamp, value, step and perhaps a dataset; 2 lines",
        ),
    ],
    ids=["fields", "number", "utf-8", "64 bits", "cut off", "two"],
)
def test_bad_metric_lines_are_a_gap_and_the_others_are_kept(root: Path, data: bytes, words: str) -> None:
    points, reasons = history(root, data)
    assert points == [(5, 1.0, 1, None, None), (7, 3.0, 3, None, None)]
    assert len(reasons) == 1
    assert words in reasons[0]


@pytest.mark.parametrize(
    ("lines", "latest"),
    [
        ("1 1 1\n1 2 3\n9 3 2\n", (3, 1, 2.0)),
        ("5 1 0\n4 2 0\n", (0, 5, 1.0)),
        ("5 2 0\n5 1 0\n", (0, 5, 2.0)),
        ("5 -1 0\n5 nan 0\n5 -2 0\n", (0, 5, math.nan)),
        ("5 nan 0\n5 1 0\n", (0, 5, 1.0)),
    ],
    ids=["step", "time", "value", "nan is 0", "more than nan"],
)
def test_the_latest_point_is_mlflows(tmp_path: Path, lines: str, latest: tuple[int, int, float]) -> None:
    (tmp_path / "m").write_text(lines)
    _, step, time, value = read_latest(tmp_path).points["m"]
    assert (step, time, bits(value)) == (*latest[:2], bits(latest[2]))


def test_an_empty_metric_file_is_a_gap(root: Path) -> None:
    assert history(root, b"") == ([], ["line 1: the file is empty, expected a point"])
