"""Promise 5: hostile archives get a clear refusal, nothing outside is read or written, nothing hangs."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mlflow_archive.errors import ArchiveError, DamagedError, NotAnArchiveError
from mlflow_archive.format import zipfile64
from mlflow_archive.format.manifest import MAX_MANIFEST_SIZE
from mlflow_archive.format.packs import compressor, decode_frame
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.verification.checks import verify
from tests.hostile.base import sound_twice
from tests.hostile.contents import as_single_file, taken_apart
from tests.support.memory_source import MemoryOptions, export

OPTIONS = MemoryOptions(runs=2, sizes=(10,))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export(tmp_path / "a", OPTIONS)
    return tmp_path / "a"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "tables/../../x", "A/b", "a//b", "a\\b", ""])
def test_names_that_escape(folder: Path, name: str) -> None:
    for copy in ("manifest.json", "manifests/0001.json"):
        path = folder / copy
        path.write_bytes(path.read_bytes().replace(b'"packs/0001-00000.zst"', f'"{name}"'.encode()))
    with pytest.raises(DamagedError, match=r"E0(15|02|06)"):
        open_archive(folder)


def test_a_part_without_rows_holds_nothing(tmp_path: Path) -> None:
    """Writers make none. In a later export it takes the place of no entity of an earlier one."""
    contents = taken_apart(sound_twice())
    for name in ("runs", "skills"):
        contents.tables[contents.part(name)] = contents.tables[contents.part(name)].slice(0, 0)
    (tmp_path / "a.mlfa").write_bytes(as_single_file(contents.build()))
    with open_archive(tmp_path / "a.mlfa") as archive:
        assert archive.table("runs")["run_name"].to_pylist() == ["first", "second", "before"]
        assert archive.table("skill_tags").num_rows == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda z: z.writestr("manifest.json", b"x" * 1000, zipfile.ZIP_DEFLATED),
        lambda z: z.writestr("../manifest.json", b"{}"),
        lambda z: z.writestr("manifest.json", b"{}"),
    ],
    ids=["compressed", "outside", "no-zip64"],
)
def test_zip_of_another_make(tmp_path: Path, write: Callable[[zipfile.ZipFile], None]) -> None:
    path = tmp_path / "a.mlfa"
    with zipfile.ZipFile(path, "w") as file:
        write(file)
    with pytest.raises(ArchiveError, match="E0"):
        open_archive(path)


def _single(path: Path, entries: list[zipfile64.Entry], body: bytes) -> None:
    path.write_bytes(body + zipfile64.central_directory(entries, len(body)))


@pytest.mark.parametrize(
    ("code", "sizes", "names"),
    [
        ("E022", (1 << 63, 1 << 63, 1 << 63), ("a", "b", "c")),
        ("E016", (0, 0), ("a", "a")),
        ("E015", (0,), ("../a",)),
        ("E022", (1 << 40,), ("a",)),
    ],
)
def test_lying_directory_of_a_single_file(
    tmp_path: Path, code: str, sizes: tuple[int, ...], names: tuple[str, ...]
) -> None:
    entries, body = [], b""
    for name, size in zip(names, sizes, strict=True):
        at = len(body)
        body += zipfile64.local_header(name, size, 0, at)
        entries.append(zipfile64.Entry(name=name, size=size, crc32=0, header_offset=at, data_offset=len(body)))
    _single(tmp_path / "a.mlfa", entries, body)
    with pytest.raises(DamagedError, match=code):
        open_archive(tmp_path / "a.mlfa")


def test_overlapping_members(tmp_path: Path) -> None:
    header = zipfile64.local_header("a", 0, 0, 0)
    entry = zipfile64.Entry(name="a", size=0, crc32=0, header_offset=0, data_offset=len(header))
    other = zipfile64.Entry(name="b", size=0, crc32=0, header_offset=0, data_offset=len(header))
    _single(tmp_path / "a.mlfa", [entry, other], header)
    with pytest.raises(DamagedError, match="E022"):
        open_archive(tmp_path / "a.mlfa")


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    part = folder / "tables" / "runs" / "0001-00000.parquet"
    part.rename(tmp_path / "outside.parquet")
    part.symlink_to(tmp_path / "outside.parquet")
    report = verify(folder)
    assert "E010" in {problem.code for problem in report.problems}
    with open_archive(folder) as archive, pytest.raises(DamagedError, match="E010"):
        archive.table("runs")


def test_a_linked_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "tables").rename(tmp_path / "elsewhere")
    (folder / "tables").symlink_to(tmp_path / "elsewhere")
    with open_archive(folder) as archive, pytest.raises(DamagedError, match="E010"):
        archive.table("runs")


@pytest.mark.timeout(20)
def test_pipes_do_not_hang(folder: Path, tmp_path: Path) -> None:
    part = folder / "packs" / "0001-00000.zst"
    part.unlink()
    os.mkfifo(part)
    assert "E010" in {problem.code for problem in verify(folder).problems}
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    assert not verify(folder).ok
    os.mkfifo(tmp_path / "pipe.mlfa")
    with pytest.raises(NotAnArchiveError, match="neither a regular file"):
        open_archive(tmp_path / "pipe.mlfa")


def test_a_huge_manifest_is_not_read(folder: Path) -> None:
    with (folder / "manifest.json").open("r+b") as file:
        file.truncate(MAX_MANIFEST_SIZE * 1000)
    with pytest.raises(DamagedError, match="E002"):
        open_archive(folder)


@pytest.mark.parametrize("text", ['{"a":NaN}', '{"format":{"a":1e999}}', "[" * 100_000, '{"a":1,"a":1}', "\xff", ""])
def test_manifests_that_are_no_manifests(folder: Path, text: str) -> None:
    for copy in ("manifest.json", "manifests/0001.json"):
        (folder / copy).write_bytes(text.encode("latin-1"))
    with pytest.raises(ArchiveError, match=r"E00\d"):
        open_archive(folder)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = compressor(1).compress(bytes(200_000_000))
    with pytest.raises(DamagedError, match="E045"):
        decode_frame(bomb, 100, where="here")
    with pytest.raises(DamagedError, match="E045"):
        decode_frame(bomb, 200_000_000, where="here")
    lying = bytearray(compressor(1).compress(b"x" * 1000))
    lying[5:7] = struct.pack("<H", 10)
    with pytest.raises(DamagedError):
        decode_frame(bytes(lying), 10, where="here")
