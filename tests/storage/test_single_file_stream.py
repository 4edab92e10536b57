"""The bytes of a single file as a stream, out of either form, each member checked on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.members import HASH_BLOCK, DirectoryMembers
from mlflow_archive.storage.single_file import (
    SingleFileMembers,
    single_file_blocks,
    single_file_size,
)
from tests.support.single_files import write_single_file

CONTENTS = {"b.txt": b"bee", "a/empty": b"", "a/large": bytes(range(256)) * 4096 + b"end"}
HASHES = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENTS.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DirectoryMembers]:
    for name, data in CONTENTS.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    members = DirectoryMembers(tmp_path / "folder")
    yield members
    members.close()


def test_both_forms_give_the_bytes_of_the_single_file(tmp_path: Path, folder: DirectoryMembers) -> None:
    path = tmp_path / "a.mlfa"
    write_single_file(Files(), path, [(folder.open(name), None) for name in CONTENTS])
    single = SingleFileMembers(path)
    of_directory, of_file = list(single_file_blocks(folder, list(CONTENTS), HASHES)), list(single.blocks(HASHES))
    single.close()
    assert b"".join(of_directory) == b"".join(of_file) == path.read_bytes()
    assert single_file_size(folder, CONTENTS) == path.stat().st_size
    assert max(map(len, [*of_directory, *of_file])) == HASH_BLOCK


@pytest.mark.parametrize("name", CONTENTS)
def test_a_member_that_is_not_what_it_should_be_ends_it(tmp_path: Path, folder: DirectoryMembers, name: str) -> None:
    path = tmp_path / "a.mlfa"
    write_single_file(Files(), path, [(folder.open(name), None) for name in CONTENTS])
    single, hashes = SingleFileMembers(path), {**HASHES, name: "f" * 64}
    for blocks in (single.blocks(hashes), single_file_blocks(folder, list(CONTENTS), hashes)):
        with pytest.raises(DamagedError) as caught:
            list(blocks)
        assert str(caught.value) == f"E012: {name} has SHA-256 {HASHES[name]}, expected {'f' * 64}"
        assert (caught.value.code, caught.value.member) == ("E012", name)
    single.close()


def test_a_member_that_changes_between_its_readings_is_noticed(tmp_path: Path, folder: DirectoryMembers) -> None:
    blocks = single_file_blocks(folder, ["b.txt"], HASHES)
    next(blocks)
    (tmp_path / "folder" / "b.txt").write_bytes(b"BEE")
    with pytest.raises(DamagedError, match=r"E012: b\.txt changed while it was read") as caught:
        list(blocks)
    assert caught.value.member == "b.txt"
