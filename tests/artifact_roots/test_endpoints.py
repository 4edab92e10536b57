"""R2 and B2: object stores whose endpoint stands in the URI, read and written as MLflow's own repositories do."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.artifact_roots import ArtifactRoots
from mlflow_archive.artifact_roots.buckets import ObjectStores
from mlflow_archive.artifact_roots.clouds import EXTRAS, connect
from mlflow_archive.artifact_roots.store import UnreachableError
from tests.support.reading import content
from tests.support.tls_front import tls_front


@pytest.mark.parametrize("scheme", ["r2", "b2"])
def test_the_endpoint_of_the_uri_is_asked_and_no_other(
    scheme: str, s3: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3[0].split("/")[2]
    with tls_front(s3[1].meta.endpoint_url, tmp_path) as host:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("MLFLOW_S3_IGNORE_TLS", "true")
        roots, uri = ArtifactRoots(), f"{scheme}://{bucket}@{host}/deep/root"
        roots.write(uri, "a b/x", io.BytesIO(b"1"))
        (file,) = roots.list(uri, owner_kind="run", owner_id="r").files
        assert (file.path, content(file)) == ("a b/x", b"1")
    (told,) = s3[1].list_objects_v2(Bucket=bucket)["Contents"]
    assert told["Key"] == "deep/root/a b/x"


def test_two_endpoints_are_two_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    class Store:
        def __init__(self, host: str) -> None:
            self.host = host

        def find(self, root: str, **_: Any) -> dict[str, Any]:
            name = f"{root}/{self.host}"
            return {name: {"name": name, "type": "file", "size": 0}}

    def connected(scheme: str, host: str) -> Store:
        asked.append((scheme, host))
        return Store(host)

    monkeypatch.setattr("mlflow_archive.artifact_roots.buckets.connect", connected)
    stores = ObjectStores()
    uris = ("r2://b@one.example/x", "r2://b@two.example/x", "b2://b@one.example/x", "r2://b@ONE.example/x")
    assert [[getattr(file, "path", "") for file in stores.list(uri)] for uri in uris] == [
        ["one.example"],
        ["two.example"],
        ["one.example"],
        ["one.example"],
    ]
    assert asked == [("r2", "one.example"), ("r2", "two.example"), ("b2", "one.example")]


@pytest.mark.parametrize(
    ("scheme", "host", "endpoint", "region", "style"),
    [
        ("r2", "id.r2.cloudflarestorage.com", "https://id.r2.cloudflarestorage.com", "auto", "virtual"),
        ("b2", "s3.us-west-004.backblazeb2.com", "https://s3.us-west-004.backblazeb2.com", "us-west-004", "path"),
        ("s3", "", None, "eu-south-1", "auto"),
    ],
)
def test_requests_are_signed_and_addressed_as_mlflow_does(
    scheme: str, host: str, endpoint: str | None, region: str, style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-south-1")
    for name in ("MLFLOW_S3_ENDPOINT_URL", "MLFLOW_S3_IGNORE_TLS", "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE"):
        monkeypatch.delenv(name, raising=False)
    system = connect(scheme, host)
    told = (
        system.endpoint_url,
        system.client_kwargs.get("region_name"),
        system.config_kwargs["s3"]["addressing_style"],
    )
    assert told == (endpoint, None if scheme == "s3" else region, style)


def test_a_location_without_endpoint_is_refused() -> None:
    with pytest.raises(UnreachableError, match=r"b2://BUCKET@s3\.REGION\.backblazeb2\.com/PATH"):
        list(ObjectStores().list("b2://bucket/x"))
    assert {scheme for scheme, extra in EXTRAS.items() if extra == "s3"} == {"s3", "r2", "b2"}
