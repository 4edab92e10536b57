"""Which file beside an archive is what."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.signing.folder import MAX_SIZE, read_file, read_folder, signatures_folder, signer_name


def test_the_folder_lies_beside_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mlfa" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a.mlfa")
    beside = tmp_path / "a.mlfa.sig"
    assert signatures_folder(tmp_path / "a.mlfa") == beside
    assert signatures_folder("../a.mlfa/") == tmp_path / "a.mlfa" / ".." / "a.mlfa.sig"
    assert signatures_folder(".") == beside
    monkeypatch.chdir(tmp_path / "a.mlfa" / "b")
    assert signatures_folder("..") == beside


@pytest.mark.parametrize("name", ["ada@bank.example", "a", "A-2b", "build-2@host", "x" * 100, "0.a+b_c"])
def test_names_of_signers(name: str) -> None:
    assert signer_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "x" * 101, "ada-2", "ä", "a\n", "*@bank"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(SelectionError, match=r"cannot be the name of a signer.*--signer NAME"):
        signer_name(name)


def test_what_lies_in_the_folder(tmp_path: Path) -> None:
    names = ["0001-ada.sig", "0001-ada.tsr", "0001-ada-2.tsr", "0001-ada-10.tsr", "0002-bob@x.sig"]
    strays = [
        *("0000-ada.sig", "0001-ada-1.tsr", "0001-ada-02.tsr", "0001-eve.tsr", "0001-ada-3.sig", "1-ada.sig"),
        *("0001-ada.sig.tmp", "notes.txt", "0001-link.sig", "0001-folder.sig", "0001-.sig"),
    ]
    for name in {*names, *strays} - {"0001-link.sig", "0001-folder.sig"}:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "0001-link.sig").symlink_to("0001-ada.sig")
    (tmp_path / "0001-folder.sig").mkdir()
    folder = read_folder(tmp_path)
    assert sorted(path.name for path in folder.strays) == sorted(strays)
    first, second = folder.signatures
    assert (first.path, first.export, first.signer) == (tmp_path / "0001-ada.sig", 1, "ada")
    assert {number: path.name for number, path in first.tokens.items()} == {
        1: "0001-ada.tsr",
        2: "0001-ada-2.tsr",
        10: "0001-ada-10.tsr",
    }
    assert [first.token_path(number) for number in (1, 2, 10)] == [first.tokens[number] for number in (1, 2, 10)]
    assert (second.export, second.signer, second.tokens) == (2, "bob@x", {})


def test_no_folder_and_a_file_in_its_place(tmp_path: Path) -> None:
    empty = read_folder(tmp_path / "a.sig")
    assert (empty.signatures, empty.strays) == ((), ())
    (tmp_path / "a.sig").write_text("")
    with pytest.raises(SelectionError, match=r"a\.sig is no folder"):
        read_folder(tmp_path / "a.sig")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(MAX_SIZE))
    assert len(read_file(path)) == MAX_SIZE
    path.write_bytes(bytes(MAX_SIZE + 1))
    with pytest.raises(ValueError, match=f"more than {MAX_SIZE} bytes"):
        read_file(path)
