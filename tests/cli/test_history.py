"""history and tree: points, drawings, files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import CHILD, PARENT, Command


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
    assert cli("tree", archive, PARENT, "model").out == f"{PARENT}/model\n  MLmodel  12 bytes\n1 files, 12 bytes\n"
    ran = cli("tree", archive, CHILD, "nothing")
    assert (ran.code, ran.out) == (2, "")
    assert "no artifact 'nothing'; there are plot 1.png" in ran.err
