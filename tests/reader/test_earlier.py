"""An archive as it was after one of its exports is what it was when that export had committed it."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import DamagedError, ElsewhereError, SelectionError
from mlflow_archive.format.earlier import AskedAt
from mlflow_archive.format.manifest import encode
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.writer.export import ArchiveOptions
from mlflow_archive_cli.main import run
from tests.support.counted_store import CountedBucket, lead_to
from tests.support.damage import copied
from tests.support.memory_source import content, content_of, run_id
from tests.support.three_exports import DAYS, Chain, chain_at, export


@pytest.fixture(scope="module", params=["", ".mlfa"])
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return chain_at(tmp_path_factory.mktemp("chain") / f"a{request.param}")


@pytest.mark.parametrize(
    ("at", "export"),
    [
        (1, 1),
        ("2", 2),
        (3, 3),
        ("2024-05-01", 1),
        (date(2024, 5, 2), 2),
        ("2024-05-02T11:59:59.999Z", 1),
        ("2024-05-02T14:00:00+02:00", 2),
        (datetime(2024, 5, 2, 12), 2),  # noqa: DTZ001 - without a zone it is UTC
        ("2030-01-01", 3),
    ],
)
def test_it_is_what_that_export_committed(chain: Chain, at: AskedAt, export: int) -> None:
    with open_archive(chain.path, at=at) as archive:
        assert content(archive) == chain.contents[export - 1]
        assert archive.id == chain.ids[export - 1]
        assert archive.last_export == (None if export == len(DAYS) else len(DAYS))


@pytest.mark.parametrize(
    ("at", "sentence"),
    [
        (4, r"has no export 4; it has 1 \(2024-05-01T12:00:00Z\), 2 \(2024-05-02T12:00:00Z\), 3 \(2024-05-03"),
        (0, "has no export 0; it has 1"),
        ("2024-04-30", r"has no export of 2024-04-30T23:59:59\+00:00 or before; it has 1 \(2024-05-01T12:00:00Z\)"),
        ("yesterday", "'yesterday' is neither the number of an export nor an ISO 8601 time"),
        ("2024-13-01", "'2024-13-01' is neither"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(chain: Chain, at: AskedAt, sentence: str) -> None:
    with pytest.raises(SelectionError, match=sentence):
        open_archive(chain.path, at=at)


def test_a_delta_takes_what_was_before_from_its_base(tmp_path: Path) -> None:
    base, delta = tmp_path / "base.mlfa", tmp_path / "delta.mlfa"
    export(base, 0, ArchiveOptions())
    export(delta, 1, ArchiveOptions(base=base))
    with open_archive(delta, base=base, at=1) as archive:
        assert content(archive) == content_of(base)
    with pytest.raises(
        ElsewhereError, match=r"is a delta, and manifests/0001.json lies in its base, archive .* --base"
    ):
        open_archive(delta, at=1)


def test_what_was_joined_is_whole_at_each_of_its_exports(tmp_path: Path) -> None:
    """The copy of a manifest that came with a delta is that of a delta."""
    base, delta, both = tmp_path / "base", tmp_path / "delta", tmp_path / "both"
    export(base, 0, ArchiveOptions())
    export(delta, 1, ArchiveOptions(base=base))
    with open_archive(delta, base=base) as joined:
        expected, archive_id = content(joined), joined.id
    ma.join(base, both, deltas=[delta])
    export(both, 2, ArchiveOptions(append=True))
    with open_archive(both, at=2) as archive:
        assert (archive.manifest.delta, archive.id, content(archive)) == (None, archive_id, expected)


def test_in_a_bucket_it_is_the_same(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = CountedBucket()
    lead_to(bucket, monkeypatch)
    bucket.upload(chain.path, chain.path.name)
    with open_archive(f"s3://bucket/{chain.path.name}", at=2) as archive:
        assert content(archive) == chain.contents[1]


def test_a_damaged_manifest_of_then_is_told(chain: Chain, tmp_path: Path) -> None:
    path = copied(chain.path, tmp_path / chain.path.name)
    with open_archive(chain.path, at=1) as archive:
        manifest = encode(archive.manifest)
    file = path / "manifests" / "0001.json" if path.is_dir() else path
    file.write_bytes(file.read_bytes().replace(manifest, manifest.replace(b'"test 1"', b'"test 2"')))
    with pytest.raises(DamagedError, match=r"E012: manifests/0001.json is not there as it was committed"):
        open_archive(path, at=1)


def test_what_a_salvage_has_written_anew_is_not_taken_for_what_was(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for day in range(2):
        export(path, day, ArchiveOptions(append=day > 0))
    part = next((path / "tables" / "params").glob("0001-*"))
    part.write_bytes(part.read_bytes()[:40] + b"?" + part.read_bytes()[41:])
    ma.repair(path, tmp_path / "new", salvage=True)
    with pytest.raises(SelectionError, match=r"export 1 is not there any more: tables/\w+/0001-00000.parquet is"):
        open_archive(tmp_path / "new", at=1)


def test_commands_show_it(chain: Chain, capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    def told(*arguments: str) -> str:
        assert run([arguments[0], str(chain.path), *arguments[1:], "--at", "1"]) == 0
        return capsysbinary.readouterr().out.decode("utf-8", "replace")

    shown = told("info", "--json")
    assert (json.loads(shown)["counts"]["runs"], json.loads(shown)["last_export"]) == (4, 3)
    assert "after export 1 of 3" in told("info")
    assert len(told("ls", "runs", "--json").splitlines()) == 4
    assert '"new"' not in told("show", run_id(1), "--json")
    assert "loss" in told("history", run_id(1), "--csv")
    assert told("sql", "select count(*) as n from runs", "--json") == '{"n": 4}\n'
    assert "1 file" in told("tree", run_id(1))
    before = told("cat", f"{run_id(1)}/model/file 0.bin")
    told("extract", run_id(1), "--to", str(tmp_path / "out"))
    assert (tmp_path / "out" / "model" / "file 0.bin").read_bytes().decode("utf-8", "replace") == before
    told("report", "-o", str(tmp_path / "r.html"))
    assert "after export 1 of 3; the check is of all of it" in (tmp_path / "r.html").read_text("utf-8")
    assert run(["info", str(chain.path), "--at", "yesterday"]) == 2
    assert "'yesterday' is neither the number of an export" in capsysbinary.readouterr().err.decode()
    with ma.open(chain.path, at=1) as archive:
        assert archive.runs.count_rows() == 4


def test_a_restore_takes_it(tmp_path: Path) -> None:
    chain = chain_at(tmp_path / "a.mlfa")
    store = f"sqlite:///{tmp_path}/m.db"
    report = ma.restore(chain.path, store, ma.RestoreOptions(artifact_root=str(tmp_path / "files")), at=1)
    assert report.counts["runs"] == 4
