"""An export into a bucket by workers, each of which puts what it wrote there itself."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.storage.files import Files
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.bucket_target import BucketTarget
from mlflow_archive.writer.packs import WrittenPack
from mlflow_archive.writer.parcel import Parcel
from mlflow_archive.writer.staged import StagedBlock
from mlflow_archive.writer.staging import Staging
from tests.support.counted_store import CountedBucket
from tests.support.memory_source import MemoryOptions, content, content_of, export
from tests.support.workers import SendingPool, export_by

PLACE = RemotePlace("s3://bucket/deep/backup")
FIRST = MemoryOptions(runs=3, points=2, runs_per_shard=1)
SECOND = MemoryOptions(runs=5, points=2, changed=frozenset({1}), runs_per_shard=2)


def names(bucket: CountedBucket) -> set[str]:
    return {entry["path"].removeprefix("deep/backup/") for entry in bucket.objects.list().collect()}


def test_it_holds_what_an_export_by_threads_holds_and_nothing_else_is_left(
    counted: CountedBucket, tmp_path: Path
) -> None:
    export(tmp_path / "local", FIRST)
    export_by(PLACE.uri, SendingPool(1), FIRST)
    with open_archive(PLACE) as archive:
        assert content(archive) == content_of(tmp_path / "local")
    export(tmp_path / "local", SECOND, append=True)
    export_by(PLACE.uri, SendingPool(1), SECOND, append=True)
    with open_archive(PLACE) as archive:
        assert content(archive) == content_of(tmp_path / "local")
        listed = {member.path for member in archive.manifest.members}
    assert names(counted) == listed | {"manifest.json", "checksums.sha256", "manifests/0002.json"}
    assert verify(PLACE).problems == []


BLOCK = StagedBlock(table="runs", run=1, low="a", high="b", nbytes=1, offset=0, size=1, crc=0)
PACKS = (
    WrittenPack(name="packs/0001-10000-ab.zst", size=3, sha256="0" * 64),
    WrittenPack(name="packs/0001-10001-ab.zst", size=4, sha256="0" * 64),
)


def parcel(*packs: WrittenPack, blocks: tuple[StagedBlock, ...] = (BLOCK,)) -> Parcel:
    return Parcel(token="ab", blocks=blocks, packs=packs, large=frozenset(), counts={}, notes=(), gaps=())  # noqa: S106


def test_the_packs_of_a_parcel_are_there_whole_or_it_is_refused(counted: CountedBucket, tmp_path: Path) -> None:
    target, staging = BucketTarget(PLACE, append=False, files=Files()), Staging(Files(), tmp_path, 1)
    staging.folder.mkdir()
    for name, data in ((PACKS[0].name, b"abc"), (PACKS[1].name, b"abc"), ("tables/0001-ab.rows", b"rows")):
        counted.objects.put(f"deep/backup/{name}", data)
    with closing(target):
        assert target.take(parcel(blocks=()), staging) is None
        with pytest.raises(TargetError) as caught:
            target.take(parcel(*PACKS), staging)
        assert str(caught.value) == "s3://bucket/deep/backup/packs/0001-10001-ab.zst has 3 bytes, expected 4"
        rows = target.take(parcel(PACKS[0]), staging)
        assert rows == staging.folder / "ab"
        assert rows.read_bytes() == b"rows"
        target.forget(parcel(blocks=()), staging)
        assert "tables/0001-ab.rows" in names(counted)
        target.forget(parcel(PACKS[0]), staging)
        assert names(counted) == {pack.name for pack in PACKS}
