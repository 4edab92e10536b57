"""Lists on a terminal: as wide as it is, with short ids; plain and whole where they are piped."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive_cli.printable import elapsed, width_of
from tests.cli.conftest import CHILD, PARENT, Command
from tests.support.terminal import on_a_terminal


@pytest.mark.parametrize("what", ["runs", "artifacts", "datasets"])
def test_a_list_fits_the_terminal(single_file: Path, what: str) -> None:
    out, err = on_a_terminal(["ls", str(single_file), what], 80)
    assert max(map(width_of, out.splitlines())) <= 80
    assert ("no room for the columns" in err) == (what in ("runs", "artifacts"))


def test_ids_are_short_metrics_are_shown_and_what_has_no_room_is_named(cli: Command, single_file: Path) -> None:
    out, err = on_a_terminal(["ls", str(single_file), "runs"], 80)
    head, _, *rows = out.splitlines()
    assert head.split() == ["run_id", "run_name", "experiment", "status", "start_time", "metrics.loss"]
    assert [row.split()[0] for row in rows] == [CHILD[:8], PARENT[:8]]
    assert "no room for the columns metrics.bad, duration\n" in err
    assert cli("show", single_file, rows[0].split()[0]).code == 0


def test_columns_that_were_asked_for_are_never_left_away(single_file: Path) -> None:
    columns = "run_id,run_name,start_time,end_time"
    out, err = on_a_terminal(["ls", str(single_file), "runs", "--columns", columns, "--active"], 20)
    assert (out.splitlines()[0].split(), err) == (columns.split(","), "")


def test_what_is_piped_is_whole_on_however_narrow_a_terminal(
    cli: Command, single_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    ran = cli("ls", single_file, "runs")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["run_id", CHILD, PARENT]
    assert ran.out.splitlines()[0].split()[-1] == "duration"


def test_elapsed() -> None:
    assert [elapsed(ms) for ms in (0, 999, 1000, 89_999, 90_000)] == ["0 ms", "999 ms", "1 s", "90 s", "2 min"]
