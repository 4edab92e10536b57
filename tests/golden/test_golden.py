"""Archives of every released version stay readable, as they were made; those of a later one are refused."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest

from mlflow_archive.errors import FormatTooNewError
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.reader.unknown_tables import read_unknown_table, unknown_tables
from mlflow_archive.verification.checks import verify
from tests.conformance import independent_reader
from tests.support.mlruns import Store, write_store
from tests.support.reading import plain_rows

HERE: Final = Path(__file__).resolve().parent
GOLDEN: Final = (
    *("v1-directory", "v1-single.mlfa", "v1-two-exports.mlfa", "v1-oddities.mlfa"),
    *("v1_1-two-exports.mlfa", "v1_1-skills.mlfa", "v1_2-settled.mlfa"),
    *("v1_3-two-exports.mlfa", "v1_4-delta.mlfa", "v1_5-compacted.mlfa", "v1_6-redacted.mlfa"),
)
BASES: Final = {"v1_4-delta.mlfa": "v1-oddities.mlfa"}
"""Of each delta the archive that it was made of, beside which its content is read."""
FUTURE: Final = {
    "from-the-future.mlfa": ("E004", "quantum-blobs"),
    "from-the-future-major2": ("E003", "2.0"),
}


def base_of(name: str) -> Path | None:
    """Return the base of a delta, None where an archive is whole."""
    return HERE / BASES[name] if name in BASES else None


def content(archive: Archive) -> dict[str, Any]:
    """Return everything of an archive as JSON values, floats as text; each blob is read and proved."""
    blobs = Blobs(archive)
    for row in archive.table("artifacts").to_pylist():
        with blobs.open(row["digest"]) as stream:
            data = stream.read()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (row["size"], row["digest"])
    tables = {name: as_json(plain_rows(archive.table(name))) for name in TABLES}
    carried = {
        name: as_json(read_unknown_table(archive, member).to_pylist())
        for name, member in unknown_tables(archive).items()
    }
    return {"archive_id": archive.id, "tables": tables, **({"unknown_tables": carried} if carried else {})}


def as_json(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = [{key: _as_json(value) for key, value in row.items() if value is not None} for row in rows]
    return sorted(found, key=lambda row: json.dumps(row, sort_keys=True))


def _as_json(value: Any) -> Any:
    return repr(value) if isinstance(value, float) else value.hex() if isinstance(value, bytes) else value


def listed() -> dict[str, str]:
    """Return the files and their SHA-256 as README.md states them."""
    text = (HERE / "README.md").read_text("utf-8")
    return {path: sha256 for sha256, path in re.findall(r"^([0-9a-f]{64})  (\S+)$", text, flags=re.MULTILINE)}


def files_of(path: Path) -> dict[Path, str]:
    """Return the SHA-256 of each file of an archive."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def copied(name: str, folder: Path) -> Path:
    """Copy a golden archive, so that nothing can write to it."""
    path = folder / name
    if (HERE / name).is_dir():
        shutil.copytree(HERE / name, path)
    else:
        shutil.copyfile(HERE / name, path)
    return path


def test_golden_archives_are_those_that_were_made() -> None:
    there = {}
    for name in (*GOLDEN, *FUTURE):
        there.update({path.relative_to(HERE).as_posix(): sha256 for path, sha256 in files_of(HERE / name).items()})
    assert there == listed()


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_archive_reads_as_expected(name: str) -> None:
    expected = json.loads((HERE / f"{name}.expected.json").read_text("utf-8"))
    with open_archive(HERE / name, base=base_of(name)) as archive:
        found = content(archive)
    assert found["archive_id"] == expected["archive_id"]
    for table, rows in expected["tables"].items():
        assert found["tables"][table] == rows, table
    assert found.get("unknown_tables") == expected.get("unknown_tables")
    stranger = independent_reader.Archive(HERE / name, base_of(name))
    assert stranger.archive_id == expected["archive_id"]
    assert {table: as_json(stranger.rows(table)) for table in expected["tables"]} == expected["tables"]
    carried = {table: as_json(rows) for table, rows in stranger.unknown_tables().items()}
    assert carried == expected.get("unknown_tables", {})
    stranger.close()


def test_a_golden_archive_reads_as_it_was() -> None:
    """After the first of its exports it is what another golden archive is, which holds the same of that day."""
    name, same = "v1_5-compacted.mlfa", "v1_3-two-exports.mlfa"
    expected = json.loads((HERE / f"{same}.expected.json").read_text("utf-8"))["tables"]
    stranger = independent_reader.Archive(HERE / name, at=1)
    with open_archive(HERE / name, at=1) as archive:
        tables = content(archive)["tables"]
        assert stranger.archive_id == archive.id
    for table in expected.keys() - {"blobs", "fingerprints"}:  # which hold times of files
        assert tables[table] == as_json(stranger.rows(table)) == expected[table], table
    stranger.close()


@pytest.mark.parametrize("name", [name for name in GOLDEN if name.endswith(".mlfa")])
def test_members_lie_in_the_order_of_their_version(name: str) -> None:
    with zipfile.ZipFile(HERE / name) as file:
        manifest, names = json.loads(file.read("manifest.json")), file.namelist()
    copy = f"manifests/{len(manifest['exports']):04d}.json"
    kinds = ("pack", "table", "manifest", "text")
    elsewhere = manifest.get("delta", {"export": 0})["export"]
    here = [member for member in manifest["members"] if member["export"] > elsewhere]
    by_kind = [(kinds.index(m["kind"]), -m["export"], m["path"]) for m in here]
    if manifest["format"]["minor"] < 3:
        first = ["README.txt", "manifest.json", "checksums.sha256", copy]
        assert names == first + sorted({path for _, _, path in by_kind} - set(first))
    else:
        listed = [path for _, _, path in sorted(by_kind)]
        assert names == [*listed, "checksums.sha256", copy, "manifest.json"]


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_archive_is_sound(name: str) -> None:
    assert verify(HERE / name).problems == verify(HERE / name, base=base_of(name)).problems == []


@pytest.mark.parametrize("name", FUTURE)
def test_archive_from_the_future_is_refused_by_name(name: str) -> None:
    code, word = FUTURE[name]
    with pytest.raises(FormatTooNewError, match=rf"^{code}: .*{re.escape(word)}"):
        open_archive(HERE / name)


@pytest.mark.parametrize("name", FUTURE)
def test_archive_from_the_future_is_refused_before_anything_else_is_read(name: str, tmp_path: Path) -> None:
    """Whatever else there is may be noise to this version: members, checksums, all keys of the manifest but two."""
    path = copied(name, tmp_path)
    if path.is_dir():
        (path / "CONTENTS").unlink()
    else:
        data = path.read_bytes()
        garbled = data.replace(bytes(range(256)), bytes(256)).replace(b"An archive", b"No archive")
        assert garbled != data
        path.write_bytes(garbled)
    with pytest.raises(FormatTooNewError, match=rf"^{FUTURE[name][0]}: "):
        open_archive(path)
    with pytest.raises(FormatTooNewError, match=rf"^{FUTURE[name][0]}: "):
        verify(path)


COMMANDS: Final = {
    "info": ["info", "{archive}"],
    "verify": ["verify", "{archive}"],
    "export": ["export", "{archive}", "--append", "--from", "{store}"],
    "import": ["import", "{archive}", "--to", "sqlite:///{folder}/target.db"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", FUTURE)
def test_archive_from_the_future_ends_the_command_with_11(name: str, command: str, tmp_path: Path) -> None:
    write_store(Store(experiments=()), tmp_path / "mlruns")
    path = copied(name, tmp_path)
    before = files_of(path)
    places = {"archive": str(path), "store": str(tmp_path / "mlruns"), "folder": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "mlflow_archive_cli", *(word.format(**places) for word in COMMANDS[command])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 11, done.stderr
    assert FUTURE[name][1] in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    assert not (tmp_path / "target.db").exists()
    assert files_of(path) == before
