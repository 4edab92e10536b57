"""extract: what is written, what is kept, and that nothing leaves the target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from mlflow_archive.errors import ItemError
from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.inspection.extract import Item, check_paths, extract, path_parts
from mlflow_archive.reader.inspection.listing import list_artifacts
from mlflow_archive.writer.export import ArchiveSink
from tests.cli.conftest import CHILD, PARENT, Command
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, run


def hostile(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write an archive with one run that has these artifacts, whatever their names are."""
    rows = chunk([artifact(PARENT, name, data) for name, data in files.items()], runs=[run(PARENT, "1")])
    source = ChunkSource((0, [chunk(experiments=[experiment("1", "x")])]), (1, [rows]))
    copy(source, ArchiveSink(path, tool="test", clock_ms=lambda: 0), jobs=1)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_extract_a_run(cli: Command, archive: Path, tmp_path: Path) -> None:
    ran = cli("extract", archive, "parent", "--to", tmp_path / "to")
    assert (ran.code, ran.out, ran.err) == (0, f"files written: 2 (12 bytes), to {tmp_path / 'to'}\n", "")
    assert tree(tmp_path / "to") == {"empty": b"", "model/MLmodel": b"flavors: {}\n"}


def test_extract_of_several_runs_makes_a_folder_for_each(cli: Command, archive: Path, tmp_path: Path) -> None:
    assert cli("extract", archive, "parent/model", "child", "--to", tmp_path).code == 0
    assert set(tree(tmp_path)) == {f"{PARENT}/model/MLmodel", f"{CHILD}/plot 1.png"}


def test_a_path_that_is_not_there(cli: Command, single_file: Path, tmp_path: Path) -> None:
    ran = cli("extract", single_file, "parent/mod", "--to", tmp_path)
    assert ran.code == 2
    assert ran.err == f"mlflow-archive: run {PARENT} has no artifact at or below 'mod'\n"


def test_files_that_are_there(cli: Command, single_file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_bytes(b"mine")
    ran = cli("extract", single_file, "parent", "--to", tmp_path)
    assert ran.code == 3
    assert ran.out == f"files written: 0 (0 bytes), to {tmp_path}; there already: 1\n"
    assert ran.err == (
        "1 artifacts were not written:\n"
        "  model/MLmodel: a file with other content is there already; use --overwrite to replace it\n"
    )
    assert tree(tmp_path)["model/MLmodel"] == b"mine"
    assert cli("extract", single_file, "parent", "--to", tmp_path, "--overwrite").code == 0
    assert tree(tmp_path) == {"empty": b"", "model/MLmodel": b"flavors: {}\n"}


@pytest.mark.parametrize(
    "name", ["../up", "a/../../up", "/etc/up", "a//b", "./a", "a/.", "..", "", "a\0b", "a/"], ids=ascii
)
def test_names_that_leave_the_target_are_refused(cli: Command, tmp_path: Path, name: str) -> None:
    with pytest.raises(ItemError):
        path_parts(name)
    archive = hostile(tmp_path / "h.mlfa", {name: b"evil", "good": b"fine"})
    before = set(tmp_path.rglob("*"))
    ran = cli("extract", archive, PARENT, "--to", tmp_path / "in" / "to")
    assert ran.code == 3
    assert ran.err.startswith("1 artifacts were not written:\n")
    assert tree(tmp_path / "in" / "to") == {"good": b"fine"}
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "in", tmp_path / "in/to", tmp_path / "in/to/good"}


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (["A", "a"], ["a"]),
        (["\u00e9", "e\u0301"], ["\u00e9"]),  # one letter composed, and the same letter as two
        (["a", "a/b"], ["a/b"]),
        (["A/x", "a/y"], ["a/y"]),
        (["A", "a/y"], ["a/y"]),
        (["A/x", "a"], ["a"]),
        (["stra\u00dfe", "STRASSE"], ["stra\u00dfe"]),
        (["a/x", "a/y", "b"], []),
    ],
)
def test_names_that_are_one_file_on_some_disks(names: list[str], refused: list[str]) -> None:
    items = [Item(path=name, size=0, digest="") for name in names]
    good, bad = check_paths(items)
    assert [each.path for each in bad] == refused
    assert {item.path for item in good} == set(names) - set(refused)


@pytest.mark.parametrize("where", ["folder", "file"])
def test_symlinks_in_the_target_are_not_followed(cli: Command, single_file: Path, tmp_path: Path, where: str) -> None:
    outside, target = tmp_path / "outside", tmp_path / "to"
    outside.mkdir()
    target.mkdir()
    (outside / "MLmodel").write_bytes(b"precious")
    if where == "folder":
        (target / "model").symlink_to(outside)
    else:
        (target / "model").mkdir()
        (target / "model" / "MLmodel").symlink_to(outside / "MLmodel")
    ran = cli("extract", single_file, "parent", "--to", target, "--overwrite")
    assert ran.code == 3
    assert "symlink" in ran.err
    assert tree(outside) == {"MLmodel": b"precious"}
    assert (target / "empty").read_bytes() == b""


def test_a_name_too_long_for_the_disk_does_not_stop_the_others(cli: Command, tmp_path: Path) -> None:
    archive = hostile(tmp_path / "h.mlfa", {"x" * 300: b"long", "y" * 300 + "/z": b"long", "good": b"fine"})
    assert cli("extract", archive, PARENT, "--to", tmp_path / "to").code == 3
    assert tree(tmp_path / "to") == {"good": b"fine"}


@pytest.mark.parametrize("size", [1000, 5 * 2**20], ids=["one frame", "second of two frames"])
def test_damaged_bytes_are_not_written(cli: Command, tmp_path: Path, size: int) -> None:
    archive = hostile(tmp_path / "h", {"noise": os.urandom(size)})
    pack = next((archive / "packs").iterdir())
    data = bytearray(pack.read_bytes())
    data[-500] ^= 1
    pack.write_bytes(data)
    ran = cli("extract", archive, PARENT, "--to", tmp_path / "to")
    assert ran.code == 12
    assert tree(tmp_path / "to") == {}
    assert list((tmp_path / "to").iterdir()) == []


def test_an_unwritable_target_is_one_sentence(cli: Command, single_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    ran = cli("extract", single_file, "parent", "--to", tmp_path / "file" / "to")
    assert (ran.code, ran.err) == (1, f"mlflow-archive: {tmp_path / 'file' / 'to'}: Not a directory\n")


def test_extracting_counts_bytes(single_file: Path, tmp_path: Path) -> None:
    with open_archive(single_file) as opened:
        rows = list_artifacts(opened, CHILD)
        items = [Item(path=row["path"], size=row["size"], digest=row["digest"]) for row in rows]
        assert extract(opened, items, tmp_path).size == 256 * 5000
