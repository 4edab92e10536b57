"""A repair that is killed, or meets a full disk: nothing half has the new name, and the next one begins anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.storage.files import Files, OutputFile
from mlflow_archive.storage.members import MemberFile
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.destination import destination
from tests.repairing.subjects import LONG, check_whole, hashes, remove, repair, whole
from tests.storage.test_full_disk import SmallDisk
from tests.support.damage import copied

__all__ = ["whole"]


class Killed(BaseException):
    """The process is gone."""


class Mortal(Files):
    """Files of a process that is killed before its operation of a number; it changes no file after that."""

    def __init__(self, lives: int) -> None:
        self.lives = lives

    def live(self) -> None:
        self.lives -= 1
        if self.lives < 0:
            raise Killed

    def make_entry(self, path: Path) -> None:
        self.live()
        super().make_entry(path)

    def create(self, path: Path) -> OutputFile:
        self.live()
        output = super().create(path)
        return _MortalFile(output.path, output._handle, self)

    def publish(self, source: Path, target: Path) -> None:
        self.live()
        super().publish(source, target)

    def remove(self, path: Path) -> None:
        if path.exists():
            self.live()
        super().remove(path)

    def sync_directory(self, path: Path) -> None:
        self.live()
        super().sync_directory(path)


class _MortalFile(OutputFile):
    def __init__(self, path: Path, handle, files: Mortal) -> None:  # type: ignore[no-untyped-def]
        super().__init__(path, handle)
        self._files = files

    def write(self, data: bytes | memoryview) -> int:
        self._files.live()
        return super().write(data)

    def copy(self, member: MemberFile) -> None:
        self._files.live()
        super().copy(member)

    def patch(self, offset: int, data: bytes) -> None:
        self._files.live()
        super().patch(offset, data)

    def sync(self) -> None:
        self._files.live()
        super().sync()


def harmed(whole: Path, folder: Path, *, lost: str) -> Path:
    damaged = copied(whole / "a", folder / "damaged")
    (damaged / lost).unlink()
    return damaged


@pytest.mark.parametrize("name", ["new", "new.mlfa"])
@pytest.mark.parametrize("salvage", [False, True], ids=["mended", "salvaged"])
def test_killed_before_every_file_operation(whole: Path, tmp_path: Path, name: str, salvage: bool) -> None:
    damaged = harmed(whole, tmp_path, lost="tables/params/0001-00000.parquet")
    copies, before, new = [] if salvage else [whole / "a.mlfa"], hashes(damaged), tmp_path / name
    count = Mortal(10**9)
    expected = repair(damaged, new, copies=copies, salvage=salvage, files=count).gaps
    operations = 10**9 - count.lives
    remove(new)
    half = 0
    for lives in range(0, operations, 1 if LONG else operations // 4):
        with pytest.raises(Killed):
            repair(damaged, new, copies=copies, salvage=salvage, files=Mortal(lives))
        half += new.exists()
        if new.exists():
            assert verify(new).ok, lives
            with pytest.raises(TargetError, match="choose another name"):
                repair(damaged, new, copies=copies, salvage=salvage)
        else:
            assert repair(damaged, new, copies=copies, salvage=salvage).gaps == expected
        assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", name], lives
        remove(new)
    assert half < operations
    assert hashes(damaged) == before


@pytest.mark.parametrize("name", ["new", "new.mlfa"])
def test_disk_full_at_any_byte(whole: Path, tmp_path: Path, name: str) -> None:
    damaged = harmed(whole, tmp_path, lost="tables/params/0001-00000.parquet")
    big = SmallDisk(10**9)
    repair(damaged, tmp_path / name, salvage=True, files=big)
    remove(tmp_path / name)
    for step in range(4):
        with pytest.raises(TargetError, match=r"the disk is full|an earlier write failed"):
            repair(damaged, tmp_path / name, salvage=True, files=SmallDisk((10**9 - big.room) * step // 4))
        assert [path.name for path in tmp_path.iterdir()] == ["damaged"]
    report = repair(damaged, tmp_path / name, copies=[whole / "a"])
    check_whole(report, tmp_path / name, whole / ("a.mlfa" if name == "new.mlfa" else "a"))


def test_two_repairs_of_one_name_at_once(whole: Path, tmp_path: Path) -> None:
    with destination(tmp_path / "new", Files()), pytest.raises(TargetError, match="another process is writing"):
        repair(whole / "a", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
