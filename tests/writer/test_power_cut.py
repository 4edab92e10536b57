"""Promise 1, power cut: every prefix of the file operations of an export leaves the commit before or the new one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.storage.files import Files
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer import packs
from tests.support.crash import Disk, RecordingFiles, SimulatedDisk, materialize, states
from tests.support.cuts import every
from tests.support.memory_source import MemoryOptions, archive_id, content_of, export

BEFORE = MemoryOptions(runs=2, sizes=(40,), runs_per_shard=1)
AFTER = MemoryOptions(runs=3, sizes=(40,), runs_per_shard=2, changed=frozenset({1}))


@pytest.mark.parametrize("disk", Disk, ids=lambda disk: disk.value)
@pytest.mark.parametrize("append", [False, True], ids=["new", "append"])
@pytest.mark.parametrize("name", ["a", "a.mlfa"], ids=["directory", "file"])
def test_every_prefix_is_the_old_commit_or_the_new_one(
    tmp_path: Path, name: str, append: bool, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    if append:  # a frame each, so that there are finished packs of this export, too
        monkeypatch.setattr(packs, "PACK_SIZE", 1)
    root = tmp_path / "disk"
    root.mkdir()
    path = root / name
    if append:
        export(path, BEFORE)
    old = archive_id(path)
    model, files = SimulatedDisk.of(root), RecordingFiles()
    # One thread, so that the operations are those of one order that really happens; every chunk is sealed.
    export(path, AFTER, append=append, jobs=1, seal_seconds=0, files=files)
    new, expected = archive_id(path), content_of(path)
    assert new not in (None, old)
    seen: set[str | None] = set()
    trees = list(states(root, model, files.operations, disk))
    continued = every(max(1, len(trees) // 4))
    # Every state is opened; of new commits and of others samples are verified and continued.
    for number, tree in enumerate(trees):
        materialize(tree, root)
        found = archive_id(path)
        assert found in (old, new), (number, found)
        seen.add(found)
        if number % every(3 if found == new else 9) == 0 and found is not None:
            report = verify(path)
            assert report.ok, (number, report.problems)
        if number % continued == continued // 2:
            export(path, AFTER, append=append or found == new, jobs=1, seal_seconds=0)
            assert content_of(path) == expected, number
            assert verify(path).problems == [], number
            assert not [p for p in root.rglob("*") if p.name in ("staging", "a.mlfa.work") or p.suffix == ".tmp"], (
                number
            )
    assert seen == {old, new}
    assert len(trees) > 15


def test_only_synced_files_are_published(tmp_path: Path) -> None:
    class Careless(Files):
        def publish(self, source: Path, target: Path) -> None:
            recording.record(("rename", source, target))

    recording = RecordingFiles()
    output = recording.create(tmp_path / "a.tmp")
    output.write(b"bytes")
    Careless().publish(tmp_path / "a.tmp", tmp_path / "a")
    output.close()
    with pytest.raises(AssertionError, match="was not synced"):
        list(states(tmp_path, SimulatedDisk(tmp_path), recording.operations, Disk.LIVE))
