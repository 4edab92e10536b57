"""Members of an archive at rest: which files are some, and exactly the bytes that were asked for."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from mlflow_archive.errors import DamagedError, MlflowArchiveError, NotAnArchiveError
from mlflow_archive.storage.members import HASH_BLOCK, DirectoryMembers, MemberFile, OpenFile
from mlflow_archive.storage.members import MemberReader as Reader
from tests.support.descriptors import open_descriptors, path_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "archive"
    (path / "a" / "b").mkdir(parents=True)
    (path / "a" / "b" / "c.txt").write_bytes(b"0123456789")
    (path / "empty").write_bytes(b"")
    (tmp_path / "outside").write_bytes(b"secret")
    (path / "link").symlink_to(tmp_path / "outside")
    (path / "folder-link").symlink_to(path / "a")
    os.mkfifo(path / "pipe")
    return path


def test_regular_files_are_members_and_nothing_else_is(folder: Path) -> None:
    members = DirectoryMembers(folder)
    assert members.path == folder
    assert members.sizes() == {"a/b/c.txt": 10, "empty": 0}


def test_what_is_no_directory(folder: Path) -> None:
    for path in (folder / "empty", folder / "not there"):
        with pytest.raises(NotAnArchiveError) as caught:
            DirectoryMembers(path)
        assert str(caught.value) == f"{path} is no directory"


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("../outside", "E015", "'../outside' is no member name"),
        ("gone", "E010", "gone is not in {}: No such file or directory"),
        ("link", "E010", "link is not in {}: Too many levels of symbolic links"),
        ("folder-link/b/c.txt", "E010", "folder-link/b/c.txt is not in {}: Not a directory"),
        ("empty/x", "E010", "empty/x is not in {}: Not a directory"),
        ("pipe", "E010", "pipe in {} is no regular file"),
        ("a", "E010", "a in {} is no regular file"),
    ],
)
def test_what_is_no_member_is_not_opened(folder: Path, name: str, code: str, reason: str) -> None:
    members = DirectoryMembers(folder)
    before = open_descriptors()
    for _ in range(2):
        with pytest.raises(DamagedError) as caught:
            members.open(name)
        assert str(caught.value) == f"{code}: {reason.format(folder)}"
        assert (caught.value.code, caught.value.member) == (code, name)
    members.close()
    assert open_descriptors() == before


def test_a_member_is_opened_once_and_closed_with_the_archive(folder: Path) -> None:
    before = open_descriptors()
    members = DirectoryMembers(folder)
    file = members.open("a/b/c.txt")
    assert (file.name, file.size, file.read_at(0, 10)) == ("a/b/c.txt", 10, b"0123456789")
    assert members.open("a/b/c.txt") is file
    [number] = [number for number in open_descriptors() - before if _leads_to(number, folder / "a/b/c.txt")]
    assert not os.get_inheritable(number)
    members.close()
    assert not _leads_to(number, folder / "a/b/c.txt")
    with pytest.raises(MlflowArchiveError) as caught:
        file.read_at(0, 1)
    assert str(caught.value) == "the archive is closed: read what is needed before, or open it again"
    for name in ("a/b/c.txt", "empty"):
        with pytest.raises(MlflowArchiveError) as caught:
            members.open(name)
        assert str(caught.value) == f"{folder} is closed; open it again"
    members.close()


def _leads_to(number: int, path: Path) -> bool:
    try:
        return path_of(number) == path
    except FileNotFoundError:
        return False


def test_a_descriptor_is_closed_once(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    file = OpenFile(os.open(tmp_path / "f", os.O_RDONLY))
    number = file.descriptor
    file.close()
    again = os.open(tmp_path / "f", os.O_RDONLY)  # gets the number that is free now
    file.close()
    assert (again, os.fstat(again).st_size) == (number, 0)
    os.close(again)


def test_the_first_number_of_all_is_one_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []
    monkeypatch.setattr(os, "close", closed.append)
    zero = OpenFile(0)
    assert zero.descriptor == 0
    zero.close()
    zero.close()
    assert closed == [0]


def part_of(path: Path, start: int, size: int) -> MemberFile:
    return MemberFile("m", OpenFile(os.open(path, os.O_RDONLY)), start, size)


@pytest.fixture
def middle(tmp_path: Path) -> MemberFile:
    """The bytes 3 to 8 of ten."""
    (tmp_path / "f").write_bytes(b"0123456789")
    return part_of(tmp_path / "f", 3, 5)


def test_a_range_lies_in_the_member_to_its_last_byte(middle: MemberFile) -> None:
    assert middle.read_at(0, 5) == b"34567"
    assert middle.read_at(4, 1) == b"7"
    assert middle.read_at(5, 0) == middle.read_at(0, 0) == b""
    for offset, size in ((0, 6), (5, 1), (6, 0), (-1, 2), (1, -1)):
        with pytest.raises(DamagedError) as caught:
            middle.read_at(offset, size)
        assert str(caught.value) == f"E011: m: bytes {offset} to {offset + size} are asked for, it has 5"
        assert (caught.value.code, caught.value.member) == ("E011", "m")


class Distant:
    """Bytes on another machine, each its number, with a note of what is said to come."""

    distant = True

    def __init__(self) -> None:
        self.coming: list[list[tuple[int, int]]] = []

    def read(self, position: int, size: int) -> bytes:
        return bytes(range(position, position + size))

    def anticipate(self, ranges: Iterable[tuple[int, int]]) -> None:
        self.coming.append(list(ranges))

    def in_order(self, position: int, size: int) -> Distant:
        self.coming.append([(position, size)])
        return self


def test_of_what_will_be_read_that_in_the_member_is_brought_near(middle: MemberFile) -> None:
    file = Distant()
    member = MemberFile("m", file, 3, 5, 7)
    member.anticipate([(0, 5), (-2, 3), (-2, 2), (4, 9), (5, 1), (2, 0), (1, 2)])
    ordered = member.in_order(1, 4)
    assert file.coming == [[(3, 5), (3, 1), (7, 1), (4, 2)], [(4, 4)]]
    assert (ordered.name, ordered.size, ordered.crc32, ordered.distant, ordered.place) == ("m", 5, 7, True, None)
    assert ordered.read_at(1, 4) == bytes([4, 5, 6, 7])
    middle.anticipate([(0, 5)])
    assert (middle.in_order(1, 4), middle.distant) == (middle, False)
    renamed = member.renamed("n")
    assert (renamed.name, renamed.read_at(0, 2), member.name) == ("n", bytes([3, 4]), "m")


def test_a_file_that_ends_too_early(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    with pytest.raises(DamagedError) as caught:
        part_of(tmp_path / "f", 3, 20).read_at(1, 10)
    assert str(caught.value) == "E011: m: it ends 4 bytes too early"
    assert (caught.value.code, caught.value.member) == ("E011", "m")


def test_reads_that_the_system_cuts_are_gone_on_with(middle: MemberFile, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, at: whole(descriptor, min(size, 2), at))
    assert middle.read_at(0, 5) == b"34567"
    assert middle.sha256() == hashlib.sha256(b"34567").hexdigest()


def test_a_medium_that_fails(middle: MemberFile, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pread

    def pread(descriptor: int, size: int, at: int) -> bytes:
        if at > 3:
            raise OSError(5, "Input/output error")
        return whole(descriptor, 2, at)

    monkeypatch.setattr(os, "pread", pread)
    with pytest.raises(DamagedError) as caught:
        middle.read_at(0, 5)
    assert str(caught.value) == "E011: m: cannot be read at byte 5: Input/output error"
    assert (caught.value.code, caught.value.member) == ("E011", "m")


@pytest.mark.parametrize("size", [0, 1, HASH_BLOCK - 1, HASH_BLOCK, HASH_BLOCK + 1])
def test_the_digest_is_that_of_all_bytes(tmp_path: Path, size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    (tmp_path / "f").write_bytes(b"before" + data[:size] + b"behind")
    assert part_of(tmp_path / "f", 6, size).sha256() == hashlib.sha256(data[:size]).hexdigest()


def test_a_reader_is_a_file_with_a_place_of_its_own(middle: MemberFile) -> None:
    reader, other = middle.reader(), middle.reader()
    assert isinstance(reader, Reader)
    assert (reader.readable(), reader.seekable(), reader.writable(), reader.tell()) == (True, True, False, 0)
    assert (reader.read(2), reader.tell()) == (b"34", 2)
    assert (reader.read(None), reader.read(), reader.readall()) == (b"567", b"", b"")
    assert reader.seek(1) == reader.tell() == 1
    assert reader.seek(2, io.SEEK_CUR) == 3
    assert reader.read(0) == b""
    assert reader.read(99) == b"67"
    assert reader.seek(-2, io.SEEK_END) == 3
    assert reader.readall() == b"67"
    assert reader.seek(-9, io.SEEK_CUR) == reader.tell() == 0
    assert reader.read(-1) == b"34567"
    assert reader.seek(9) == 9
    assert reader.read() == reader.read(1) == b""
    assert other.tell() == 0
    buffer = bytearray(b"......")
    assert (other.readinto(buffer), bytes(buffer), other.tell()) == (5, b"34567.", 5)
    assert (other.readinto(buffer), bytes(buffer)) == (0, b"34567.")
    other.seek(3)
    assert (other.readinto(memoryview(buffer)[:1]), bytes(buffer)) == (1, b"64567.")
