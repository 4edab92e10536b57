"""Temporary folders go with their process, also with one that is killed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mlflow_archive.storage.private_folder import PREFIX, PrivateFolder

PROGRAM = """
import sys
from mlflow_archive.storage.private_folder import PrivateFolder
folder = PrivateFolder()
(folder.path / "copy.db").write_bytes(b"secret")
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_process_left_is_removed_by_the_next(temporary: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        with PrivateFolder() as folder:
            assert set(temporary.iterdir()) == {left, folder.path}
        assert (left / "copy.db").read_bytes() == b"secret"  # that process lives
        process.kill()
    assert left.is_dir()
    with PrivateFolder():
        pass
    assert list(temporary.iterdir()) == []


def test_what_is_not_ours_stays(temporary: Path) -> None:
    (temporary / f"{PREFIX}without-a-lock").mkdir(mode=0o700)
    shared = temporary / f"{PREFIX}open-to-others"
    shared.mkdir(mode=0o755)
    (shared / ".in-use").touch()
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / ".in-use").touch()
    (temporary / f"{PREFIX}link").symlink_to(elsewhere)
    names = {path.name for path in temporary.iterdir()}
    with PrivateFolder():
        pass
    assert {path.name for path in temporary.iterdir()} == names
    assert (elsewhere / ".in-use").exists()
