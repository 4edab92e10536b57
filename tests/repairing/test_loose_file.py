"""Where the members of a single file lie whose directory cannot be read: what local headers say, at their limits."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from mlflow_archive.errors import DamagedError, NotAnArchiveError
from mlflow_archive.format.zipfile64 import LOCAL_SIGNATURE, local_header
from mlflow_archive.repairing import loose_file
from mlflow_archive.repairing.loose_file import LooseFile, _signatures
from mlflow_archive.storage.members import HASH_BLOCK, BytesMember
from tests.repairing.test_drafts import Failing
from tests.spec.drafts import zipped

FILES = [("a", b"first"), ("b/c", b""), ("d", b"second" * 20)]


def local(name: str, content: bytes) -> bytes:
    """Return a member with its header, as if it began a file."""
    return local_header(name, len(content), 0, 0) + content


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.mlfa"


def contents(file: LooseFile) -> dict[str, bytes]:
    return {name: member.read_at(0, member.size) for name in file.sizes() for member in (file.open(name),)}


@pytest.mark.parametrize("at", [[], [0], [0, 4], [1, HASH_BLOCK - 4, HASH_BLOCK], [HASH_BLOCK - 1, 2 * HASH_BLOCK - 3]])
def test_every_signature_is_found_once(at: list[int]) -> None:
    for size in (2 * HASH_BLOCK + 1, at[-1] + 4 if at else 0):
        data = bytearray(size)
        for start in at:
            data[start : start + 4] = LOCAL_SIGNATURE
        assert list(_signatures(BytesMember("m", bytes(data)))) == at
    assert list(_signatures(Failing("m", LOCAL_SIGNATURE + bytes(3 * 4096)))) == []


@pytest.mark.parametrize("end", [-6, -30, -200], ids=["end", "tail", "all"])
def test_without_a_directory_the_headers_say_where_members_lie(path: Path, end: int) -> None:
    path.write_bytes(zipped(FILES))
    with closing(LooseFile(path)) as sound:
        assert (contents(sound), sound.problem) == (dict(FILES), None)
        places = {name: sound.places(name) for name, _ in FILES}
    path.write_bytes(zipped(FILES)[:end] + bytes(-end))
    with closing(LooseFile(path)) as file:
        assert (contents(file), file.sizes()) == (dict(FILES), {name: len(content) for name, content in FILES})
        assert {name: file.places(name) for name, _ in FILES} == places
        assert isinstance(file.problem, DamagedError)
        assert file.places("none") == []
        with pytest.raises(DamagedError) as missing:
            file.open("none")
    assert (str(missing.value), missing.value.member) == (f"E010: none is not in {path}", "none")


def test_a_header_that_is_damaged_beside_a_sound_directory_is_told_of(path: Path) -> None:
    data = bytearray(zipped(FILES))
    data[3] ^= 1
    path.write_bytes(data)
    with closing(LooseFile(path)) as file:
        assert contents(file) == dict(FILES)
        assert file.problem is not None


def test_of_one_name_eight_places_are_looked_at(path: Path) -> None:
    one = local("a", b"x")
    path.write_bytes(one * 9)
    with closing(LooseFile(path)) as file:
        assert file.places("a") == [len(one) * number - 1 for number in range(1, 9)]
        assert file.sizes() == {"a": 1}


def test_of_so_many_names_no_more_are_looked_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loose_file, "_MOST_NAMES", 2)
    path.write_bytes(b"".join(local(name, b"x") for name in ("a", "b", "c")))
    with closing(LooseFile(path)) as file:
        assert list(file.sizes()) == ["a", "b"]


def test_a_header_that_ends_where_the_file_does_is_whole_and_a_longer_one_is_none(path: Path) -> None:
    header = local("a", b"")
    for behind, found in ((b"", {"a": 0}), (b"?", {"a": 0})):
        path.write_bytes(b"?" + header + behind)
        with closing(LooseFile(path)) as file:
            assert (file.sizes(), file.places("a")) == (found, [1 + len(header)])
    path.write_bytes(b"?" + header[:-1])
    with closing(LooseFile(path)) as file:
        assert file.sizes() == {}


def test_what_is_no_file_is_refused(path: Path) -> None:
    with pytest.raises(NotAnArchiveError) as missing:
        LooseFile(path)
    assert str(missing.value) == f"E001: {path} cannot be opened: No such file or directory"
    os.mkfifo(path)
    with pytest.raises(NotAnArchiveError) as special:
        LooseFile(path)
    assert str(special.value) == f"E001: {path} is neither a regular file nor a directory"
