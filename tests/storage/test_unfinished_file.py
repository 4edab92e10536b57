"""A single file made in place: members that grow, whole ones behind them, and going on where it was cut."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from mlflow_archive.errors import DamagedError, MlflowArchiveError
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.members import BytesMember, MemberFile
from mlflow_archive.storage.unfinished_file import UnfinishedFile
from tests.support.crash import RecordingFiles
from tests.support.single_files import write_single_file

FIRST, SECOND = "packs/0002-00000.zst", "packs/0002-00001.zst"
GROWN = {FIRST: bytes(range(256)) * 3, SECOND: b"second"}
LAST = {"packs/0001-00000.zst": b"", "tables/runs/0001-00000.parquet": b"rows", "manifest.json": b"{}"}


def whole(members: Mapping[str, bytes]) -> Iterator[tuple[MemberFile, str]]:
    for name, content in members.items():
        yield BytesMember(name, content), hashlib.sha256(content).hexdigest()


def unfinished(path: Path) -> UnfinishedFile:
    return UnfinishedFile(Files(), path)


def expected(folder: Path) -> bytes:
    """Return the file that has all members, written in one go."""
    write_single_file(Files(), folder / "expected.mlfa", whole({**GROWN, **LAST}))
    return (folder / "expected.mlfa").read_bytes()


def complete(file: UnfinishedFile) -> None:
    for member, sha256 in whole(LAST):
        file.add(member, sha256)
    file.publish()


def interrupted(path: Path, *, second: bytes = GROWN[SECOND]) -> None:
    """Leave a file with the first pack whole and the second under way."""
    with unfinished(path) as file:
        first = file.begin(FIRST)
        first.write(GROWN[FIRST])
        first.finish()
        member = file.begin(SECOND)
        member.write(second)
        member.sync()


def test_members_that_grow_lie_in_it_as_whole_ones_do(tmp_path: Path) -> None:
    path = tmp_path / "a.mlfa"
    with unfinished(path) as file:
        for name, content in GROWN.items():
            grown = file.begin(name)
            for at in range(0, len(content), 100):
                grown.write(content[at : at + 100])
                assert grown.size == len(content[: at + 100])
            with file.opened(name) as stored:
                assert (stored.size, stored.read_at(0, stored.size)) == (len(content), content)
            assert grown.finish() == hashlib.sha256(content).hexdigest()
            grown.close()
        assert list(file.whole) == list(GROWN)
        assert not path.exists()
        complete(file)
    assert path.read_bytes() == expected(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.mlfa", "expected.mlfa"]
    with unfinished(path) as again:
        assert not again.holds({FIRST: 0})


def test_a_member_that_is_finished_is_durable(tmp_path: Path) -> None:
    files = RecordingFiles()
    with UnfinishedFile(files, tmp_path / "a.mlfa") as file:
        grown = file.begin(FIRST)
        grown.write(GROWN[FIRST])
        grown.finish()
        assert files.operations[-1] == ("sync", tmp_path / "a.mlfa.tmp")
        assert [kind for kind, *_ in files.operations] == ["create", "syncdir", "write", "write", "write", "sync"]


@pytest.mark.parametrize("more", [b"", b"not synced"])
def test_it_goes_on_where_it_was_durable(tmp_path: Path, more: bytes) -> None:
    path, sizes = tmp_path / "a.mlfa", {FIRST: len(GROWN[FIRST]), SECOND: 3}
    interrupted(path, second=GROWN[SECOND][:3] + more)
    with unfinished(path) as file:
        assert file.holds(sizes)
        first, second = _taken_over(file, sizes)
        assert first == hashlib.sha256(GROWN[FIRST]).hexdigest()
        assert second == hashlib.sha256(GROWN[SECOND]).hexdigest()
        with file.opened(FIRST) as stored:
            assert stored.read_at(0, stored.size) == GROWN[FIRST]
        complete(file)
    assert path.read_bytes() == expected(tmp_path)


def _taken_over(file: UnfinishedFile, sizes: Mapping[str, int]) -> Iterator[str]:
    """Finish the first member, write the rest of the second, and finish that; yield their hashes."""
    for name, member in zip(sizes, file.take_over(sizes), strict=True):
        assert member.size == sizes[name]
        member.write(GROWN[name][sizes[name] :])
        yield member.finish()


def test_a_pack_cut_back_to_the_first_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a.mlfa"
    interrupted(path, second=b"other bytes than there will be")
    with unfinished(path) as file:
        (first,) = file.take_over({FIRST: len(GROWN[FIRST])})
        first.finish()
        second = file.begin(SECOND)
        second.write(GROWN[SECOND])
        second.finish()
        complete(file)
    assert path.read_bytes() == expected(tmp_path)


def test_what_it_does_not_hold_is_not_taken_over(tmp_path: Path) -> None:
    path, temporary = tmp_path / "a.mlfa", tmp_path / "a.mlfa.tmp"
    sizes = {name: len(content) for name, content in GROWN.items()}
    assert not unfinished(path).holds(sizes)
    assert unfinished(path).holds({})
    interrupted(path)
    assert unfinished(path).holds(sizes)
    assert not unfinished(path).holds({**sizes, SECOND: sizes[SECOND] + 1})
    content = temporary.read_bytes()
    temporary.write_bytes(content[:-1])
    assert not unfinished(path).holds(sizes)
    assert list(unfinished(path).take_over({})) == []
    assert not temporary.exists()


def test_a_member_that_grows_too_large_for_its_header_is_refused(tmp_path: Path) -> None:
    """A longer header, for a size of more than 32 bits, would lie where the bytes of the member do."""
    with unfinished(tmp_path / "a.mlfa") as file:
        grown = file.begin(FIRST)
        grown.size = (1 << 32) - 2
        grown.finish()
        grown.size = (1 << 32) - 1
        with pytest.raises(MlflowArchiveError) as caught:
            grown.finish()
        assert str(caught.value) == f"{FIRST} has {(1 << 32) - 1} bytes: a member that grows is smaller than 4 GiB"


def test_a_member_that_is_damaged_is_refused(tmp_path: Path) -> None:
    with unfinished(tmp_path / "a.mlfa") as file, pytest.raises(DamagedError, match=r"^E012: x has SHA-256"):
        file.add(BytesMember("x", b"x"), "0" * 64)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mlfa.tmp"]
