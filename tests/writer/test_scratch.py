"""What the writer remembers while it writes: which blobs are stored, which are used, which entities are known."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.format.fingerprint import Fingerprint
from mlflow_archive.writer.scratch import Scratch


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    scratch = Scratch()
    yield scratch
    scratch.close()
    scratch.close()


def test_blobs_that_are_stored_and_blobs_that_are_used(scratch: Scratch) -> None:
    scratch.add_blobs([b"a", b"b"])
    scratch.add_blobs([b"b", b"c"])
    assert [scratch.has_blob(digest) for digest in (b"a", b"b", b"c", b"d", b"")] == [True, True, True, False, False]
    scratch.add_used(["aa"])
    scratch.add_used(["aa", "bb"])
    assert [scratch.is_used(digest) for digest in ("aa", "bb", "cc", "")] == [True, True, False, False]


def test_of_an_entity_the_last_fingerprint_counts(scratch: Scratch) -> None:
    assert scratch.known("run", "1") is None
    scratch.add_known([("run", "1", Fingerprint("a", "x")), ("trace", "1", Fingerprint("b"))])
    scratch.add_known([("run", "1", Fingerprint("c", "y"))], segment=2)
    known = scratch.known("run", "1")
    assert known is not None
    assert (known, known.contents) == ("c", "y")
    other = scratch.known("trace", "1")
    assert other is not None
    assert (other, other.contents) == ("b", None)


def test_what_was_staged_is_forgotten_and_what_is_in_the_archive_stays(scratch: Scratch) -> None:
    scratch.add_known([("run", "old", Fingerprint("a"))])
    scratch.add_known([("run", name, Fingerprint("a")) for name in ("c", "a", "b")], segment=1)
    scratch.add_known([("run", "d", Fingerprint("a")), ("trace", "e", Fingerprint("a"))], segment=2)
    assert scratch.staged_ids("run", 1) == ["a", "b", "c"]
    scratch.forget_staged("run", "a")
    scratch.forget_staged("trace", "b")
    scratch.forget_staged("run", "old")
    assert (scratch.known("run", "a"), scratch.known("run", "old")) == (None, "a")
    assert [scratch.staged_ids("run", segment) for segment in (0, 1, 2, 3)] == [["old"], ["b", "c"], ["d"], []]
    assert scratch.staged_ids("trace", 2) == ["e"]


def test_a_temporary_folder_that_is_full_says_what_to_do(scratch: Scratch) -> None:
    def digests() -> Iterator[bytes]:
        yield b"b"
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(TargetError) as caught:
        scratch.add_blobs(digests())
    assert str(caught.value) == (
        f"the temporary folder {tempfile.gettempdir()} cannot be written (database or disk is full). Free some space "
        "there, or set TMPDIR to another folder, and run the same command again; it continues"
    )
    assert not scratch.has_blob(b"a")
