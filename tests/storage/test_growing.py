"""Packs in a folder: begun durably, taken over to the byte that was synced, held only where all of it is there."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mlflow_archive.storage.files import Files
from mlflow_archive.storage.growing import GrowingFiles
from tests.support.crash import RecordingFiles

FIRST, SECOND = "packs/0001-00000.zst", "packs/0001-00001.zst"
DATA = bytes(range(256)) * 5000  # more than is hashed at once


def test_a_member_that_grows_knows_what_it_has(tmp_path: Path) -> None:
    files = RecordingFiles()
    grown = GrowingFiles(files, tmp_path).begin(FIRST)
    for at in range(0, len(DATA), 100_000):
        grown.write(DATA[at : at + 100_000])
        assert grown.size == min(len(DATA), at + 100_000)
    assert grown.finish() == hashlib.sha256(DATA).hexdigest()
    path = tmp_path / FIRST
    begun = [("mkdir", path.parent), ("syncdir", tmp_path), ("create", path), ("syncdir", path.parent)]
    assert [operation[:2] for operation in files.operations] == [*begun, *([("write", path)] * 13), ("sync", path)]
    assert path.read_bytes() == DATA


def test_one_that_was_begun_is_held_to_its_last_byte_and_goes_on_from_there(tmp_path: Path) -> None:
    members = GrowingFiles(Files(), tmp_path)
    (tmp_path / "packs").mkdir()
    (tmp_path / FIRST).write_bytes(DATA)
    (tmp_path / SECOND).write_bytes(b"begun")
    assert members.holds({})
    assert members.holds({FIRST: len(DATA), SECOND: 5})
    assert not members.holds({FIRST: len(DATA), SECOND: 6})
    assert not members.holds({FIRST: len(DATA) + 1, SECOND: 5})
    assert not members.holds({FIRST: 0, "packs/none": 0})
    assert not members.holds({"packs": 0})
    [first, second] = members.take_over({FIRST: len(DATA), SECOND: 3})
    assert (first.size, first.finish()) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    second.write(b"in anew")
    with members.opened(FIRST) as stored:
        assert (stored.name, stored.size) == (FIRST, len(DATA))
    assert (second.size, second.finish()) == (10, hashlib.sha256(b"begin anew").hexdigest())
    assert (tmp_path / SECOND).read_bytes() == b"begin anew"
