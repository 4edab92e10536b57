"""What an export to a single file writes: packs once, what the directory form would give, and nothing for nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_archive.packing.stream import archive_blocks
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer import packs
from tests.support.crash import RecordingFiles
from tests.support.memory_source import MemoryOptions, content_of, export, interrupted_export

FIRST = MemoryOptions(runs=3, sizes=(900, 20))
MORE = replace(FIRST, runs=5, changed=frozenset({1}))
NO_FILES = MemoryOptions(runs=6, sizes=())


def packed(path: Path) -> bytes:
    """Return the single file of an archive, as it is streamed."""
    with open_archive(path) as archive:
        return b"".join(archive_blocks(archive))


def sizes_written(files: RecordingFiles) -> dict[Path, int]:
    """Return how many bytes were written to each file."""
    sizes: dict[Path, int] = {}
    for kind, path, *rest in files.operations:
        if kind == "write":
            sizes[path] = sizes.get(path, 0) + len(rest[1])
    return sizes


@pytest.mark.parametrize("pack_size", [1, packs.PACK_SIZE], ids=["many packs", "one pack"])
def test_it_is_the_file_that_the_directory_form_makes(
    tmp_path: Path, pack_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "PACK_SIZE", pack_size)
    for options, append in ((FIRST, False), (MORE, True), (NO_FILES, True)):
        for name in ("a", "a.mlfa"):
            export(tmp_path / name, options, append=append, jobs=1)
        assert (tmp_path / "a.mlfa").read_bytes() == packed(tmp_path / "a")
    assert verify(tmp_path / "a.mlfa").problems == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.mlfa"]


def test_bytes_of_packs_are_written_once(tmp_path: Path) -> None:
    path, files = tmp_path / "a.mlfa", RecordingFiles()
    export(path, FIRST, jobs=1, files=files)
    with open_archive(path) as archive:
        members = len(archive.members.sizes())
        parts = {tmp_path / "a.mlfa.work" / m.path: m.size for m in archive.manifest.members if m.kind == "table"}
    written = sizes_written(files)
    size = written.pop(tmp_path / "a.mlfa.tmp") - path.stat().st_size
    assert 30 * members < size < 200 * members  # each header twice: it gets its CRC when the member is whole
    staging = tmp_path / "a.mlfa.work" / "staging"
    assert {where: size for where, size in written.items() if where.parent != staging} == parts


def _looked_at(path: Path) -> tuple[int, int, bytes]:
    about = path.stat()
    return about.st_ino, about.st_mtime_ns, path.read_bytes()


def test_an_append_of_nothing_new_does_not_touch_the_file(tmp_path: Path) -> None:
    path, files = tmp_path / "a.mlfa", RecordingFiles()
    export(path, FIRST)
    before = _looked_at(path)
    assert export(path, FIRST, append=True, files=files).details["unchanged"]
    assert _looked_at(path) == before
    assert not [operation for operation in files.operations if operation[1].name == "a.mlfa.tmp"]


@pytest.mark.parametrize("append", [False, True])
def test_a_killed_export_goes_on_in_the_unfinished_file(tmp_path: Path, append: bool) -> None:
    path, unfinished, files = tmp_path / "a.mlfa", tmp_path / "a.mlfa.tmp", RecordingFiles()
    if append:
        export(path, FIRST)
    interrupted_export(path, MORE, append=append)
    left = unfinished.read_bytes()
    with unfinished.open("ab") as file:
        file.write(b"not synced")
    export(path, MORE, append=append, files=files)
    [cut] = [
        operation
        for operation in files.operations
        if operation[0] in ("create", "truncate") and operation[1] == unfinished
    ]
    assert cut == ("truncate", unfinished, len(left))
    export(tmp_path / "b", MORE)
    assert content_of(path) == content_of(tmp_path / "b")
    assert verify(path).problems == []
