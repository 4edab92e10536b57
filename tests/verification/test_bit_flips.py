"""Promise 2: one flipped bit anywhere is found by level full, named, and leaves everything else readable."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.errors import ArchiveError, DamagedError
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.verification.checks import verify
from tests.support.cuts import every
from tests.support.memory_source import Content, MemoryOptions, content_of, export, run_id

OPTIONS = MemoryOptions(runs=4, points=3, sizes=(60, 0), gaps=frozenset({2}))
SAMPLES_PER_MEMBER = 24 // every(6)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    export(folder / "a", OPTIONS)
    export(folder / "a.mlfa", OPTIONS)
    return folder


def positions_to_hit(size: int, count: int = SAMPLES_PER_MEMBER) -> list[int]:
    """Return positions all over, the first and last ones among them."""
    first, last = range(0, min(4, size), every(6)), range(max(0, size - 12), size, every(6))
    return sorted({*first, *last, *range(0, size, max(1, size // count))})


def _check(path: Path, expected: Content, where: object) -> None:
    """Check that the damage is found, and that what can be read at all is right."""
    try:
        report = verify(path)
    except ArchiveError:
        return
    assert not report.ok, where
    hit = {(lost.id, lost.path) for lost in report.lost}
    with open_archive(path) as archive:
        _check_reading(archive, expected, hit, where)


def _check_reading(archive: Archive, expected: Content, hit: set[tuple[str, str]], where: object) -> None:
    for name in ("runs", "params", "tags", "metrics", "dataset_inputs", "artifacts", "experiments"):
        try:
            rows = archive.table(name).to_pylist()
        except DamagedError:
            assert hit, where
            continue
        assert sorted(repr(sorted(row.items())) for row in rows) == expected.rows[name], where
    blobs = Blobs(archive)
    try:
        artifacts = archive.table("artifacts").to_pylist()
    except DamagedError:
        return
    for row in artifacts:
        try:
            with blobs.open(row["digest"]) as stream:
                assert len(stream.read()) == row["size"], where
        except DamagedError:
            assert (row["owner_id"], row["path"]) in hit or (row["owner_id"], "") in hit, where


def test_in_every_member_of_a_directory(whole: Path) -> None:
    path, expected = whole / "a", content_of(whole / "a")
    for member in sorted(p for p in path.rglob("*") if p.is_file()):
        data = member.read_bytes()
        for at in positions_to_hit(len(data)):
            damaged = bytearray(data)
            damaged[at] ^= 1 << (at * 5 + 3) % 8
            member.write_bytes(damaged)
            _check(path, expected, (member.name, at))
        member.write_bytes(data)
    assert verify(path).problems == []


def test_all_over_a_single_file(whole: Path) -> None:
    path, expected = whole / "a.mlfa", content_of(whole / "a.mlfa")
    data = path.read_bytes()
    for at in positions_to_hit(len(data), 400 // every(6)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << (at * 5 + 3) % 8
        path.write_bytes(damaged)
        _check(path, expected, at)
    path.write_bytes(data)
    assert verify(path).problems == []


def test_a_hit_frame_loses_its_artifacts_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "a"
    export(path, MemoryOptions(runs=6, sizes=(500,), runs_per_shard=1), jobs=1)
    with open_archive(path) as archive:
        frames = archive.table("blobs").to_pylist()
        owners = {row["digest"]: (row["owner_id"], row["path"]) for row in archive.table("artifacts").to_pylist()}
    assert len(frames) == 6
    for row in frames:
        pack = path / row["pack"]
        data = pack.read_bytes()
        damaged = bytearray(data)
        damaged[row["frame_offset"] + row["frame_size"] // 2] ^= 4
        pack.write_bytes(damaged)
        report = verify(path)
        assert {(lost.id, lost.path) for lost in report.lost} == {owners[row["digest"]]}
        with open_archive(path) as archive:
            for digest in owners:
                if digest == row["digest"]:
                    with pytest.raises(DamagedError):
                        Blobs(archive).open(digest)
                else:
                    Blobs(archive).open(digest).close()
        pack.write_bytes(data)


def test_a_damaged_label_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    export(path, MemoryOptions(runs=3, sizes=(500,), runs_per_shard=1), jobs=1)
    pack = path / "packs" / "0001-00000.zst"
    damaged = bytearray(pack.read_bytes())
    damaged[20] ^= 1
    pack.write_bytes(damaged)
    report = verify(path)
    assert "E041" in {problem.code for problem in report.problems}
    assert report.lost == set()


def test_runs_of_a_damaged_part_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a"
    export(path, OPTIONS)
    part = path / "tables" / "params" / "0001-00000.parquet"
    damaged = bytearray(part.read_bytes())
    damaged[30] ^= 1
    part.write_bytes(damaged)
    assert {lost.id for lost in verify(path).lost} == {run_id(number) for number in range(4)}


def test_a_newer_version_by_damage_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    export(path, OPTIONS)
    manifest = path / "manifest.json"
    data = manifest.read_bytes()
    manifest.write_bytes(data.replace(b'"major":1', b'"major":3'))
    with open_archive(path) as archive:
        assert [problem.code for problem in archive.problems] == ["E002"]
    assert not verify(path).ok


def test_a_manifest_that_is_gone_is_read_from_its_copy(tmp_path: Path) -> None:
    path = tmp_path / "a"
    export(path, OPTIONS)
    (path / "manifest.json").unlink()
    assert content_of(path).rows["runs"]
    assert {problem.code for problem in verify(path).problems} == {"E010"}
