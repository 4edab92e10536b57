"""Which store a URI leads to: bucket, path, server, time limits, and whether anything but https is allowed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import MissingExtraError, RemotePlaceError, SelectionError
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.storage.remote.connecting import azure_settings, connect, is_endpoint

TIMES = {"connect_timeout": "10s", "timeout": "120s"}
PLAIN = {**TIMES, "allow_http": "true"}
S3 = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
MLFLOW, FOR_S3 = "MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"
FOR_ALL, OLD = "AWS_ENDPOINT_URL", "AWS_ENDPOINT"


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that names a cloud is in the environment."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "MLFLOW_S3_"))]:
        monkeypatch.delenv(name)


def options(uri: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, parent: bool = False) -> Any:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    store, name = connect(RemotePlace(uri), parent=parent)
    return store._objects, str(store.place), name


@pytest.mark.parametrize(
    ("environment", "endpoint", "client"),
    [
        ({}, None, TIMES),
        ({MLFLOW: "http://a:1", FOR_S3: "http://a:2", FOR_ALL: "http://a:3", OLD: "http://a:4"}, "http://a:1", PLAIN),
        ({MLFLOW: "", FOR_S3: "http://a:2", FOR_ALL: "http://a:3", OLD: "http://a:4"}, "http://a:2", PLAIN),
        ({FOR_ALL: "https://a:3", OLD: "http://a:4"}, "https://a:3", TIMES),
        ({OLD: "http://a:4"}, "http://a:4", PLAIN),
        ({"MLFLOW_S3_IGNORE_TLS": "True"}, None, {**TIMES, "allow_invalid_certificates": "true"}),
        ({"MLFLOW_S3_IGNORE_TLS": "1"}, None, {**TIMES, "allow_invalid_certificates": "true"}),
        ({"MLFLOW_S3_IGNORE_TLS": "false"}, None, TIMES),
    ],
    ids=["none", "MLflow's first", "that of S3", "that of all", "the old one", "any certificate", "1", "not so"],
)
def test_the_server_of_s3(
    environment: dict[str, str],
    endpoint: str | None,
    client: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, place, name = options("s3://box/deep/x", {**S3, **environment}, monkeypatch)
    expected = {"bucket": "box", "endpoint": endpoint} if endpoint else {"bucket": "box"}
    assert (store.config, store.prefix, store.client_options) == (expected, "deep/x", client)
    assert (place, name, store.credential_provider) == ("s3://box/deep/x", "x", None)
    assert (store.retry_config["max_retries"], store.retry_config["retry_timeout"].total_seconds()) == (4, 60)


@pytest.mark.parametrize(
    ("uri", "parent", "prefix", "place", "name"),
    [
        ("s3://box/deep/x.mlfa", True, "deep", "s3://box/deep", "x.mlfa"),
        ("s3://box/x.mlfa/", True, None, "s3://box", "x.mlfa"),
        ("s3://box/deep/x/", False, "deep/x", "s3://box/deep/x/", "x"),
        ("s3://box", False, None, "s3://box", ""),
        ("s3://box/of http:/a/x", False, "of http:/a/x", "s3://box/of http:/a/x", "x"),
        ("s3://box/deep/X/", True, "deep", "s3://box/deep", "X"),
        ("s3://box/X/", False, "X", "s3://box/X/", "X"),
        ("s3://box/x://", False, "x:", "s3://box/x://", "x:"),
    ],
)
def test_below_a_place_and_beside_it(
    uri: str, parent: bool, prefix: str | None, place: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, at, last = options(uri, S3, monkeypatch, parent=parent)
    assert (store.prefix, at, last) == (prefix, place, name)


def test_azure_and_google(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;AccountKey=a2V5;BlobEndpoint=http://a:6/dev"}
    store, _, _ = options("az://box/x/y", stated, monkeypatch)
    expected = {"account_name": "a", "account_key": "a2V5", "endpoint": "http://a:6/dev", "container_name": "box"}
    assert (store.config, store.prefix, store.client_options) == (expected, "x/y", PLAIN)
    assert store.retry_config["max_retries"] == 4
    for base, client in (("http://a:7", PLAIN), ("https://a:7", TIMES)):
        environment = {"GOOGLE_BEARER_TOKEN": "token", "GOOGLE_BASE_URL": base}
        store, _, _ = options("gs://box/x", environment, monkeypatch)
        assert (store.config, store.prefix, store.client_options) == ({"bucket": "box"}, "x", client)
        assert store.retry_config["max_retries"] == 4


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AZURE_STORAGE_SAS_KEY", "sv=1&sig=2"),
        ("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=2"),
        ("AZURE_STORAGE_TOKEN", "token"),
        ("AZURE_SKIP_SIGNATURE", "true"),
        ("AZURE_CLIENT_SECRET", "secret"),
        ("AZURE_STORAGE_CLIENT_SECRET", "secret"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/none"),
        ("AZURE_STORAGE_ACCESS_KEY", "a2V5"),
        ("AZURE_STORAGE_CONNECTION_STRING", "SharedAccessSignature=sv=1&sig=2"),
    ],
)
def test_an_account_in_the_uri_of_azure_with_a_log_in(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else is asked for one then."""

    def asked() -> None:
        raise AssertionError

    monkeypatch.setattr("mlflow_archive.storage.remote.connecting._azure_identity", asked)
    store, place, _ = options("abfss://box@named.dfs.core.windows.net/x", {variable: value}, monkeypatch)
    keys = {"account_key": "a2V5"} if variable == "AZURE_STORAGE_ACCESS_KEY" else {}
    keys |= {"sas_key": "sv=1&sig=2"} if variable == "AZURE_STORAGE_CONNECTION_STRING" else {}
    assert (store.config, store.prefix) == ({"account_name": "named", "container_name": "box", **keys}, "x")
    assert (place, store.credential_provider) == ("abfss://box@named.dfs.core.windows.net/x", None)


AZURE = "abfss://box@named.dfs.core.windows.net/x://"
GOOGLE_ACCOUNT = json.dumps(
    {"private_key": "k", "private_key_id": "1", "client_email": "a@b.example", "disable_oauth": True}
)


@pytest.mark.parametrize(
    ("uri", "finder", "config"),
    [
        ("s3://box/x", "_profile", {"bucket": "box"}),
        ("gs://box/x", "_google", {"bucket": "box"}),
        (AZURE, "_azure_identity", {"account_name": "named", "container_name": "box"}),
    ],
)
def test_whoever_has_no_log_in_is_asked_for_one(
    uri: str, finder: str, config: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def provider() -> None:
        raise AssertionError

    monkeypatch.setattr(f"mlflow_archive.storage.remote.connecting.{finder}", lambda: provider)
    store, _, _ = options(uri, {}, monkeypatch)
    assert (store.credential_provider, store.config) == (provider, config)


@pytest.mark.parametrize(
    ("uri", "finder", "variable", "value"),
    [
        ("s3://box/x", "_profile", "AWS_ACCESS_KEY_ID", "a"),
        ("s3://box/x", "_profile", "AWS_SKIP_SIGNATURE", "true"),
        ("gs://box/x", "_google", "GOOGLE_BEARER_TOKEN", "token"),
        ("gs://box/x", "_google", "GOOGLE_SKIP_SIGNATURE", "true"),
        ("gs://box/x", "_google", "GOOGLE_SERVICE_ACCOUNT_KEY", GOOGLE_ACCOUNT),
        ("gs://box/x", "_google", "GOOGLE_SERVICE_ACCOUNT", "{}/account.json"),
        ("gs://box/x", "_google", "GOOGLE_SERVICE_ACCOUNT_PATH", "{}/account.json"),
    ],
)
def test_whoever_has_one_in_the_environment_is_not(
    uri: str, finder: str, variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> None:
        raise AssertionError

    (tmp_path / "account.json").write_text(GOOGLE_ACCOUNT)
    monkeypatch.setattr(f"mlflow_archive.storage.remote.connecting.{finder}", asked)
    environment = {"AWS_SECRET_ACCESS_KEY": "b"} if variable == "AWS_ACCESS_KEY_ID" else {}
    environment |= {variable: value.replace("{}", str(tmp_path))}
    store, _, _ = options(uri, environment, monkeypatch)
    assert store.credential_provider is None


def test_half_of_a_key_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RemotePlaceError) as caught:
        options("s3://box/x", {"AWS_ACCESS_KEY_ID": "a"}, monkeypatch)
    assert str(caught.value) == "s3://box/x cannot be used: Generic S3 error: Missing SecretAccessKey"


@pytest.mark.parametrize("name", ["AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"])
def test_each_name_of_the_key_of_azure(name: str) -> None:
    place = RemotePlace("az://box/x")
    environment = {"AZURE_STORAGE_ACCOUNT_NAME": "a", name: "k"}
    assert azure_settings(environment, "", place) == {"account_name": "a", "account_key": "k"}
    both = {**environment, "AZURE_STORAGE_CONNECTION_STRING": " AccountName = b ; AccountKey = c=; "}
    assert azure_settings(both, "b", place) == {"account_name": "b", "account_key": "c="}


def test_what_is_said_of_an_account_that_is_not_named_or_another() -> None:
    place = RemotePlace("az://box/x")
    for environment, account, message in (
        (
            {},
            "",
            (
                "no storage account is named; set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT_NAME, "
                "or write abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/…"
            ),
        ),
        (
            {"AZURE_STORAGE_ACCOUNT_NAME": "a"},
            "b",
            "the credentials in the environment are for the storage account a; run it with those of b",
        ),
    ):
        with pytest.raises(SelectionError) as caught:
            azure_settings(environment, account, place)
        assert str(caught.value) == f"az://box/x: {message}"


@pytest.mark.parametrize(
    ("uri", "parent", "url", "client"),
    [
        ("http://a:5/a%20b/x.mlfa?sig=1#part", False, "http://a:5/a%20b/x.mlfa?sig=1", PLAIN),
        ("http://a:5/a%20b/x.mlfa?sig=1", True, "http://a:5/a%20b?sig=1", PLAIN),
        ("https://a/x.mlfa", True, "https://a/", TIMES),
        ("https://a/X/x.mlfa/", True, "https://a/X", TIMES),
    ],
)
def test_a_web_server(
    uri: str, parent: bool, url: str, client: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _, name = options(uri, {}, monkeypatch, parent=parent)
    assert (store.url, store.client_options, name) == (url, client, "x.mlfa")
    assert store.retry_config["max_retries"] == 4


def test_what_is_an_endpoint() -> None:
    good = ["http://localhost:9000", "https://a", "http://[::1]:9000/x", "http://a!~"]
    bad = ["", "a", "http://", "ftp://a", "http://a:b", "http://a b", "http://a\x7f", "http://ä"]
    assert [text for text in (*good, *bad) if is_endpoint(text)] == good


def test_a_profile_without_the_package_that_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.auth.boto3", None)
    store, _, _ = options("s3://box/x", {"AWS_REGION": "eu-west-1"}, monkeypatch)
    assert store.credential_provider is None
    with pytest.raises(MissingExtraError, match=r"^AWS_PROFILE needs one more package: pip install boto3 \(.+\)$"):
        options("s3://box/x", {"AWS_PROFILE": "work"}, monkeypatch)
