"""A bucket that stops answering in the middle: each command says so and fails, and never ends as if all was there."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from obstore.exceptions import GenericError
from obstore.store import ObjectStore

from mlflow_archive.errors import RemotePlaceError
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive_cli.main import run
from tests.support.counted_store import CountedBucket
from tests.support.memory_source import MemoryOptions, export, run_id

ONE = run_id(2)
LARGE = 9_500_000
COMMANDS = (
    ["info"],
    ["ls", "runs"],
    ["show", ONE],
    ["cat", f"{ONE}/model/file 0.bin"],
    ["verify", "--level", "quick"],
    ["extract", ONE, "--to"],
)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An export with a blob of several frames, in both forms."""
    folder = tmp_path_factory.mktemp("archives")
    paths = {"directory": folder / "backup", "file": folder / "backup.mlfa"}
    for path in paths.values():
        export(path, MemoryOptions(runs=4, sizes=(LARGE, 300), distinct=2))
    return paths


@pytest.mark.parametrize("form", ["directory", "file"])
def test_at_every_request(
    archives: dict[str, Path],
    form: str,
    counted: CountedBucket,
    capsysbinary: pytest.CaptureFixture[bytes],
    tmp_path: Path,
) -> None:
    counted.upload(archives[form], "backup")
    for number, (verb, *rest) in enumerate(COMMANDS):
        for stop in range(1, 100):
            left = stop

            def before(_: str, key: str) -> None:
                nonlocal left
                left -= 1
                if left <= 0:
                    raise GenericError(f"{key}: stopped")

            counted.before = before
            words = [verb, "s3://bucket/backup", *rest]
            if verb == "extract":
                words.append(str(tmp_path / f"{number}-{stop}"))
            code = run(words)
            answer = capsysbinary.readouterr()
            if left > 0:
                break
            assert (code, b"stopped" in answer.err) == (13, True), (words, stop, answer)
        assert (code, 4 <= stop < 100) == (0, True), (words, answer)


class _Cut:
    """An answer whose stream ends in the middle: with an error, or as if that was all."""

    def __init__(self, answer: Any, error: Exception | None, streams: list[int]) -> None:
        self._answer, self._error, self._streams = answer, error, streams
        self.meta, self.bytes = answer.meta, answer.bytes

    def stream(self, **_: Any) -> Iterator[bytes]:
        data = bytes(self._answer.bytes())
        self._streams.append(len(data))
        yield data[:1]
        yield data[1 : len(data) - 1000]
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize("error", [GenericError("broken off"), None], ids=["error", "end"])
def test_amid_a_stream(error: Exception | None, archives: dict[str, Path], counted: CountedBucket) -> None:
    counted.upload(archives["directory"], "backup")
    objects = counted.objects
    streams: list[int] = []
    get = lambda key, **options: _Cut(objects.get(key, **options), error, streams)  # noqa: E731
    counted.objects = cast("ObjectStore", SimpleNamespace(get=get))
    with open_archive("s3://bucket/backup") as archive:
        large = next(row for row in archive.table("artifacts", owners=[ONE]).to_pylist() if row["size"] == LARGE)
        stream = Blobs(archive).open(large["digest"])
        begin = stream.read(1_000_000)
        with pytest.raises(RemotePlaceError, match="broken off" if error else r" bytes came where \d+ were asked for"):
            stream.read()
        stream.seek(0)
        data = stream.read()  # asks anew for what is missing
    assert (len(begin), len(streams)) == (1_000_000, 1)
    assert (data[: len(begin)] == begin, sha256(data).hexdigest()) == (True, large["digest"])


@pytest.mark.parametrize("form", ["directory", "file"])
def test_a_large_blob_is_one_request(archives: dict[str, Path], form: str, counted: CountedBucket) -> None:
    counted.upload(archives[form], "backup")
    with open_archive("s3://bucket/backup") as archive:
        blobs = Blobs(archive)
        large = next(row for row in archive.table("artifacts", owners=[ONE]).to_pylist() if row["size"] == LARGE)
        pieces = blobs.pieces([large["digest"]])[large["digest"]]
        assert len(pieces) > 2
        counted.forget()
        with blobs.open(large["digest"], pieces) as stream:
            digest, size = sha256(), 0
            while block := stream.read(1 << 20):
                digest.update(block)
                size += len(block)
    assert (size, digest.hexdigest()) == (LARGE, large["digest"])
    assert [request.verb for request in counted.requests] == ["get"]
