"""`make bench-buckets`: a large artifact read out of an archive in a bucket, beside a bare download of the same bytes.

The bucket is moto's, in a process of its own, which copies the whole object for each request: each costs it as much
as the first, and what is measured is the worst of stores. Ours and bare take turns. On a loaded machine the seconds of
the processor, here and in the server, and the number of requests say more than the wall.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from unittest.mock import patch

import boto3
import obstore
from obstore.store import S3Store
from tests.support.mlruns import RUN_ID, one_run
from tests.support.object_store import running_s3

import mlflow_archive as ma
from mlflow_archive.api.artifact_tree import StoredArtifact
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.storage.remote import store as requests_of_ours

_BUCKET: Final = "bench"
_BLOCK: Final = 1 << 20
_FRAMES_AT: Final = 76
"""Where the frames of a pack with one blob begin, behind the label: what a reader asks for is a range, as here."""
_KEYS: Final = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One download: wall seconds, processor seconds here and in the server, requests."""

    wall: float
    own: float
    server: float
    request_count: int

    def __str__(self) -> str:
        processor = f"processor {self.own:5.2f} s here, {self.server:5.2f} s there"
        return f"{self.wall:6.2f} s, {processor}, {self.request_count} requests"


def main() -> None:
    """Make the archive in both forms, read the artifact in turns, print each turn."""
    parser = argparse.ArgumentParser(
        description="A large artifact out of an archive in a bucket, beside a bare download"
    )
    parser.add_argument("--megabytes", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_s3() as url:
        os.environ.update({**_KEYS, "MLFLOW_S3_ENDPOINT_URL": url})
        boto3.client("s3", endpoint_url=url).create_bucket(Bucket=_BUCKET)
        one_run(Path(folder, "mlruns"), artifacts={"large": os.urandom(options.megabytes * 1_000_000)})
        places = [f"s3://{_BUCKET}/{name}" for name in ("directory", "file.mlfa")]
        for place in places:
            ma.export(place, str(Path(folder, "mlruns")))
        store = S3Store(_BUCKET, endpoint=url, client_options={"allow_http": True})
        (object_,) = obstore.list(store, "directory/packs").collect()
        pack, size = object_["path"], object_["size"]
        for _ in range(options.rounds):
            _turn("bare", partial(_bare, store, pack), 1)
            _turn("bare, by a range", partial(_bare, store, pack, (_FRAMES_AT, size)), 1)
            for place in places:
                with ma.open(place) as archive:
                    (artifact,) = archive.runs[RUN_ID].artifacts.files()
                    _turn(place, partial(_ours, artifact))


def _turn(name: str, action: Callable[[], int], request_count: int = 0) -> None:
    requests: list[str] = []
    real = requests_of_ours._explained

    def counted(place: RemotePlace, name: str) -> AbstractContextManager[None]:
        requests.append(name)
        return real(place, name)

    with patch.object(requests_of_ours, "_explained", counted):
        began, own, server = time.perf_counter(), time.process_time(), _server_seconds()
        size = action()
        spent = Download(
            wall=time.perf_counter() - began,
            own=time.process_time() - own,
            server=_server_seconds() - server,
            request_count=request_count or len(requests),
        )
    print(f"{name:32} {size / 1e6:6.1f} MB in {spent}", flush=True)


def _bare(store: S3Store, pack: str, byte_range: tuple[int, int] | None = None) -> int:
    """Download the pack in one request, and hash it as anybody must who believes it."""
    digest, size = hashlib.sha256(), 0
    for block in obstore.get(store, pack, options={"range": byte_range} if byte_range else None).stream(
        min_chunk_size=_BLOCK
    ):
        digest.update(block)
        size += len(block)
    return size


def _ours(artifact: StoredArtifact) -> int:
    """Read the artifact of an archive that is open, every byte proven."""
    size = 0
    with artifact.open() as stream:
        while block := stream.read(_BLOCK):
            size += len(block)
    return size


def _server_seconds() -> float:
    """Return the processor seconds of the server, the only child of this process."""
    (child,) = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()
    fields = Path(f"/proc/{child}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
