"""A compaction that is killed, or meets a full disk: nothing half has the new name, and the next one begins anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.storage.files import Files
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.compacting.compact import CompactOptions, CompactReport, compact
from mlflow_archive.writer.compacting.policy import Keep
from tests.repairing.subjects import LONG, hashes, remove
from tests.repairing.test_interrupted import Killed, Mortal
from tests.storage.test_full_disk import SmallDisk
from tests.support.three_exports import chain_at


def thinned(old: Path, new: Path, files: Files | None = None) -> CompactReport:
    return compact(old, new, Keep(last=2), CompactOptions(tool="t", clock_ms=lambda: 1, jobs=1), files=files)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chain_at(tmp_path_factory.mktemp("old") / "a").path


@pytest.mark.parametrize("name", ["new", "new.mlfa"])
def test_killed_before_every_file_operation(old: Path, tmp_path: Path, name: str) -> None:
    before, new, count = hashes(old), tmp_path / name, Mortal(10**9)
    expected = thinned(old, new, count)
    operations, written = 10**9 - count.lives, hashes(new)
    remove(new)
    for lives in range(0, operations, 1 if LONG else operations // 3 + 1):
        with pytest.raises(Killed):
            thinned(old, new, Mortal(lives))
        if new.exists():
            assert verify(new).problems == [], lives
            with pytest.raises(TargetError, match="choose another name"):
                thinned(old, new)
        else:
            assert thinned(old, new) == expected
        assert hashes(new) == written, lives
        assert [path.name for path in tmp_path.iterdir()] == [name], lives
        remove(new)
    assert hashes(old) == before


@pytest.mark.parametrize("name", ["new", "new.mlfa"])
def test_disk_full_at_any_byte(old: Path, tmp_path: Path, name: str) -> None:
    big = SmallDisk(10**9)
    thinned(old, tmp_path / name, big)
    remove(tmp_path / name)
    places = 40 if LONG else 2
    for step in range(places):
        with pytest.raises(TargetError, match=r"the disk is full|an earlier write failed"):
            thinned(old, tmp_path / name, SmallDisk((10**9 - big.room) * step // places))
        assert list(tmp_path.iterdir()) == []
