"""history and tree: points, drawings, files."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from mlflow_archive.api.charts import terminal_chart
from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.inspection.details import MetricHistory
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.export import ArchiveSink
from tests.cli.conftest import CHILD, PARENT, Command
from tests.support.chunks import ChunkSource, chunk, experiment, points, run


def test_points_as_csv(cli: Command, single_file: Path) -> None:
    ran = cli("history", single_file, "parent", "bad", "loss", "--csv")
    assert ran.out.splitlines()[:4] == [
        "metric,step,timestamp,value",
        "bad,0,2022-06-12T03:34:39.000Z,1.0",
        "bad,1,2022-06-12T03:34:40.000Z,NaN",
        "loss,0,2022-06-12T03:34:39.000Z,4.0",
    ]


def test_drawn_in_the_terminal(cli: Command, single_file: Path) -> None:
    ran = cli("history", single_file, PARENT)
    assert ran.code == 0
    assert "loss" in ran.out
    assert "step" in ran.out
    assert "\x1b" not in ran.out


def test_a_key_does_not_steer_the_terminal(cli: Command, tmp_path: Path) -> None:
    run_id, key = "ab" * 16, "l\x1b[31m\x9b2K\r\u202e"
    tables = chunk(experiments=[experiment("1", "e")], runs=[run(run_id, "1")], metrics=points(run_id, key, [1.0, 2.0]))
    copy(ChunkSource((0, [tables])), ArchiveSink(tmp_path / "a", tool="test 1", clock_ms=lambda: 0), Selection())
    ran = cli("history", tmp_path / "a", run_id)
    assert ran.code == 0
    assert r"l\x1b[31m\x9b2K\r\u202e" in ran.out
    assert ran.out.replace("\n", "").isprintable()


def test_what_a_chart_cannot_show_is_told(cli: Command, single_file: Path, tmp_path: Path) -> None:
    told = "bad: 1 point is NaN, infinite or beyond 1e300, and not drawn\n"
    assert cli("history", single_file, PARENT, "bad").err == told
    assert cli("history", single_file, PARENT, "bad", "-o", tmp_path / "x.svg").err == told
    assert cli("history", single_file, PARENT, "bad", "--csv").err == ""


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        # MLflow's databases have the largest float in place of infinity.
        ([sys.float_info.max, -sys.float_info.max, 1.0], ["1┤"]),
        ([1e300, -1e300], ["1e+300┤", "-1e+300┤"]),
        ([0.5, 0.5], ["0.5┤"]),
        ([math.inf, math.nan], []),
    ],
)
def test_any_values_can_be_drawn(values: list[float], ticks: list[str]) -> None:
    history = MetricHistory(
        key="loss", steps=[0, 2**62, 2**63 - 1][: len(values)], timestamps=[0] * len(values), values=values
    )
    drawn = terminal_chart([history], width=60, height=12, colour=False)
    assert all(tick in drawn for tick in ticks)
    assert terminal_chart([history], width=5, height=2, colour=False).splitlines()[0].strip()


@pytest.mark.parametrize(("name", "begins"), [("x.png", b"\x89PNG"), ("x.svg", b"<?xml"), ("x.pdf", b"%PDF")])
def test_drawn_into_a_file(cli: Command, single_file: Path, tmp_path: Path, name: str, begins: bytes) -> None:
    assert cli("history", single_file, PARENT, "loss", "-o", tmp_path / name).code == 0
    assert (tmp_path / name).read_bytes().startswith(begins)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["parent", "nothing"], "has no metric 'nothing'; it has"),
        (["gone"], "has no metrics"),
        (["parent", "-o", "x.gif"], "-o takes a file that ends in .png"),
    ],
)
def test_what_cannot_be_drawn(cli: Command, single_file: Path, arguments: list[str], said: str) -> None:
    ran = cli("history", single_file, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_tree(cli: Command, archive: Path) -> None:
    assert cli("tree", archive, "parent").out == (
        f"{PARENT}\n  empty  0 bytes\n  model/\n    MLmodel  12 bytes\n2 files, 12 bytes\n"
    )
    assert cli("tree", archive, PARENT, "model").out == f"{PARENT}/model\n  MLmodel  12 bytes\n1 file, 12 bytes\n"
    ran = cli("tree", archive, CHILD, "nothing")
    assert (ran.code, ran.out) == (2, "")
    assert "no artifact 'nothing'; there are plot 1.png" in ran.err
    assert cli("tree", archive, "parent", "--json").out.splitlines()[1] == (
        '{"path": "model/MLmodel", "size": 12, '
        '"digest": "7f8f4a879eefb3f9fed9c6af4077c9acb0db066b2906d6570c42913478686b0f"}'
    )
