"""What witnesses of a manifest say together."""

from __future__ import annotations

import pytest

from mlflow_archive.format.manifest import archive_id
from mlflow_archive.repairing import manifests
from mlflow_archive.repairing.manifests import _plausible_ids

MANIFEST = bytes(range(100))


def witness(*texts: bytes, ids: tuple[str, ...] = ()) -> manifests.Testimony:
    return manifests.Testimony(number=1, newest_member=1, texts=texts, stated_ids=ids)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((), False),
        ((MANIFEST,), True),
        ((bytes(20) + MANIFEST[20:],), True),
        ((b"\xff" * 20 + MANIFEST[20:],), True),
        ((b"\xff" * 21 + MANIFEST[21:],), False),
        ((MANIFEST[:-1],), False),
        ((MANIFEST[:-1], MANIFEST + b"x", b"\xff" * 100, b"\xff" + MANIFEST[1:]), True),
    ],
    ids=["nothing", "the same", "zeros", "a fifth", "more", "another size", "one of several"],
)
def test_a_manifest_is_that_of_a_copy_with_most_of_its_bytes(texts: tuple[bytes, ...], expected: bool) -> None:
    assert witness(*texts).is_of(MANIFEST) is expected


def test_a_manifest_is_that_of_a_copy_which_states_its_id() -> None:
    assert witness(ids=("0" * 64, archive_id(MANIFEST))).is_of(MANIFEST)
    assert not witness(ids=("0" * 64,)).is_of(MANIFEST)
    assert witness(b"a", b"b", ids=("c",)).ids == {archive_id(b"a"), archive_id(b"b"), "c"}


def test_a_line_that_is_damaged_in_each_copy_stands_for_each_digit_of_them() -> None:
    assert list(_plausible_ids(["abc"])) == ["abc"]
    assert list(_plausible_ids(["abc", "abc"])) == ["abc"]
    assert list(_plausible_ids(["aXc", "Ybc"])) == ["aXc", "Ybc", "aXc", "abc", "YXc", "Ybc"]
    many = list(_plausible_ids(["a" * 64, "b" * 64]))
    assert (len(many), many[-1]) == (2 + 4096, "a" * 52 + "b" * 12)
