"""Temporary folders go with their process, also with one that is killed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import MlflowArchiveError
from mlflow_archive.storage.private_folder import PREFIX, PrivateFolder, making_folder, remove_left_behind

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


@pytest.mark.parametrize("names", [(), (".in-use.new",), ("scratch.db", "scratch.db-journal")])
def test_a_folder_whose_process_was_killed_before_it_had_a_lock_is_removed(
    temporary: Path, names: tuple[str, ...]
) -> None:
    left = temporary / f"{PREFIX}ab_c0123"
    left.mkdir(mode=0o700)
    for name in names:
        (left / name).touch()
    with making_folder():
        remove_left_behind()
        assert left.exists()  # somebody may be making it
    remove_left_behind()
    assert list(temporary.iterdir()) == []


def test_a_folder_without_lock_that_holds_something_stays(temporary: Path) -> None:
    left = temporary / f"{PREFIX}ab_c0123"
    left.mkdir(mode=0o700)
    (left / "somebody's").touch()
    remove_left_behind()
    assert [path.name for path in left.iterdir()] == ["somebody's"]


def test_an_export_that_is_refused_removes_what_a_killed_one_left(temporary: Path) -> None:
    left = temporary / f"{PREFIX}ab_c0123"
    left.mkdir(mode=0o700)
    for name in (".in-use", "copy.db"):
        (left / name).touch()
    (temporary / "there.mlfa").touch()
    with pytest.raises(MlflowArchiveError):
        ma.export(temporary / "there.mlfa", str(temporary))
    assert not left.exists()


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
