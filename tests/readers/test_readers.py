"""What docs/other-readers.md says of other programs, tried: ``make test-readers`` installs them."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.writer.export import ArchiveSink
from tests.cli.conftest import PARENT
from tests.cli.conftest import source as churn
from tests.readers.read_with import point
from tests.support.chunks import ChunkSource, chunk, experiment, points
from tests.support.chunks import run as run_row

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / ".venv-readers"
PYTHON = PACKAGES / "bin" / "python"
SCRIPT = Path(__file__).with_name("read_with.py")
ODD = [math.nan, math.inf, -math.inf, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 0.1]
NODE = shutil.which("node")


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """One archive in both forms, and what is in it."""

    folder: Path
    file: Path
    counts: dict[str, int]
    points: list[str]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Return an archive with every value that is odd, and with many points, so that they lie on several pages."""
    folder = tmp_path_factory.mktemp("readers")
    rows = points("2" * 32, "odd", ODD) + points("2" * 32, "many", [step / 7 for step in range(50_000)])
    more = chunk(experiments=[experiment("9", "odd")]), chunk(runs=[run_row("2" * 32, "9")], metrics=rows)
    shards = [*churn()._shards, *((number, [one]) for number, one in enumerate(more, start=3))]
    copy(ChunkSource(*shards), ArchiveSink(folder / "a.mlfa", tool="test", clock_ms=lambda: 0), jobs=1)
    with zipfile.ZipFile(folder / "a.mlfa") as members:
        members.extractall(folder / "a")
    with open_archive(folder / "a.mlfa") as opened:
        tables = {member.path.split("/")[1] for member in opened.manifest.members if member.kind == "table"}
        counts = {name: sum(rows.num_rows for rows in opened.batches(name)) for name in sorted(tables)}
        expected = sorted(point(row) for rows in opened.batches("metrics") for row in rows.to_pylist())
    return Both(folder=folder / "a", file=folder / "a.mlfa", counts=counts, points=expected)


def read(*command: object, tables: dict[str, int]) -> Any:
    """Return what a reader prints."""
    done = subprocess.run([*map(str, command), *tables], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("reader", ["pyarrow", "pandas", "polars", "duckdb", "datafusion"])
def test_every_table_and_value_is_read(reader: str, archive: Both) -> None:
    said = read(PYTHON, SCRIPT, reader, archive.folder, tables=archive.counts)
    assert (said["counts"], said["points"]) == (archive.counts, archive.points)


def test_pandas_reads_the_single_file(archive: Both) -> None:
    said = read(PYTHON, SCRIPT, "pandas", archive.file, tables=archive.counts)
    assert (said["counts"], said["points"]) == (archive.counts, archive.points)


def test_fastparquet_refuses_metrics(archive: Both) -> None:
    """The day that it does not, the page is to say so."""
    command = [str(PYTHON), str(SCRIPT), "fastparquet", str(archive.folder), "runs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Encoding 9" in done.stderr or "NotImplementedError" in done.stderr


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_hyparquet_reads_every_table_and_value(archive: Both) -> None:
    script = SCRIPT.with_suffix(".mjs")
    said = read(NODE, script, PACKAGES, archive.folder, tables=archive.counts)
    assert (said["counts"], said["points"]) == (archive.counts, archive.points)


def test_a_pack_is_read_whole_by_open_and_not_by_decompress(archive: Both) -> None:
    code = (
        "import sys, zstandard\n"
        "data = zstandard.open(sys.argv[1]).read()\n"
        "try: short = zstandard.ZstdDecompressor().decompress(open(sys.argv[1], 'rb').read())\n"
        "except zstandard.ZstdError: short = b''\n"
        "print(len(data), len(short) < len(data))\n"
    )
    pack = next((archive.folder / "packs").iterdir())
    done = subprocess.run([PYTHON, "-c", code, pack], capture_output=True, text=True, check=True)
    with open_archive(archive.file) as opened:
        size = sum(sum(rows["raw_size"].to_pylist()) for rows in opened.batches("blobs"))
    assert done.stdout.split() == [str(size), "True"]


def test_a_flipped_bit_is_found_by_its_checksum_only(archive: Both, tmp_path: Path) -> None:
    """No reader says a word of most of them; ``sha256sum -c`` does of each."""
    copied = shutil.copytree(archive.folder, tmp_path / "a")
    part = max((copied / "tables" / "metrics").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    done = subprocess.run(
        ["sha256sum", "--quiet", "-c", "checksums.sha256"], cwd=copied, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert part.name in done.stdout


def test_pieces_of_split_are_joined_by_cat(archive: Both, tmp_path: Path) -> None:
    command = f"split -b 100K {archive.file} part. && cat part.* > b.mlfa && cmp b.mlfa {archive.file}"
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert len(list(tmp_path.glob("part.*"))) > 1
    assert PARENT in "".join(archive.points)
