"""Whoever reads stdout and stderr goes away: what works goes on to its end and says how that was, what answers ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.writer.export import ArchiveSink
from tests.cli.conftest import write_archive
from tests.support.chunks import ChunkSource, chunk, experiment
from tests.support.corpora import exim_sample

INCOMPLETE = f"exim:{exim_sample('oss_mlflow/bulk/experiments')}"


def run_unread(arguments: list[str], folder: Path) -> int:
    """Return the exit code of the command where nobody reads either of its streams."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "mlflow_archive_cli", *arguments]
    done = subprocess.run(command, stdout=writing, stderr=writing, check=False, cwd=folder)
    os.close(writing)
    return done.returncode


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive that is sound, one that is damaged, and one that is empty."""
    write_archive(tmp_path / "a.mlfa")
    data = bytearray((tmp_path / "a.mlfa").read_bytes())
    data[data.rindex(b"\x28\xb5\x2f\xfd") + 9] ^= 1  # in the last pack
    (tmp_path / "damaged.mlfa").write_bytes(data)
    source = ChunkSource((0, [chunk(experiments=[experiment("1", "x")])]))
    copy(source, ArchiveSink(tmp_path / "other.mlfa", tool="test", clock_ms=lambda: 0), jobs=1)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(
            ["export", "new.mlfa", "--from", f"exim:{exim_sample('oss_mlflow/bulk/experiments')}"], 3, id="export"
        ),
        pytest.param(["import", "a.mlfa", "--to", "http://127.0.0.1:9"], 13, id="import"),
        pytest.param(["copy", "not-there", "http://127.0.0.1:9"], 13, id="copy, of which the target is asked first"),
        pytest.param(["verify", "damaged.mlfa"], 12, id="verify"),
        pytest.param(["diff", "a.mlfa", "other.mlfa"], 1, id="diff"),
        pytest.param(["extract", "a.mlfa", "child", "--to", "out"], 0, id="extract"),
        pytest.param(["ls", "damaged.mlfa"], 0, id="ls"),
    ],
)
def test_the_exit_code_is_that_of_the_work(arguments: list[str], code: int, folder: Path) -> None:
    assert run_unread(arguments, folder) == code
    assert (folder / "new.mlfa").exists() is (arguments[0] == "export")
    assert (folder / "out" / "plot 1.png").exists() is (arguments[0] == "extract")
