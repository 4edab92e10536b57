"""Where a server takes no files itself, they go to its object store by URLs that it signs, or it is told why not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import uuid4

import boto3
import pytest

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.sinks.replay import ReplaySink, open_target
from mlflow_archive.sinks.replay.writing.artifacts import ProxyPlace
from tests.replay.small import MODEL, logged_model, owned
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, run
from tests.support.mlflow_server import MlflowServer, running_server

SENTENCE: Final = "this server takes artifacts by presigned URLs only"
ID: Final = "a" * 32
LARGE: Final = bytes(range(256)) * 4096 * 12
KEYS: Final = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_DEFAULT_REGION": "us-east-1"}


class PresignedOnly(TrackingSession):
    """What a client sees of a server that takes no files: the MLflow that is tried here has no such setting yet."""

    def put(self, path: str, data: BinaryIO | bytes, *, size: int) -> None:
        if not isinstance(data, bytes):
            data.read(3)
        raise ServerError(SENTENCE, status=403, error_code="PERMISSION_DENIED")


@pytest.fixture(scope="module")
def bucket(s3_server: str) -> tuple[str, Any]:
    client = boto3.client("s3", endpoint_url=s3_server, aws_access_key_id="id", aws_secret_access_key="key")  # noqa: S106
    name = f"bucket-{uuid4().hex}"
    client.create_bucket(Bucket=name)
    return name, client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, s3_server: str, bucket: tuple[str, Any]) -> Iterator[MlflowServer]:
    """A server whose proxy keeps files in S3."""
    options = ("--artifacts-destination", f"s3://{bucket[0]}/proxied")
    environment = {**KEYS, "MLFLOW_S3_ENDPOINT_URL": s3_server}
    with running_server(tmp_path_factory.mktemp("signed"), options=options, environment=environment) as started:
        yield started


@pytest.mark.parametrize("data", [b"", b"short", LARGE], ids=["empty", "short", "two parts"])
def test_behind_a_proxy_in_parts(server: MlflowServer, bucket: tuple[str, Any], data: bytes) -> None:
    name, client = bucket
    with closing(PresignedOnly(server.uri)) as session:
        place = ProxyPlace(session, "mlflow-artifacts:/7/r/artifacts")
        path = f"deep/a b {len(data)}.bin"
        place.put(path, io.BytesIO(data), len(data))
        assert place.sizes()[path] == len(data)
    held = client.get_object(Bucket=name, Key=f"proxied/7/r/artifacts/{path}")["Body"].read()
    assert held == data


def test_a_server_that_signs_nothing_says_its_own_sentence(mlflow_server: MlflowServer) -> None:
    with closing(PresignedOnly(mlflow_server.uri)) as session:
        place = ProxyPlace(session, "mlflow-artifacts:/7/r/artifacts")
        with pytest.raises(ServerError, match=SENTENCE):
            place.put("a.txt", io.BytesIO(b"bytes"), 5)


def test_an_upload_that_does_not_end_well_is_taken_back(
    server: MlflowServer, bucket: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise ServerError("the store is full", status=507)

    monkeypatch.setattr(PresignedOnly, "upload_signed", fail)
    with closing(PresignedOnly(server.uri)) as session:
        place = ProxyPlace(session, "mlflow-artifacts:/7/r/artifacts")
        with pytest.raises(ItemError, match=rf"{SENTENCE}; nor did .* the store is full"):
            place.put("a.txt", io.BytesIO(b"bytes"), 5)
    name, client = bucket
    assert client.list_multipart_uploads(Bucket=name).get("Uploads", []) == []


def replay(server: MlflowServer, name: str, folder: Path) -> Report:
    source = ChunkSource(
        (0, [chunk(experiments=[experiment("5", name)])]),
        (1, [chunk([artifact(ID, "deep/ü.txt", b"of the run")], runs=[run(ID, "5", run_name="only")])]),
        (
            2,
            [
                chunk(
                    [owned("logged_model", MODEL, "weights.bin", b"of the model")],
                    logged_models=[logged_model(MODEL, "m", source_run_id=ID)],
                )
            ],
        ),
    )
    return copy(source, ReplaySink(open_target(server.uri)), jobs=1)


@pytest.mark.usefixtures("s3")
def test_into_a_store_that_only_the_server_may_write_to(
    server: MlflowServer, bucket: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, client = bucket
    for variable in KEYS:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    experiment_name = f"direct {uuid4().hex}"
    with closing(TrackingSession(server.uri)) as session:
        body = {"name": experiment_name, "artifact_location": f"s3://{name}/direct/{experiment_name[-8:]}"}
        session.post("/api/2.0/mlflow/experiments/create", body)
    report = replay(server, experiment_name, tmp_path)
    assert report.gaps == []
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=name, Prefix="direct/")["Contents"]]
    contents = {key.rpartition("/")[2]: client.get_object(Bucket=name, Key=key)["Body"].read() for key in keys}
    assert contents == {"ü.txt": b"of the run", "weights.bin": b"of the model"}
    again = replay(server, experiment_name, tmp_path)
    assert (again.gaps, again.details["skipped"], again.counts.get("artifacts", 0)) == ([], 1, 0)
