"""What witnesses of a manifest say together."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import archive_id
from mlflow_archive.repairing import manifests
from mlflow_archive.repairing.copies import Copy
from mlflow_archive.repairing.manifests import _plausible_ids, _settled_texts, _twice_witnessed
from tests.spec.drafts import COPY, Draft, build, write_directory

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


TEXT = bytes(range(256)) * 3
ID = archive_id(TEXT)


def hit(*at: int) -> bytes:
    """Return the text with other bytes in some places."""
    data = bytearray(TEXT)
    for place in at:
        data[place] ^= 0x40
    return bytes(data)


@pytest.mark.parametrize(
    ("texts", "settled"),
    [
        ([], []),
        ([TEXT], []),
        ([hit(1)], []),
        ([hit(1), hit(300)], [TEXT]),
        ([hit(1), hit(1)], []),
        ([hit(1), hit(300), hit(700)], [TEXT, TEXT]),
        ([hit(1), hit(1, 300), hit(700)], [TEXT]),
        ([TEXT[1:], hit(1), TEXT + b"x", hit(300)], [TEXT]),
    ],
    ids=["nothing", "whole", "one", "two", "the same twice", "most of three", "fewer of three", "other sizes"],
)
def test_texts_of_one_size_are_put_together_by_an_id_that_is_stated(texts: list[bytes], settled: list[bytes]) -> None:
    assert list(_settled_texts(texts, {ID})) == settled
    assert list(_settled_texts(texts, {"0" * 64})) == []


def test_a_text_counts_that_two_places_have_or_whose_id_is_stated() -> None:
    other = hit(5)
    assert list(_twice_witnessed([TEXT, other, hit(6), other], {ID})) == [TEXT, other, other]
    assert list(_twice_witnessed([TEXT, other], ())) == []


def test_what_a_copy_says_of_its_newest_export(tmp_path: Path) -> None:
    def said(**files: bytes) -> manifests.Testimony:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        write_directory({name.replace("__", "/").replace("_", "."): data for name, data in files.items()}, folder)
        with closing(Copy(folder)) as copy:
            return manifests.testimony_of(copy)

    def testimony(number: int, newest: int, texts: tuple[bytes, ...] = (), ids: tuple[str, ...] = ()) -> object:
        return manifests.Testimony(number=number, newest_member=newest, texts=texts, stated_ids=ids)

    line = f"{ID}  manifests/0002.json\n".encode()
    assert said() == testimony(1, 1)
    assert said(manifest_json=b"one", checksums_sha256=b"\xff\n" + line) == testimony(2, 2, (b"one",), (ID,))
    assert said(manifest_json=b"", manifests__0001_json=b"two") == testimony(1, 1, (b"two",))
    stated = line + line + f"{'0' * 64}  manifests/0001.json\n{'1' * 64} manifests/0002.json".encode()
    assert said(manifests__0002_json=b"two", checksums_sha256=stated) == testimony(2, 2, (b"two",), (ID, ID))
    name = "tables__runs__0003-00000_parquet"
    assert said(manifest_json=b"one", **{name: b""}) == testimony(1, 3, (b"one",))


def test_a_manifest_is_put_together_from_all_that_several_copies_have_of_it(tmp_path: Path) -> None:
    files = build(Draft())
    places = iter((100, 200, 300, 400))
    for folder in ("a", "b"):
        write_directory(files, tmp_path / folder)
        for name in ("manifest.json", COPY):
            data = bytearray(files[name])
            data[next(places)] ^= 0x40
            (tmp_path / folder / name).write_bytes(data)
    with closing(Copy(tmp_path / "a")) as damaged, closing(Copy(tmp_path / "b")) as other:
        for copies in ([other], []):
            choice = manifests.choose_manifest(damaged, copies)
            assert (choice.opened.data, choice.origin, choice.lost_export) == (files[COPY], "its copies", None)
    for folder in ("a", "b"):
        (tmp_path / folder / "checksums.sha256").unlink()
    with (
        closing(Copy(tmp_path / "a")) as damaged,
        closing(Copy(tmp_path / "b")) as other,
        pytest.raises(DamagedError) as lost,
    ):
        manifests.choose_manifest(damaged, [other])
    assert str(lost.value) == (
        f"E006: {tmp_path / 'a'}: no copy of its manifest can be trusted, and no other archive that was given has it"
    )


def test_a_line_that_is_damaged_in_each_copy_stands_for_each_digit_of_them() -> None:
    assert list(_plausible_ids(["abc"])) == ["abc"]
    assert list(_plausible_ids(["abc", "abc"])) == ["abc"]
    assert list(_plausible_ids(["aXc", "Ybc"])) == ["aXc", "Ybc", "aXc", "abc", "YXc", "Ybc"]
    many = list(_plausible_ids(["a" * 64, "b" * 64]))
    assert (len(many), many[-1]) == (2 + 4096, "a" * 52 + "b" * 12)
