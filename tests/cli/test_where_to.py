"""import writes where the caller said, or where the caller said yes to; never where only the environment points."""

from __future__ import annotations

import os
import pty
import sys
from contextlib import suppress
from pathlib import Path
from subprocess import Popen

import pytest

from tests.cli.conftest import Command

NOT_SAID = "nothing is imported: say where to, --to URI"


@pytest.mark.parametrize("variable", ["http://127.0.0.1:9", "", None])
def test_without_a_terminal_it_is_refused(
    cli: Command, single_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    if variable is None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    for options in ([], ["--dry-run"], ["--receipt", "r.json"]):
        ran = cli("import", single_file, *options)
        assert (ran.code, ran.out) == (2, "")
        assert NOT_SAID in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "code", "said"), [("y", 13, "cannot reach http://127.0.0.1:9"), ("n", 2, NOT_SAID), ("", 2, NOT_SAID)]
)
def test_on_a_terminal_it_is_asked_for(single_file: Path, answer: str, code: int, said: str) -> None:
    """Nobody listens at that port, so that code 13 shows who was asked."""
    ours, theirs = pty.openpty()
    settings = {
        "MLFLOW_TRACKING_URI": "http://ann:secret@127.0.0.1:9",
        "TERM": "dumb",
        "COLUMNS": "300",
    }
    command = [sys.executable, "-m", "mlflow_archive_cli", "import", str(single_file), "-q"]
    process = Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **settings})
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    written = b""
    with suppress(OSError):  # the other side is closed
        while part := os.read(ours, 65536):
            written += part
    os.close(ours)
    assert process.wait() == code
    text = written.decode()
    assert "MLFLOW_TRACKING_URI is http://127.0.0.1:9. Import into that? [y/N]" in text
    assert said in text
    assert "secret" not in text
