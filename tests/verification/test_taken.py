"""What an import or restore takes is checked before anything is written, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.verification.taken import check_taken
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from mlflow_archive_cli.main import run as run_command
from tests.spec.make_vectors import VECTORS
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, run

INDEX: dict[str, dict[str, Any]] = json.loads((VECTORS / "vectors.json").read_text("utf-8"))
CHECKED = ("E035", "E043", "E044", "E050", "E051", "E052")
FAULTY = sorted(name for name in INDEX if name.partition("/")[2][:4] in CHECKED)
A, B = "a" * 32, "b" * 32


@pytest.mark.parametrize("name", FAULTY)
def test_what_verify_calls_damaged_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    codes = INDEX[name]["codes"]
    with open_archive(VECTORS / name) as archive, pytest.raises(DamagedError) as caught:
        check_taken(archive)
    assert caught.value.code in codes


@pytest.mark.parametrize("name", sorted(name for name in INDEX if name.startswith("valid/")))
def test_what_is_valid_is_taken(name: str) -> None:
    with open_archive(VECTORS / name) as archive:
        check_taken(archive)


def test_both_commands_end_with_12_and_make_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    damaged = next(str(VECTORS / name) for name in FAULTY if "E051" in name)
    target = f"sqlite:///{tmp_path / 't.db'}"
    assert run_command(["import", damaged, "--to", target, "--artifact-root", str(tmp_path / "root")]) == 12
    assert run_command(["restore", damaged, "--to", target, "--artifact-root", str(tmp_path / "root")]) == 12
    assert "E051" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_of_one_run_only_what_it_needs_is_hashed(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    for run_id in (A, B):
        source = ChunkSource(
            (0, [chunk(experiments=[experiment("1", "e")])]),
            (1, [chunk([artifact(run_id, "f", run_id.encode() * 999)], runs=[run(run_id, "1", run_name="r")])]),
        )
        options = ArchiveOptions(append=run_id == B)
        copy(source, ArchiveSink(path, options, tool="t 1", clock_ms=lambda: 0))
    [pack] = (path / "packs").glob("0002-*")
    data = bytearray(pack.read_bytes())
    data[-1] ^= 1
    pack.write_bytes(data)
    with open_archive(path) as archive:
        check_taken(archive, Selection(runs=(A,)))
        check_taken(archive, Selection(artifacts=False))
        for selection in (Selection(), Selection(runs=(B,))):
            with pytest.raises(DamagedError, match="E012") as caught:
                check_taken(archive, selection)
            assert caught.value.member == f"packs/{pack.name}"
