"""sign is killed at any moment, or the disk is full: a signature is there whole or not at all, and a repeat goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import MlflowArchiveError, TargetError
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.signing.making import sign_newest
from mlflow_archive.storage.files import Files
from mlflow_archive.verification.report import Level
from tests.cli.conftest import write_archive
from tests.storage.test_full_disk import SmallDisk
from tests.support.authority import Authority, make_authority
from tests.support.crash import Disk, RecordingFiles, SimulatedDisk, materialize, states
from tests.support.signers import Signer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One that is asked without a server."""
    return make_authority(tmp_path_factory.mktemp("authority") / "tsa")


def sign(archive: Path, signer: Signer, authority: Authority, files: Files) -> None:
    with open_archive(archive) as opened:
        sign_newest(opened, signer.key, None, ask=authority.reply, files=files, tell=print)


def is_whole(archive: Path, signers: Path, authority: Authority) -> bool:
    """Say whether the archive is signed and time-stamped; assert that no half of it is there."""
    report = ma.verify(archive, Level.STORED, signers=signers, tsa_ca=authority.ca)
    assert report.sound
    assert report.signatures is not None
    assert {problem.code for problem in report.signatures.problems} <= {"W101", "W102"}
    return any(record.time_ms is not None for record in report.signatures.records)


@pytest.mark.parametrize("disk", Disk, ids=lambda disk: disk.value)
def test_after_each_operation(tmp_path: Path, disk: Disk, ada: Signer, signers: Path, authority: Authority) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    archive = write_archive(root / "a.mlfa")
    model, files = SimulatedDisk.of(root), RecordingFiles()
    sign(archive, ada, authority, files)
    operations = [operation for operation in files.operations if operation[1].is_relative_to(root)]
    trees = list(states(root, model, operations, disk))
    assert len(trees) >= 4
    for number, tree in enumerate(trees):
        materialize(tree, root)
        assert is_whole(archive, signers, authority) == (number == len(trees) - 1), number
        sign(archive, ada, authority, Files())
        assert is_whole(archive, signers, authority)
        names = sorted(path.name for path in archive.with_name("a.mlfa.sig").iterdir())
        assert names == ["0001-ada@bank.sig", "0001-ada@bank.tsr"]


class _Dying(Files):
    """Files in a process that is killed before one of its operations."""

    def __init__(self, left: int) -> None:
        self._left = left

    def __getattribute__(self, name: str) -> Any:
        if name in ("make_entry", "create", "publish", "sync_directory"):
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__getattribute__(name)


def test_killed_in_its_own_process_nothing_is_left_for_long(
    tmp_path: Path, ada: Signer, signers: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    archive = write_archive(tmp_path / "a.mlfa")
    context, kills = multiprocessing.get_context("fork"), 0
    while True:
        process = context.Process(target=partial(sign, archive, ada, authority, _Dying(kills)))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
        is_whole(archive, signers, authority)
        for path in archive.with_name("a.mlfa.sig").glob("*"):
            path.unlink()  # so that the next one does all of it again
    assert kills >= 8
    assert is_whole(archive, signers, authority)
    assert list(temporary.iterdir()) == []


def test_the_disk_is_full_at_any_byte(tmp_path: Path, ada: Signer, signers: Path, authority: Authority) -> None:
    archive = write_archive(tmp_path / "a.mlfa")
    big = SmallDisk(10**9)
    sign(archive, ada, authority, big)
    needed = 10**9 - big.room - 64  # the numbers in a token's signature are some bytes longer or shorter each time
    for room in range(0, needed, needed // 6):
        for path in archive.with_name("a.mlfa.sig").iterdir():
            path.unlink()
        with pytest.raises(TargetError, match="the disk is full"):
            sign(archive, ada, authority, SmallDisk(room))
        assert not is_whole(archive, signers, authority)
        sign(archive, ada, authority, Files())
        assert is_whole(archive, signers, authority)


def test_a_folder_that_cannot_be_written(tmp_path: Path, ada: Signer) -> None:
    archive = write_archive(tmp_path / "a.mlfa")
    archive.with_name("a.mlfa.sig").write_text("")
    with pytest.raises(MlflowArchiveError, match=r"a\.mlfa\.sig is no folder"):
        ma.sign(archive, ada.key)
