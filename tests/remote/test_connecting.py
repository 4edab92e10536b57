"""With which account and key a store is asked, and what of its answers is told."""

from __future__ import annotations

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.storage.remote.connecting import azure_settings, connect
from mlflow_archive.storage.remote.object_bytes import KeptRanges
from mlflow_archive.storage.remote.store import told

PLACE = RemotePlace("az://box/backup")
AZURITE = "DefaultEndpointsProtocol=http;AccountName=dev;AccountKey=a2V5==;BlobEndpoint=http://127.0.0.1:10000/dev;"


@pytest.mark.parametrize(
    ("environment", "account", "expected"),
    [
        (
            {"AZURE_STORAGE_CONNECTION_STRING": AZURITE},
            "",
            {"account_name": "dev", "account_key": "a2V5==", "endpoint": "http://127.0.0.1:10000/dev"},
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;AccountKey=k;EndpointSuffix=core.chinacloudapi.cn"},
            "a",
            {"account_name": "a", "account_key": "k", "endpoint": "https://a.blob.core.chinacloudapi.cn"},
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;EndpointSuffix=b:1;DefaultEndpointsProtocol=http"},
            "",
            {"account_name": "a", "endpoint": "http://a.blob.b:1"},
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;SharedAccessSignature=?sv=1&sig=2"},
            "",
            {"account_name": "a", "sas_key": "sv=1&sig=2"},
        ),
        ({"AZURE_STORAGE_ACCESS_KEY": "k"}, "named", {"account_name": "named", "account_key": "k"}),
        ({"AZURE_STORAGE_ACCOUNT_NAME": "a"}, "", {"account_name": "a"}),
    ],
    ids=["Azurite", "China", "without TLS", "signature", "MLflow's key", "log-in"],
)
def test_settings_of_azure(environment: dict[str, str], account: str, expected: dict[str, str]) -> None:
    assert azure_settings(environment, account, PLACE) == expected


@pytest.mark.parametrize(
    ("environment", "account", "reason"),
    [
        (
            {"AZURE_STORAGE_ACCOUNT_NAME": "a"},
            "b",
            "the credentials in the environment are for the storage account a",
        ),
        ({}, "", "no storage account is named; "),
    ],
)
def test_credentials_of_another_account(environment: dict[str, str], account: str, reason: str) -> None:
    with pytest.raises(SelectionError) as caught:
        azure_settings(environment, account, PLACE)
    assert str(caught.value).startswith(f"az://box/backup: {reason}")


def test_a_place_without_a_bucket() -> None:
    with pytest.raises(SelectionError) as caught:
        connect(RemotePlace("s3:///x"))
    assert str(caught.value) == "s3:///x names no bucket"


@pytest.mark.parametrize("endpoint", ["localhost:9000", "nonsense", "http://", "http://a b", "ftp://a", "http://a:b"])
@pytest.mark.parametrize(
    ("uri", "variable"), [("s3://box/x", "MLFLOW_S3_ENDPOINT_URL"), ("gs://box/x", "GOOGLE_BASE_URL")]
)
def test_an_endpoint_that_is_no_url(uri: str, variable: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    monkeypatch.setenv(variable, endpoint)
    with pytest.raises(SelectionError) as caught:
        connect(RemotePlace(uri))
    assert str(caught.value) == f"{uri}: {variable} is no URL of a server; write it as http(s)://HOST[:PORT]"


def test_an_endpoint_of_azure_that_is_no_url() -> None:
    settings = {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=dev;AccountKey=a2V5;BlobEndpoint=127.0.0.1:10000/dev"}
    with pytest.raises(SelectionError) as caught:
        azure_settings(settings, "", PLACE)
    assert str(caught.value) == (
        "az://box/backup: AZURE_STORAGE_CONNECTION_STRING has no URL of a server as BlobEndpoint, "
        "or no such EndpointSuffix"
    )


def test_a_name_that_no_bucket_has() -> None:
    with pytest.raises(SelectionError) as caught:
        connect(RemotePlace("s3://my bucket/x"))
    assert str(caught.value) == "s3://my bucket/x: no bucket can have the name 'my bucket'"


def test_credentials_in_a_uri_are_refused_and_not_shown() -> None:
    place = RemotePlace("s3://key:secret@bucket/x")
    assert repr(place) == "RemotePlace('s3://bucket/x')"
    with pytest.raises(SelectionError) as caught:
        connect(place)
    assert str(caught.value) == "s3://bucket/x: credentials are not taken from a URI but from the environment"


def test_what_a_store_says_is_one_line_without_credentials() -> None:
    text = (
        'Generic S3 error: GET http://user:word@host/x?sig=secret in 3ms: <?xml version="1.0"?>\n<Error>'
        "<Code>SlowDown</Code><Message>Less, please</Message></Error>\n\nDebug source:\nuri: http://host/x?sig=secret"
    )
    assert told(ValueError(text)) == "Generic S3 error: GET http://host/x in 3ms: SlowDown: Less, please"
    assert told(ValueError("status: \n")) == "status"
    assert told(ValueError("status : X")) == "status : X"
    assert told(ValueError("x" * 300)) == "x" * 300
    assert told(ValueError("x" * 400)) == "x" * 300 + "…"


def test_ranges_are_kept_and_the_oldest_go() -> None:
    kept = KeptRanges()
    kept.keep("a", 10, b"0123456789")
    assert bytes(kept.from_position("a", 13)) == b"3456789"
    assert bytes(kept.from_position("a", 20)) == b""
    assert [kept.missing("a", span) for span in ((0, 5), (0, 15), (12, 30))] == [
        (0, 5),
        (0, 10),
        (20, 30),
    ]
    kept.keep("a", 10, b"other")
    assert bytes(kept.from_position("a", 10)) == b"other"
    kept.keep("b", 0, bytes(96 * 1024 * 1024))
    assert bytes(kept.from_position("a", 10)) == b""
    assert len(kept.from_position("b", 0)) == 96 * 1024 * 1024
    kept.close()
    assert bytes(kept.from_position("b", 0)) == b""
