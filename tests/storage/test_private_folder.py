"""Temporary folders go with their process, also with one that is killed."""

from __future__ import annotations

import fcntl
import os
import stat
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


def left_by_another(parent: Path, *, mode: int = 0o700) -> Path:
    """Make a folder as a process leaves it that was killed."""
    folder = parent / f"{PREFIX}left"
    folder.mkdir(mode=mode)
    folder.chmod(mode)
    (folder / ".in-use").touch()
    (folder / "copy.db").touch()
    return folder


def test_a_folder_is_its_owners_alone_and_locked_while_it_is_used(temporary: Path) -> None:
    with PrivateFolder() as folder:
        assert folder.path.parent == temporary
        assert folder.path.name.startswith(PREFIX)
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        [lock] = folder.path.iterdir()
        assert (lock.name, stat.S_IMODE(lock.stat().st_mode)) == (".in-use", 0o600)
        descriptor = os.open(lock, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
        remove_left_behind(temporary)
        assert lock.exists()
    assert list(temporary.iterdir()) == []


def test_a_folder_is_cleaned_up_once(temporary: Path) -> None:
    folder = PrivateFolder()
    folder.cleanup()
    left = left_by_another(temporary)
    folder.cleanup()
    assert left.exists()
    PrivateFolder().cleanup()
    assert not left.exists()


def test_without_locks_a_folder_is_removed_in_the_usual_way_alone(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    left = left_by_another(temporary)
    with PrivateFolder() as folder:
        assert [path.name for path in folder.path.iterdir()] == [".in-use.new"]
    assert list(temporary.iterdir()) == [left]


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o704, 0o740])
def test_what_others_may_look_into_is_not_one(temporary: Path, mode: int) -> None:
    left = left_by_another(temporary, mode=mode)
    remove_left_behind(temporary)
    assert (left / "copy.db").exists()


def test_what_belongs_to_somebody_else_stays(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = left_by_another(temporary)
    monkeypatch.setattr(os, "getuid", lambda: left.stat().st_uid + 1)
    remove_left_behind(temporary)
    assert (left / "copy.db").exists()


def test_a_lock_that_is_a_link_is_not_followed(temporary: Path) -> None:
    left = left_by_another(temporary)
    (left / ".in-use").rename(temporary / "lock")
    (left / ".in-use").symlink_to(temporary / "lock")
    remove_left_behind(temporary)
    assert (left / "copy.db").exists()
    remove_left_behind(temporary / "not there")
