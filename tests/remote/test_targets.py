"""Which target an export into a bucket has, and what it continues there."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.storage.files import Files
from mlflow_archive.writer.bucket_target import BucketFileTarget, BucketTarget
from mlflow_archive.writer.target import ArchiveTarget
from mlflow_archive.writer.target_place import base_at, target_at
from tests.spec.drafts import Draft, build, write_directory
from tests.support.counted_store import CountedBucket


@pytest.mark.parametrize(
    ("place", "made"),
    [
        (RemotePlace("s3://bucket/x"), BucketTarget),
        (RemotePlace("s3://bucket/x.mlfa"), BucketFileTarget),
        (Path("x.mlfa"), ArchiveTarget),
    ],
)
@pytest.mark.parametrize("of_base", [False, True])
def test_a_delta_continues_its_base_wherever_it_is_written(
    counted: CountedBucket, tmp_path: Path, place: RemotePlace | Path, made: type[ArchiveTarget], *, of_base: bool
) -> None:
    write_directory(build(Draft()), tmp_path / "base")
    with open_archive(tmp_path / "base") as archive:
        held = archive.id
    at = tmp_path / place if isinstance(place, Path) else place
    base = tmp_path / "base" if of_base else None
    with closing(target_at(at, append=False, files=Files(), of_base=base)) as target:
        assert type(target) is made
        found = None if target.base is None else target.base.id
        assert (target.is_delta, found, target.export_number) == ((True, held, 2) if of_base else (False, None, 1))
    continued = base_at(at, append=False, files=Files(), of_base=base)
    assert (continued and continued.id) == (held if of_base else None)
    if continued is not None:
        continued.close()
    assert [request.verb for request in counted.requests if request.verb not in ("list", "head")] == []


def test_a_web_server_is_only_read_from() -> None:
    with pytest.raises(SelectionError) as refused:
        target_at(RemotePlace("https://host/x"), append=False, files=Files())
    assert str(refused.value) == (
        "https://host/x: an archive is only read from a web server; write it to a path or a bucket"
    )
