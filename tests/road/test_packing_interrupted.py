"""Killed before any of its operations, or by a full disk: nothing half has a final name, and the same call succeeds."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mlflow_archive.errors import ArchiveError, TargetError
from mlflow_archive.packing.encryption import encrypt
from mlflow_archive.packing.pack import PackOptions, pack
from mlflow_archive.packing.unpack import UnpackOptions, find_set, unpack
from mlflow_archive.packing.workplace import working_in
from mlflow_archive.storage.files import Files, OutputFile
from tests.road.packed_sets import LONG, flip, identity, key_file, make_archive, packed_set, tree
from tests.storage.test_full_disk import SmallDisk
from tests.support.memory_source import MemoryOptions

SMALL = MemoryOptions(runs=2, sizes=(300, 20_000), distinct=2)
VOLUME_SIZE = 16_384
COMMAND = [sys.executable, "-m", "mlflow_archive_cli"]


class Killed(BaseException):
    """The process is gone: nothing is done any more, not even in a ``finally``."""


class _Dying(Files):
    """Does the first operations of a process that is killed then."""

    def __init__(self, operations: int) -> None:
        self.left = operations

    def tick(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def create(self, path: Path) -> OutputFile:
        self.tick()
        return _DyingFile(super().create(path), self)

    def append(self, path: Path, size: int) -> OutputFile:
        self.tick()
        return _DyingFile(super().append(path, size), self)

    def make_entry(self, path: Path) -> None:
        self.tick()
        super().make_entry(path)

    def publish(self, source: Path, target: Path) -> None:
        self.tick()
        super().publish(source, target)

    def link(self, path: Path, target: Path) -> None:
        self.tick()
        super().link(path, target)

    def remove(self, path: Path) -> None:
        self.tick()
        super().remove(path)


class _DyingFile(OutputFile):
    def __init__(self, output: OutputFile, files: _Dying) -> None:
        super().__init__(output.path, output._handle)
        self._files = files

    def write(self, data: bytes | memoryview) -> int:
        self._files.tick()
        return super().write(data)

    def sync(self) -> None:
        self._files.tick()
        super().sync()


def positions_to_hit(run: Callable[[Files], object], step: int) -> range:
    """Return how many operations a call may do before it is killed: all numbers, or a sample of them."""
    counting = _Dying(10**6)
    run(counting)
    return range(0, 10**6 - counting.left, 1 if LONG else step)


def whole(folder: Path) -> bool:
    """Return whether a set has its list, of which every line holds then."""
    lists = list(folder.glob("*.sha256"))
    for path in lists:
        subprocess.run(["sha256sum", "--quiet", "-c", path.name], cwd=folder, check=True)
    return bool(lists)


@pytest.mark.parametrize(("parity", "step"), [(None, 1), (50, 9)], ids=["bare", "parity"])
def test_pack_is_killed_before_any_operation(tmp_path: Path, parity: float | None, step: int) -> None:
    archive = make_archive(tmp_path, content=SMALL)
    recipients = [str(identity().to_public())]
    options = PackOptions(recipients=recipients, volume_size=2 * VOLUME_SIZE, parity_percent=parity)
    key, finished = key_file(tmp_path), 0
    for killed_at in positions_to_hit(
        lambda files: pack(archive, tmp_path / "all", options=options, files=files), step
    ):
        folder = tmp_path / str(killed_at)
        with pytest.raises(Killed):
            pack(archive, folder, options=options, files=_Dying(killed_at))
        if whole(folder):
            finished += 1
        else:
            with suppress(ArchiveError):  # with parity, what has a name already may be enough
                find_and_unpack(folder, archive, key, tmp_path / f"{killed_at}.half.mlfa")
                assert (tmp_path / f"{killed_at}.half.mlfa").read_bytes() == archive.read_bytes()
            pack(archive, folder, options=options)
        assert whole(folder)
        assert not (folder / "unfinished").exists()
        find_and_unpack(folder, archive, key, tmp_path / f"{killed_at}.mlfa")
        assert (tmp_path / f"{killed_at}.mlfa").read_bytes() == archive.read_bytes()
    assert finished <= 2  # only when nothing but the sync of a folder was left


def find_and_unpack(folder: Path, archive: Path, key: Path, target: Path) -> None:
    if not folder.is_dir():
        find_set(folder)
    unpack(folder, target, options=UnpackOptions(identities=[key]))


def test_unpack_is_killed_before_any_operation(tmp_path: Path) -> None:
    sound = packed_set(tmp_path, parity=40)
    sound.volume(2).unlink()
    flip(sound.volume(4), 1000)
    target, expected = tmp_path / "back.mlfa", sound.archive.read_bytes()
    before = tree(sound.folder)

    def run(files: Files) -> None:
        sound.unpack(tmp_path / "all.mlfa", files=files)

    for killed_at in positions_to_hit(run, 7):
        with pytest.raises(Killed):
            sound.unpack(target, files=_Dying(killed_at))
        if target.exists():
            assert target.read_bytes() == expected
        sound.unpack(target)
        assert target.read_bytes() == expected
        assert (tmp_path / "back.mlfa.sig").is_dir()
        assert not (tmp_path / "back.mlfa.unpack").exists()
        target.unlink()
        shutil.rmtree(tmp_path / "back.mlfa.sig")
    assert tree(sound.folder) == before


class _Endless:
    """A stream that ends only if nobody stops it for long."""

    def __init__(self) -> None:
        self.calls = 0

    def read(self, size: int) -> bytes:
        self.calls += 1
        return bytes(size if self.calls < 100_000 else 0)

    def write(self, data: bytes) -> int:
        return len(data)


@pytest.mark.parametrize("milliseconds", [1, 2, 5, 10, 20, 40, 60, 80, 100])
def test_an_interrupt_is_one(milliseconds: int) -> None:
    """It comes to the main thread, mostly between two calls of pyrage, which would take it for a fault."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    stream, before = _Endless(), signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, milliseconds / 1000)
        with pytest.raises(KeyboardInterrupt):
            encrypt(stream, stream, [identity().to_public()])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stream.calls < 100_000


def test_what_par2_left_when_it_was_killed_is_cleared_away(tmp_path: Path) -> None:
    archive = make_archive(tmp_path, content=SMALL)
    left = tmp_path / "volumes" / "unfinished"
    left.mkdir(parents=True)
    (left / "transfer-00000000.vol00+10.par2").write_bytes(b"half")
    pack(archive, tmp_path / "volumes", options=PackOptions(parity_percent=50))
    assert whole(tmp_path / "volumes")
    assert not any("00000000" in path.name for path in (tmp_path / "volumes").iterdir())


def test_mended_volumes_are_not_mended_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = packed_set(tmp_path)
    sound.volume(2).unlink()
    # Killed when all but the publishing was done: by then two directories, links and the archive are written.
    positions = positions_to_hit(lambda files: sound.unpack(tmp_path / "all.mlfa", files=files), 1)
    work = tmp_path / "back.mlfa.unpack"
    for killed_at in reversed(positions):
        with pytest.raises(Killed):
            sound.unpack(tmp_path / "back.mlfa", files=_Dying(killed_at))
        if (work / "volumes" / sound.volume(2).name).is_file() and not (tmp_path / "back.mlfa").exists():
            break
        shutil.rmtree(work)
        (tmp_path / "back.mlfa").unlink(missing_ok=True)
    for path in sound.folder.glob("*.par2"):
        path.unlink()  # what was mended is all there is now
    report = sound.unpack(tmp_path / "back.mlfa")
    assert [finding.line for finding in report.findings] == [f"{sound.volume(2).name}: missing, mended"]
    assert (tmp_path / "back.mlfa").read_bytes() == sound.archive.read_bytes()


@pytest.mark.parametrize("share", range(24 if LONG else 6))
def test_the_disk_is_full(tmp_path: Path, share: int) -> None:
    sound = packed_set(tmp_path)
    big = SmallDisk(10**9)
    options = PackOptions(recipients=[str(identity().to_public())], volume_size=50_000)
    pack(sound.archive, tmp_path / "a", options=options, files=big)
    room = (10**9 - big.room) * share // (24 if LONG else 6)
    with pytest.raises(TargetError, match="the disk is full"):
        pack(sound.archive, tmp_path / "b", options=options, files=SmallDisk(room))
    assert list((tmp_path / "b").iterdir()) == []
    pack(sound.archive, tmp_path / "b", options=options)
    assert whole(tmp_path / "b")
    sound.volume(1).unlink()
    with pytest.raises(TargetError, match="the disk is full"):
        sound.unpack(tmp_path / "back.mlfa", files=SmallDisk(sound.archive.stat().st_size * share // 24))
    assert not (tmp_path / "back.mlfa").exists()
    sound.unpack(tmp_path / "back.mlfa")
    assert (tmp_path / "back.mlfa").read_bytes() == sound.archive.read_bytes()


def test_the_disk_is_full_when_par2_writes(tmp_path: Path) -> None:
    """A limit for the size of one file stands for it: the volume is below, the parity above."""
    archive = make_archive(tmp_path)
    limit = archive.stat().st_size // 1024 + 20
    command = [*COMMAND, "pack", str(archive), "--to", str(tmp_path / "volumes"), "--parity", "100%", "-q"]
    limited = ["bash", "-c", f"ulimit -f {limit}; exec {shlex.join(command)}"]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "volumes/unfinished: par2 could not make the parity" in done.stderr
    assert list((tmp_path / "volumes").iterdir()) == []
    pack(archive, tmp_path / "volumes", options=PackOptions(parity_percent=100))
    assert whole(tmp_path / "volumes")


def test_no_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = packed_set(tmp_path)
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real._replace(free=100_000))
    with pytest.raises(TargetError, match=r"bytes are needed there, 100,000 are free; make room, or choose another"):
        pack(sound.archive, tmp_path / "b")
    with pytest.raises(TargetError, match=r"[0-9,]+ bytes are needed there, 100,000 are free"):
        sound.unpack(tmp_path / "back.mlfa")
    assert list((tmp_path / "b").iterdir()) == []
    assert not (tmp_path / "back.mlfa.unpack").exists()


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    sound = packed_set(tmp_path)
    (tmp_path / "b").mkdir()
    with working_in(tmp_path / "b"), pytest.raises(TargetError, match="another process is at work here"):
        pack(sound.archive, tmp_path / "b")
    (tmp_path / "back.mlfa.unpack").mkdir()
    with working_in(tmp_path / "back.mlfa.unpack"), pytest.raises(TargetError, match="another process is at work"):
        sound.unpack(tmp_path / "back.mlfa")


@pytest.mark.parametrize("seed", range(20 if LONG else 1))
def test_processes_that_are_killed(tmp_path: Path, seed: int) -> None:
    sound = packed_set(tmp_path)
    sound.volume(3).unlink()
    pack_words = ["pack", sound.archive, "--to", tmp_path / "b", "--parity", "20%", "--volume-size", "50000", "-q"]
    unpack_words = ["unpack", sound.folder, "-o", tmp_path / "back.mlfa", "--identity", sound.key, "-q"]
    chance = random.Random(seed)  # noqa: S311
    for words in (pack_words, unpack_words):
        for _ in range(8 if LONG else 1):
            process = subprocess.Popen([*COMMAND, *map(str, words)], start_new_session=True)
            time.sleep(0.2 + chance.random() * 0.5)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert not (tmp_path / "back.mlfa").exists() or whole(tmp_path / "b")
        subprocess.run([*COMMAND, *map(str, words)], check=False, capture_output=True)
    assert whole(tmp_path / "b")
    assert (tmp_path / "back.mlfa").read_bytes() == sound.archive.read_bytes()
