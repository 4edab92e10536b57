"""Progress in a log and on a terminal, and texts for people."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_archive_cli.escaping import one_line
from mlflow_archive_cli.printable import duration, size, sparkline
from mlflow_archive_cli.progress import Lines, Tally


def test_a_line_tells_rate_and_time_left() -> None:
    now = [100.0]
    tally = Tally(clock=lambda: now[0])
    tally.expect("runs", 30)
    tally.expect("runs", 10)
    tally.expect("scorers", 0)
    now[0] = 104.0
    tally.advance("runs", 8)
    tally.advance("points", 3200)
    tally.advance("bytes", 3 * 2**20)
    assert tally.line("export") == "export: 8 of 40 runs, 3200 points, 3.0 MiB, 2.0 runs/s, 16 s left"
    assert json.loads(tally.document("export", "running")) == {
        "verb": "export",
        "state": "running",
        "seconds": 4.0,
        "done": {"runs": 8, "points": 3200, "bytes": 3 * 2**20},
        "expected": {"runs": 40},
    }


def test_the_rate_is_that_of_what_is_under_way() -> None:
    now = [0.0]
    tally = Tally(clock=lambda: now[0])
    tally.expect("runs", 4)
    now[0] = 100.0
    tally.advance("runs", 4)
    tally.expect("traces", 400)
    assert tally.line("import") == "import: 4 of 4 runs, 0 of 400 traces"
    now[0] = 130.0
    tally.advance("traces", 120)
    assert tally.line("import") == "import: 4 of 4 runs, 120 of 400 traces, 4.0 traces/s, 70 s left"


def test_a_line_is_not_said_twice(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines("export", Tally())
    lines.draw()
    lines.draw()
    assert capsys.readouterr().err == "export: starting\n"


def test_before_anything_is_known() -> None:
    assert Tally().line("export") == "export: starting"


def on_a_terminal(*arguments: str) -> tuple[int, str, str]:
    """Run the command with stderr on a terminal; return its code, stdout and what the terminal got."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "mlflow_archive_cli", *arguments]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower, env=environment)
    os.close(follower)
    got = b""
    try:
        while piece := os.read(leader, 4096):
            got += piece
    except OSError:  # the last one who had the terminal is gone
        pass
    out, _ = process.communicate(timeout=60)
    os.close(leader)
    return process.returncode, out.decode(), got.decode()


def test_bars_on_a_terminal_and_none_when_quiet(single_file: Path) -> None:
    code, out, terminal = on_a_terminal("verify", str(single_file))
    assert code == 0
    assert out.startswith("full: sound")
    assert "verify bytes" in terminal
    assert "100 %" in terminal
    assert on_a_terminal("verify", str(single_file), "-q")[2] == ""


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([0.0, 1.0, 2.0, 3.0], "▁▃▆█"),
        ([5.0, 5.0], "▄▄"),
        ([], ""),
        ([float("nan")], "✕"),
        ([1.0, float("inf"), 2.0], "▁✕█"),
        ([-1.7976931348623157e308, 1.7976931348623157e308], "▁█"),
        ([float(n) for n in range(3200)], "▁▁▁▂▂▂▂▃▃▃▃▃▄▄▄▄▅▅▅▅▆▆▆▆▆▇▇▇▇███"),
    ],
)
def test_sparkline(values: list[float], drawn: str) -> None:
    assert sparkline(values) == drawn


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (3 * 2**30, "3.0 GiB"), (2**50, "1024.0 TiB")],
)
def test_size(count: int, text: str) -> None:
    assert size(count) == text


def test_duration_and_escapes() -> None:
    assert [duration(s) for s in (5, 89, 120, 7500)] == ["5 s", "89 s", "2 min", "2 h 05 min"]
    assert one_line("a\nb\x1b[0m\u202eé") == r"a\nb\x1b[0m\u202eé"
