"""A folder for what is made is found again by whoever makes the same, and goes when nobody has for a day."""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.storage.private_folder import KeptFolder, PrivateFolder, remove_left_behind

DAY = 24 * 3600


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_by_a_killed_process(made: str) -> Path:
    folder = KeptFolder(made)
    folder.open()
    (folder.path / "journal").write_text("half")
    folder.close()
    return folder.path


def test_what_was_left_is_there_for_whoever_makes_the_same(temporary: Path) -> None:
    left = left_by_a_killed_process("s3://bucket/a")
    with PrivateFolder():
        pass
    again, other = KeptFolder("s3://bucket/a"), KeptFolder("s3://bucket/b")
    for folder in (again, other):
        folder.open()
    assert (again.path, (again.path / "journal").read_text()) == (left, "half")
    assert sorted(path.name for path in other.path.iterdir()) == [".in-use"]
    for folder in (again, other):
        folder.remove()
    assert list(temporary.iterdir()) == []


def test_two_do_not_make_the_same_at_once(temporary: Path) -> None:
    one = KeptFolder("s3://bucket/a")
    one.open()
    with pytest.raises(TargetError, match=r"^s3://bucket/a: another process is writing there; wait until it is done$"):
        KeptFolder("s3://bucket/a").open()
    one.remove()


def test_a_day_later_it_goes_unless_it_is_held(temporary: Path) -> None:
    left, held = left_by_a_killed_process("s3://bucket/a"), KeptFolder("s3://bucket/b")
    held.open()
    young = time.time() - DAY + 60
    for folder in (left, held.path):
        for path in (*folder.iterdir(), folder):
            os.utime(path, (young - DAY, young - DAY))
    os.utime(left / "journal", (young, young))
    remove_left_behind()
    assert left.exists()
    os.utime(left / "journal", (young - DAY, young - DAY))
    remove_left_behind()
    assert list(temporary.iterdir()) == [held.path]
    held.remove()


def test_one_that_was_killed_before_its_lock_goes(temporary: Path) -> None:
    KeptFolder("s3://bucket/a").path.mkdir(mode=0o700)
    remove_left_behind()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o740])
def test_a_folder_that_others_may_look_into_is_refused(temporary: Path, mode: int) -> None:
    folder = KeptFolder("s3://bucket/a")
    folder.path.mkdir()
    folder.path.chmod(mode)
    with pytest.raises(TargetError, match=re.escape(f"{folder.path} is not a folder of your own; remove it, or set ")):
        folder.open()


def test_a_link_is_refused(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder = KeptFolder("s3://bucket/a")
    folder.path.symlink_to(elsewhere)
    with pytest.raises(TargetError, match="is not a folder of your own"):
        folder.open()
    assert list(elsewhere.iterdir()) == []
