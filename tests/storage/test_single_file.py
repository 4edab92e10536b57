"""The single file: written byte by byte as the format has it, and read in place."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path

import pytest

from mlflow_archive.errors import DamagedError, MlflowArchiveError, NotAnArchiveError
from mlflow_archive.format import zipfile64
from mlflow_archive.format.index import MAGIC
from mlflow_archive.storage.files import Files, OutputFile
from mlflow_archive.storage.members import HASH_BLOCK, DirectoryMembers
from mlflow_archive.storage.single_file import SingleFileMembers
from tests.storage.written_members import written_members
from tests.support.descriptors import open_descriptors
from tests.support.single_files import write_single_file

CONTENTS = {"b.txt": b"bee", "a/empty": b"", "a/large": bytes(range(256)) * 4096 + b"end"}


@pytest.fixture
def folder(tmp_path: Path) -> DirectoryMembers:
    return written_members(tmp_path / "folder", CONTENTS)


def write(folder: DirectoryMembers, path: Path, wrong: str | None = None) -> None:
    """Write all members; the SHA-256 of each is checked but that of ``b.txt``, or of ``wrong``, another is expected."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENTS.items()}
    expected = {**digests, "b.txt": None} if wrong is None else {**digests, wrong: "f" * 64}
    write_single_file(Files(), path, [(folder.open(name), expected[name]) for name in CONTENTS])


def test_members_lie_in_it_in_order_each_at_a_multiple_of_64(tmp_path: Path, folder: DirectoryMembers) -> None:
    path = tmp_path / "a.mlfa"
    write(folder, path)
    assert not path.with_name("a.mlfa.tmp").exists()
    expected, entries = b"", []
    for name, data in CONTENTS.items():
        crc = zlib.crc32(data)
        header = zipfile64.local_header(name, len(data), crc, len(expected))
        place = len(expected), len(expected) + len(header)
        entries.append(
            zipfile64.Entry(name=name, size=len(data), crc32=crc, header_offset=place[0], data_offset=place[1])
        )
        expected += header + data
    assert path.read_bytes() == expected + zipfile64.central_directory(entries, len(expected))
    assert {entry.data_offset % 64 for entry in entries} == {0}


def test_what_was_written_is_read(tmp_path: Path, folder: DirectoryMembers) -> None:
    path = tmp_path / "a.mlfa"
    write(folder, path)
    members = SingleFileMembers(path)
    assert members.path == path
    assert members.sizes() == {name: len(data) for name, data in CONTENTS.items()}
    for name, data in CONTENTS.items():
        file = members.open(name)
        assert (file.name, file.size, file.read_at(0, file.size)) == (name, len(data), data)
        assert members.crc32(name) == file.crc32 == zlib.crc32(data)
    with pytest.raises(DamagedError) as caught:
        members.open("gone")
    assert str(caught.value) == f"E010: gone is not in {path}"
    assert (caught.value.code, caught.value.member) == ("E010", "gone")
    file = members.open("b.txt")
    members.close()
    with pytest.raises(MlflowArchiveError, match="the archive is closed"):
        file.read_at(0, 1)


@pytest.mark.parametrize("name", ["b.txt", "a/empty", "a/large"])
def test_a_member_that_is_not_what_it_should_be_makes_no_file(
    tmp_path: Path, folder: DirectoryMembers, name: str
) -> None:
    path = tmp_path / "a.mlfa"
    with pytest.raises(DamagedError) as caught:
        write(folder, path, wrong=name)
    sha256 = hashlib.sha256(CONTENTS[name]).hexdigest()
    assert str(caught.value) == f"E012: {name} has SHA-256 {sha256}, expected {'f' * 64}"
    assert (caught.value.code, caught.value.member) == ("E012", name)
    assert not path.exists()


def test_large_members_go_through_in_blocks(tmp_path: Path, folder: DirectoryMembers) -> None:
    assert len(CONTENTS["a/large"]) > HASH_BLOCK
    sizes: list[int] = []
    created: list[Path] = []

    class CountingFiles(Files):
        def create(self, path: Path) -> OutputFile:
            created.append(path)
            output = super().create(path)
            whole = output.write

            def counted(data: bytes | memoryview) -> int:
                sizes.append(len(data))
                return whole(data)

            output.write = counted  # type: ignore[method-assign]
            return output

    write_single_file(CountingFiles(), tmp_path / "a.mlfa", [(folder.open("a/large"), None)])
    assert sizes[1:3] == [HASH_BLOCK, 3]
    assert created == [tmp_path / "a.mlfa.tmp"]


def test_a_local_header_that_differs_is_noticed_when_its_member_is_opened(
    tmp_path: Path, folder: DirectoryMembers
) -> None:
    path = tmp_path / "a.mlfa"
    write(folder, path)
    data = bytearray(path.read_bytes())
    data[63] ^= 1  # the last byte before the first member
    path.write_bytes(data)
    members = SingleFileMembers(path)
    with pytest.raises(DamagedError, match=r"E021: b\.txt: its local header differs"):
        members.open("b.txt")
    members.open("a/large")
    members.close()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "E001: {} is no archive: it does not begin with a ZIP member"),
        (b"PK\x03\x05" + b"x" * 200, "E001: {} is no archive: it does not begin with a ZIP member"),
        (b"QK\x03\x04" + b"x" * 200, "E001: {} is no archive: it does not begin with a ZIP member"),
        (MAGIC, "E001: {} is no archive: it is the index of one, and serves only as `export --base`"),
        (MAGIC[:-1] + b"x", "E001: {} is no archive: it does not begin with a ZIP member"),
    ],
)
def test_what_does_not_begin_as_an_archive_does(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "a.mlfa"
    path.write_bytes(data)
    before = open_descriptors()
    with pytest.raises(NotAnArchiveError) as caught:
        SingleFileMembers(path)
    assert str(caught.value) == reason.format(path)
    assert open_descriptors() == before


@pytest.mark.parametrize("size", [1, 3, 4, 5, zipfile64.END_SIZE - 1, zipfile64.END_SIZE])
def test_the_beginning_of_an_archive_is_one_that_is_cut(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.mlfa"
    path.write_bytes((b"PK\x03\x04" + b"x" * 200)[:size])
    with pytest.raises(DamagedError) as caught:
        SingleFileMembers(path)
    expected = (
        f"the file has {size} bytes, too few for an archive"
        if size < zipfile64.END_SIZE
        else "the file does not end as an archive does: it is cut off or was changed"
    )
    assert str(caught.value) == f"E020: {expected}"


def test_what_cannot_be_opened_or_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotAnArchiveError) as caught:
        SingleFileMembers(tmp_path / "gone")
    assert str(caught.value) == f"{tmp_path / 'gone'} cannot be opened: No such file or directory"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(NotAnArchiveError) as caught:
            SingleFileMembers(path)
        assert str(caught.value) == f"E001: {path} is neither a regular file nor a directory"
