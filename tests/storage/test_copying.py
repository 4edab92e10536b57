"""Members copied as they are: into one file byte by byte as the format has it, or to their places in a folder."""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from pathlib import Path

import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.format import zipfile64
from mlflow_archive.storage.copying import Stated, copy_to_directory, copy_to_single_file
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.members import HASH_BLOCK, BytesMember, DirectoryMembers
from mlflow_archive.storage.single_file import SingleFileMembers
from tests.storage.written_members import written_members
from tests.support.crash import RecordingFiles

CONTENTS = {"b.txt": b"bee", "a/empty": b"", "a/large": bytes(range(251)) * (HASH_BLOCK // 125)}


def stated(folder: DirectoryMembers, wrong: str | None = None) -> list[Stated]:
    """Return the members, and one in memory, with the SHA-256 of each but the first."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENTS.items()}
    expected: dict[str, str | None] = {**digests, "b.txt": None}
    if wrong is not None:
        expected[wrong] = "f" * 64
    files: list[Stated] = [(folder.open(name), expected[name]) for name in CONTENTS]
    return [*files, (BytesMember("c", b"in memory"), hashlib.sha256(b"in memory").hexdigest())]


@pytest.fixture
def folder(tmp_path: Path) -> DirectoryMembers:
    return written_members(tmp_path / "folder", CONTENTS)


def expected_file() -> bytes:
    data, entries = b"", []
    for name, content in {**CONTENTS, "c": b"in memory"}.items():
        entry = zipfile64.entry_at(name, len(content), zlib.crc32(content), len(data))
        entries.append(entry)
        data += zipfile64.header_of(entry) + content
    return data + zipfile64.central_directory(entries, len(data))


def test_one_file_of_files_of_a_single_file_and_of_memory(tmp_path: Path, folder: DirectoryMembers) -> None:
    path, again = tmp_path / "one.mlfa", tmp_path / "again.mlfa"
    copy_to_single_file(Files(), path, stated(folder))
    assert path.read_bytes() == expected_file()
    members = SingleFileMembers(path)
    copy_to_single_file(Files(), again, [(members.open(name), None) for name in members.sizes()])
    members.close()
    assert again.read_bytes() == expected_file()
    assert sorted(found.name for found in tmp_path.iterdir()) == ["again.mlfa", "folder", "one.mlfa"]


def test_the_checksum_that_a_single_file_states_is_taken_as_it_is(tmp_path: Path, folder: DirectoryMembers) -> None:
    member = folder.open("b.txt")
    for crc in (0, 7):
        member.crc32 = crc
        copy_to_single_file(Files(), tmp_path / "one.mlfa", [(member, None)])
        entry = zipfile64.entry_at("b.txt", 3, crc, 0)
        data = zipfile64.header_of(entry) + b"bee"
        assert (tmp_path / "one.mlfa").read_bytes() == data + zipfile64.central_directory([entry], len(data))


def test_a_folder_of_members(tmp_path: Path, folder: DirectoryMembers) -> None:
    copy_to_directory(Files(), tmp_path / "new", stated(folder))
    new = DirectoryMembers(tmp_path / "new")
    found = {name: new.open(name).read_at(0, size) for name, size in new.sizes().items()}
    new.close()
    assert found == {**CONTENTS, "c": b"in memory"}


def test_names_in_a_folder_are_durable_when_all_files_are_from_below(tmp_path: Path) -> None:
    new, files = tmp_path / "new", RecordingFiles()
    members = [BytesMember(name, name.encode()) for name in ("c", "a/deep/b", "a/d")]
    copy_to_directory(files, new, [(member, None) for member in members])
    folders = [("mkdir", new), ("syncdir", tmp_path)], [("mkdir", new / "a"), ("syncdir", new)]
    deep = [("mkdir", new / "a" / "deep"), ("syncdir", new / "a")]
    kinds = [operation[:2] for operation in files.operations]
    written = [
        [("create", new / name), ("write", new / name), ("sync", new / name)] for name in ("c", "a/deep/b", "a/d")
    ]
    assert kinds == [
        *(*folders[0], *written[0], *folders[1], *deep, *written[1], *written[2]),
        *(("syncdir", folder) for folder in (new / "a" / "deep", new / "a", new)),
    ]


@pytest.mark.parametrize("wrong", CONTENTS)
def test_a_member_with_another_sha256_is_refused(tmp_path: Path, folder: DirectoryMembers, wrong: str) -> None:
    actual = hashlib.sha256(CONTENTS[wrong]).hexdigest()
    for copying, place in ((copy_to_single_file, "new.mlfa"), (copy_to_directory, "new")):
        with pytest.raises(DamagedError) as caught:
            copying(Files(), tmp_path / place, stated(folder, wrong))
        assert str(caught.value) == f"E012: {wrong} has SHA-256 {actual}, expected {'f' * 64}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "new", "new.mlfa.tmp"]


@pytest.mark.parametrize("most", [0, 7, 1000])
@pytest.mark.parametrize("error", [None, errno.EXDEV])
def test_what_the_kernel_copies_only_in_part_is_copied_whole(
    tmp_path: Path, folder: DirectoryMembers, most: int, error: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may copy less than it is asked for, and stop at any time, or refuse."""
    copy_in_kernel, calls = os.copy_file_range, 0

    def few(source: int, target: int, count: int, at: int, to: int) -> int:
        nonlocal calls
        calls += 1
        if calls % 5 == 0:
            if error is not None:
                raise OSError(error, os.strerror(error))
            return 0
        return copy_in_kernel(source, target, min(count, most), at, to) if most else 0

    monkeypatch.setattr(os, "copy_file_range", few)
    members = stated(folder)
    copy_to_single_file(Files(), tmp_path / "one.mlfa", members)
    assert (tmp_path / "one.mlfa").read_bytes() == expected_file()
    assert calls > 0


def test_the_kernel_is_asked_for_what_is_left(
    tmp_path: Path, folder: DirectoryMembers, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_in_kernel, asked = os.copy_file_range, []

    def some(source: int, target: int, count: int, at: int, to: int) -> int:
        asked.append((count, at))
        assert len(asked) < 100
        return copy_in_kernel(source, target, min(count, 1_000_000), at, to)

    monkeypatch.setattr(os, "copy_file_range", some)
    copy_to_directory(Files(), tmp_path / "new", stated(folder))
    size = len(CONTENTS["a/large"])
    assert asked == [(3, 0), (size, 0), (size - 1_000_000, 1_000_000), (size - 2_000_000, 2_000_000)]
    assert (tmp_path / "new" / "a" / "large").read_bytes() == CONTENTS["a/large"]


def test_bytes_behind_what_was_copied_come_behind_it(tmp_path: Path, folder: DirectoryMembers) -> None:
    with Files().create(tmp_path / "x") as output:
        output.write(b"before")
        output.copy(folder.open("b.txt"))
        assert (output.size, output.tell()) == (9, 9)
        output.write(b"behind")
        output.copy(BytesMember("c", b"c"))
        assert output.size == 16
    assert (tmp_path / "x").read_bytes() == b"beforebeebehindc"
