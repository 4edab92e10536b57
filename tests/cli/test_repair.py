"""``repair``: what it says, its exit codes, and the commands of the guide."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from mlflow_archive.reader.archive import open_archive
from tests.cli.conftest import PARENT, Command

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "repair.md"


def damaged(archive: Path, *, at: str, path: Path) -> Path:
    """Write a copy with some other bytes in the first page or frame of a member."""
    data = bytearray(archive.read_bytes())
    with open_archive(archive) as opened:
        member = opened.members.open(at)
        start = member._start + (30 if at.startswith("tables") else member.size // 2)
    for position in range(start, start + 4):
        data[position] ^= 0x55
    path.write_bytes(data)
    return path


def test_the_commands_of_the_guide(
    cli: Command, single_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    damaged(single_file, at="tables/params/0001-00000.parquet", path=tmp_path / "damaged.mlfa")
    damaged(single_file, at="packs/0001-00000.zst", path=tmp_path / "other.mlfa")
    lines = re.findall(r"^    mlflow-archive (.*)$", GUIDE.read_text("utf-8"), re.MULTILINE)
    calls = [shlex.split(line, comments=True) for line in lines]
    assert {" ".join(call): cli(*call).code for call in calls} == {
        "verify damaged.mlfa": 12,
        "repair damaged.mlfa --from other.mlfa -o whole.mlfa": 0,
        "repair damaged.mlfa -o salvaged.mlfa --salvage": 3,
        "sql salvaged.mlfa select owner_kind, owner_id, path, code, reason from gaps": 0,
        "verify salvaged.mlfa": 0,
    }
    assert (tmp_path / "whole.mlfa").read_bytes() == single_file.read_bytes()


def test_what_is_said(cli: Command, single_file: Path, tmp_path: Path) -> None:
    source = damaged(single_file, at="tables/params/0001-00000.parquet", path=tmp_path / "a.mlfa")
    with open_archive(single_file) as archive:
        archive_id = archive.id
    ran = cli("repair", source, "-o", tmp_path / "new", "-q")
    assert ran.code == 12
    assert ran.out.splitlines()[:2] == ["damaged in every copy:", "  tables/params/0001-00000.parquet"]
    assert f"  run {PARENT}" in ran.out.splitlines()
    assert ran.out.splitlines()[-1] == (
        "nothing was written; --from another copy may have what is missing, --salvage writes what is sound"
    )
    ran = cli("repair", source, "-o", tmp_path / "new", "--from", single_file, "-q")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "mended:",
        f"  tables/params/0001-00000.parquet: from {single_file}",
        "",
        f"{tmp_path / 'new'} is whole: archive id {archive_id}",
    ]
    ran = cli("repair", source, "-o", tmp_path / "salvaged", "--salvage", "-q", "--json")
    report = json.loads(ran.out)
    assert ran.code == 3
    assert (report["archive_id"], report["complete"], report["damaged"]) == (
        archive_id,
        False,
        ["tables/params/0001-00000.parquet"],
    )
    assert {gap["path"] for gap in report["gaps"]} == {"params"}
    assert "things are lost:" in ran.err
    ran = cli("repair", source, "-o", tmp_path / "salvaged", "-q")
    assert (ran.code, "choose another name" in ran.err) == (1, True)
