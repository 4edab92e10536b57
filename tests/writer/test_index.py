"""An index stands for its archive: a delta made with it is the one that is made with the archive."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pyarrow as pa
import pytest

import mlflow_archive as ma
from mlflow_archive.artifact_roots import ArtifactRoots
from mlflow_archive.errors import DamagedError, MlflowArchiveError, NotAnArchiveError, SelectionError, TargetError
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.format.index import KNOWN, entity_key
from mlflow_archive.mlflow_database.uris import parse_database_uri
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.database import DatabaseSource
from mlflow_archive.storage.files import Files
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from mlflow_archive.writer.index import IndexBase, _blobs, _known, write_index
from tests.support.chunks import table
from tests.support.later_database import later_database, run
from tests.support.memory_source import MemoryOptions
from tests.writer.test_delta import exported

FINGERPRINT: Final = ("fingerprint", "contents")
DAY_1 = MemoryOptions(runs=9, sizes=(300, 0), distinct=3, gaps=frozenset({2, 3}), long=frozenset({4}), points=150)
DAYS = {
    "nothing new": DAY_1,
    "changed runs": replace(DAY_1, changed=frozenset({1, 3, 4})),
    "new runs": replace(DAY_1, runs=11),
    "another gap": replace(DAY_1, gaps=frozenset({2, 3, 5})),
    "a gap less": replace(DAY_1, gaps=frozenset({2})),
    "a tag of an experiment": replace(DAY_1, experiment_tags={"team": "vision", "new": "x"}),
    "no tag of an experiment": replace(DAY_1, experiment_tags={}),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    exported(folder / "base.mlfa", DAY_1)
    ma.index(folder / "base.mlfa", folder / "base.index")
    return folder


def check_same(with_archive: Report, with_index: Report, archive: Path, index: Path) -> None:
    """Check that two deltas are one and the same, or that neither was made."""
    assert with_index.details == with_archive.details
    assert index.exists() == archive.exists() == (not with_archive.details["unchanged"])
    if archive.exists():
        assert index.read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("recheck", [False, True], ids=["", "all again"])
@pytest.mark.parametrize("day", DAYS)
def test_a_delta_of_an_index_is_that_of_the_archive(place: Path, day: str, recheck: bool, tmp_path: Path) -> None:
    made = [
        exported(tmp_path / f"{base}.mlfa", DAYS[day], ArchiveOptions(base=place / base, recheck=recheck))
        for base in ("base.mlfa", "base.index")
    ]
    check_same(made[0], made[1], tmp_path / "base.mlfa.mlfa", tmp_path / "base.index.mlfa")
    # A gap of a run that is known as it is does not show, as the run is not read.
    assert made[0].details["unchanged"] == (day in ("nothing new", "another gap") and not recheck)


GIZMOS = "CREATE TABLE gizmos (name TEXT, weight REAL, data BLOB); INSERT INTO gizmos VALUES ('ü', 0.5, x'00ff');"
CHANGES = {
    "nothing": "",
    "a tag less": "DELETE FROM skill_tags;",
    "an alias more": "INSERT INTO skill_aliases (workspace, organization, name, alias, version)"
    " VALUES ('default', '', 'review', 'next', 1);",
    "a status": "UPDATE skill_versions SET status = 'deprecated' WHERE organization <> '';",
    "an experiment": "UPDATE experiments SET name = 'another' WHERE experiment_id = 3;",
    "an unknown table": "UPDATE gizmos SET weight = 1.5;",
    "an unknown table less": "DROP TABLE gizmos;",
}


@pytest.mark.parametrize("change", CHANGES)
def test_objects_without_fingerprints_are_compared_by_their_digests(change: str, tmp_path: Path) -> None:
    database = later_database(tmp_path)
    run(database, GIZMOS)

    def export(path: Path, base: Path | None = None) -> Report:
        source = DatabaseSource(
            parse_database_uri(f"sqlite:///{database}"), roots=ArtifactRoots(artifacts_destination=f"{tmp_path}/art")
        )
        sink = ArchiveSink(path, ArchiveOptions(base=base), tool="test 1", clock_ms=lambda: 1)
        return copy(source, sink, Selection(unknown_tables=True), jobs=1)

    base, index = tmp_path / "base.mlfa", tmp_path / "base.index"
    export(base)
    ma.index(base, index)
    run(database, CHANGES[change])
    made = [export(tmp_path / "a.mlfa", base), export(tmp_path / "i.mlfa", index)]
    check_same(made[0], made[1], tmp_path / "a.mlfa", tmp_path / "i.mlfa")
    assert made[0].details["unchanged"] == (change in ("nothing", "an unknown table less"))


def test_the_index_of_a_delta_with_its_base_is_that_of_the_join(place: Path, tmp_path: Path) -> None:
    delta = tmp_path / "delta.mlfa"
    exported(delta, DAYS["new runs"], ArchiveOptions(base=place / "base.mlfa"))
    ma.join(place / "base.mlfa", tmp_path / "both.mlfa", deltas=[delta])
    ma.index(tmp_path / "both.mlfa", tmp_path / "both.index")
    report = ma.index(delta, tmp_path / "delta.index", base=place / "base.mlfa")
    assert (tmp_path / "delta.index").read_bytes() == (tmp_path / "both.index").read_bytes()
    with open_archive(tmp_path / "both.mlfa") as archive:
        size = (tmp_path / "delta.index").stat().st_size
        assert report.to_json() == {"archive_id": archive.id, "known": 11, "blobs": 4, "size": size}
    with pytest.raises(SelectionError, match=r"is a delta of the archive .*; no index is made of it"):
        ma.index(delta, tmp_path / "delta.index")


def test_an_index_is_small_and_holds_no_values(tmp_path: Path) -> None:
    sizes = {}
    for runs in (10, 110):
        exported(tmp_path / f"{runs}.mlfa", replace(DAY_1, runs=runs, sizes=(300,), distinct=10**6))
        sizes[runs] = ma.index(tmp_path / f"{runs}.mlfa", tmp_path / f"{runs}.index")
    assert sizes[110].blobs - sizes[10].blobs == 100
    assert sizes[110].size - sizes[10].size <= 100 * (70 + 36)
    data = (tmp_path / "110.index").read_bytes()
    with open_archive(tmp_path / "110.mlfa") as archive:
        names = archive.table("runs")["run_name"].to_pylist() + archive.table("artifacts")["path"].to_pylist()
    assert not [name for name in names if name and name.encode() in data]


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_damaged_index_is_refused(place: Path, tmp_path: Path) -> None:
    data = (place / "base.index").read_bytes()
    path = tmp_path / "base.index"
    for at in range(8, len(data), 7):
        path.write_bytes(damaged(data, at))
        with pytest.raises(DamagedError, match=r"E008: .*Carry it again"):
            IndexBase(path)
    for size in range(8, len(data), 101):
        path.write_bytes(data[:size])
        with pytest.raises(DamagedError, match="E008"):
            IndexBase(path)
    path.write_bytes(damaged(data, 0))
    with pytest.raises(NotAnArchiveError):
        exported(tmp_path / "delta.mlfa", DAY_1, ArchiveOptions(base=path))


def remade(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return an index with a change and a digest that is right."""
    changed = change(data[:-32])
    return changed + hashlib.sha256(changed).digest()


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "another version": (
        lambda data: data.replace(b'"version":1}', b'"version":2}'),
        r"it is of the format {.*'version': 2}, expected mlflow-archive-index of version 1",
    ),
    "no experiments": (lambda data: data.replace(b'"experiments"', b'"experiment_"'), "'experiments'"),
    "another manifest": (
        lambda data: data.replace(b'"digits"', b'"digitz"').replace(b"memory:", b"memorz:"),
        "its manifest is not that of the archive it is of",
    ),
    "no manifest": (
        lambda data: data[:8] + data[8 + 4952 :].replace(b'"manifest":4952', b'"manifest":0   '),
        "its manifest is not that of the archive it is of",
    ),
    "sizes": (
        lambda data: data.replace(b'"known":448', b'"known":512'),
        "it has [0-9]+ bytes, its parts are of another size",
    ),
    "half a record": (
        lambda data: data.replace(b'"known":448', b'"known":447'),
        "its sections known hold no whole number of records",
    ),
    "a negative size": (
        lambda data: data.replace(b'"known":448', b'"known":-64'),
        "it has [0-9]+ bytes, its parts are of another size",
    ),
    "no header": (lambda data: data[:-4] + b"\xff\xff\xff\xff", "'utf-8' codec can't decode .*"),
    "nothing": (lambda data: data[:7], "its bytes are not those that were written"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_index_that_lies_is_refused(place: Path, name: str, tmp_path: Path) -> None:
    data = (place / "base.index").read_bytes()
    path = tmp_path / "base.index"
    change, reason = HOSTILE[name]
    path.write_bytes(remade(data, change))
    assert path.read_bytes() != data
    with pytest.raises(DamagedError) as refused:
        IndexBase(path)
    ending = r"\. Carry it again, or make it anew \(`index`\)"
    assert re.fullmatch(f"E008: {re.escape(str(path))} is no sound index: {reason}{ending}", str(refused.value))


def test_what_is_not_a_digest_or_an_owner_of_gaps_is_left_out_of_an_index() -> None:
    """An archive that is not ours may have something else there: then it is as if it had nothing."""
    digest = "0f" * 32

    def batches(name: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
        if name == "blobs":
            assert columns == ["digest"]
            yield pa.table({"digest": [digest, digest, digest.upper(), "0f", ""]})
        else:
            rows = [("run", "a", digest, None), ("run", "b", "zz", None), ("trace", "a", digest, "1c" * 32)]
            yield table(name, [dict(zip(("owner_kind", "owner_id", *FINGERPRINT), row, strict=True)) for row in rows])

    archive: Any = SimpleNamespace(batches=batches)
    assert list(_blobs(archive)) == [bytes.fromhex(digest)]
    assert list(_known(archive)) == [
        KNOWN.pack(entity_key("run", "a"), bytes.fromhex(digest), bytes(16))
        + KNOWN.pack(entity_key("trace", "a"), bytes.fromhex(digest), bytes.fromhex("1c" * 16))
    ]


def test_an_index_is_written_beside_its_name_over_what_was_left_there(place: Path, tmp_path: Path) -> None:
    class Refusing(Files):
        def publish(self, temporary: Path, path: Path) -> None:
            assert (temporary.name, path.name) == ("x.index.tmp", "x.index")
            raise InterruptedError

    (tmp_path / "x.index.tmp").write_bytes(b"left")
    with open_archive(place / "base.mlfa") as archive:
        with pytest.raises(InterruptedError):
            write_index(archive, tmp_path / "x.index", files=Refusing())
        write_index(archive, tmp_path / "x.index")
    assert [file.name for file in tmp_path.iterdir()] == ["x.index"]
    assert (tmp_path / "x.index").read_bytes() == (place / "base.index").read_bytes()


def test_an_index_is_no_archive_and_replaces_none(place: Path, tmp_path: Path) -> None:
    with pytest.raises(NotAnArchiveError, match="it is the index of one, and serves only as `export --base`"):
        ma.verify(place / "base.index")
    with pytest.raises(TargetError, match="exists and is no index"):
        ma.index(place / "base.mlfa", place / "base.mlfa")
    before = (place / "base.index").read_bytes()
    ma.index(place / "base.mlfa", place / "base.index")
    assert (place / "base.index").read_bytes() == before
    with pytest.raises(MlflowArchiveError):
        ma.index(tmp_path / "none.mlfa", tmp_path / "none.index")
    assert list(tmp_path.iterdir()) == []


def test_an_index_is_not_written_into_the_archive(tmp_path: Path) -> None:
    base = tmp_path / "base"
    exported(base, MemoryOptions(runs=1))
    before = sorted(base.iterdir())
    with open_archive(base) as archive, pytest.raises(SelectionError, match="base, which is not changed"):
        write_index(archive, base / "x.index")
    assert sorted(base.iterdir()) == before


def test_a_folder_that_is_not_there_is_named(place: Path, tmp_path: Path) -> None:
    path = tmp_path / "none" / "x"
    with open_archive(place / "base.mlfa") as archive, pytest.raises(TargetError) as caught:
        write_index(archive, path)
    assert str(caught.value) == f"{path} cannot be written: there is no folder {path.parent}"
