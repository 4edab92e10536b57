"""README.txt tells the truth: its shell commands, run as they stand there, check an archive and give the bytes."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.blobs import Blobs
from tests.support.memory_source import MemoryOptions, export

PACKAGES = {
    "bash": "bash",
    "unzip": "unzip",
    "zstd": "zstd",
    "sha256sum": "coreutils",
    "cmp": "diffutils",
    "head": "coreutils",
    "tail": "coreutils",
}


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    missing = sorted({package for tool, package in PACKAGES.items() if shutil.which(tool) is None})
    if missing:
        pytest.fail(f"README.txt needs tools that are not here: install the packages {', '.join(missing)}")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a single file of two exports, named as in README.txt."""
    path = tmp_path_factory.mktemp("readme") / "NAME.mlfa"
    export(path, MemoryOptions(runs=4, sizes=(300, 0, 9_000_000), distinct=2))
    export(path, MemoryOptions(runs=5, sizes=(300, 0, 9_000_000), distinct=2, changed=frozenset({1})), append=True)
    return path


@pytest.fixture(scope="module")
def unpacked(archive: Path) -> Path:
    """Return the folder that the README's own unzip command makes."""
    unzip, *_ = commands(shell("unzip -p NAME.mlfa README.txt", archive.parent).decode())
    assert unzip.startswith("unzip ")
    shell(unzip, archive.parent)
    return archive.parent / "NAME"


def shell(command: str, folder: Path, **variables: Any) -> bytes:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", **{name: str(value) for name, value in variables.items()}}
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, f"exit {done.returncode}: {command}: {done.stderr.decode()}"
    return done.stdout


def commands(readme: str) -> list[str]:
    """Return the indented commands of README.txt, continued lines joined."""
    joined = readme.replace("\\\n", " ")
    return [line.strip() for line in re.findall(r"^    (?:unzip|sha256sum|cmp|tail) .*$", joined, flags=re.MULTILINE)]


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    """Read a table as README.txt says: any Parquet reader, all files."""
    return [row for path in sorted(folder.glob(f"tables/{table}/*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_readme_has_four_commands(unpacked: Path) -> None:
    found = commands((unpacked / "README.txt").read_text("ascii"))
    assert [command.split()[0] for command in found] == ["unzip", "sha256sum", "cmp", "tail"]


def test_check_commands_accept_the_archive_and_find_a_change(unpacked: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(unpacked, folder)
    _, check, compare, _ = commands((folder / "README.txt").read_text("ascii"))
    shell(check, folder)
    shell(compare, folder)
    pack = folder / "packs/0001-00000.zst"
    pack.write_bytes(pack.read_bytes()[:-1] + b"\0")
    with pytest.raises(AssertionError, match="did NOT match"):
        shell(check, folder)
    (folder / "manifest.json").write_bytes(b"{}")
    with pytest.raises(AssertionError, match="exit 1: cmp"):
        shell(compare, folder)


def test_pieces_give_the_bytes_of_every_artifact(archive: Path, unpacked: Path) -> None:
    *_, piece = commands((unpacked / "README.txt").read_text("ascii"))
    index = rows(unpacked, "blobs")
    digests = {row["digest"] for row in rows(unpacked, "artifacts")}
    sizes = set()
    with open_archive(archive) as ours:
        blobs = Blobs(ours)
        for digest in sorted(digests):
            data = b""
            for row in sorted((row for row in index if row["digest"] == digest), key=lambda row: row["raw_offset"]):
                numbers = {name: value for name, value in row.items() if isinstance(value, int)}
                data += shell(piece.replace("PACK", row["pack"]), unpacked, **numbers)
            assert hashlib.sha256(data).hexdigest() == digest
            assert blobs.open(digest).read() == data
            sizes.add(len(data))
    assert sizes == {0, 300, 9_000_000}


def test_whole_pack_decodes(unpacked: Path) -> None:
    data = io.BytesIO(shell("zstd -dc packs/0001-00000.zst", unpacked)).read()
    index = rows(unpacked, "blobs")
    assert len(data) >= sum(row["raw_size"] for row in index if row["pack"] == "packs/0001-00000.zst")
