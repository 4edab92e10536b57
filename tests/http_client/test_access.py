"""Who we are, whom we trust and through whom we go: credentials, TLS and proxies, each really in the way."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from urllib3.exceptions import InsecureRequestWarning

from mlflow_archive.errors import ServerError
from mlflow_archive.http.retry import RetryPolicy
from mlflow_archive.http.server import probe
from mlflow_archive.http.session import TrackingSession
from tests.support.bad_network import BadNetwork, bad_network
from tests.support.mlflow_server import MlflowServer

QUICK = RetryPolicy(first_delay=0.001, longest_delay=0.002)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _version(uri: str) -> str | None:
    with closing(TrackingSession(uri, retry=QUICK)) as session:
        return probe(session)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def guarded(mlflow_server: MlflowServer) -> Iterator[BadNetwork]:
    with bad_network(mlflow_server.uri) as network:
        network.authorization = _basic("ann", "pä:ss")
        yield network


def test_a_password_opens_every_endpoint(guarded: BadNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pä:ss")
    path = "/api/2.0/mlflow-artifacts/artifacts/guarded/f.bin"
    with closing(TrackingSession(guarded.uri, retry=QUICK)) as session:
        assert probe(session) is not None
        session.put(path, b"data", size=4)
        with session.stream(path) as streamed:
            assert b"".join(streamed.pieces()) == b"data"


def test_a_password_in_the_uri_wins(guarded: BadNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "other")
    assert _version(guarded.uri.replace("http://", "http://ann:p%C3%A4%3Ass@")) is not None


@pytest.mark.parametrize("password", [None, "wrong"])
def test_a_wrong_password_is_told_at_once(
    guarded: BadNetwork, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    if password is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    with pytest.raises(ServerError, match="wants other credentials") as caught:
        _version(guarded.uri)
    assert caught.value.status == 401
    assert "wrong" not in str(caught.value)
    assert len(guarded.seen) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a self-signed certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=test"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return both


@pytest.fixture
def encrypted(mlflow_server: MlflowServer, certificate: Path) -> Iterator[BadNetwork]:
    with bad_network(mlflow_server.uri, certificate) as network:
        yield network


def test_an_unknown_certificate_is_not_trusted(encrypted: BadNetwork) -> None:
    with pytest.raises(ServerError, match="is not trusted; set MLFLOW_TRACKING_SERVER_CERT_PATH"):
        _version(encrypted.uri)
    assert encrypted.seen == []


def test_a_named_certificate_is_trusted(
    encrypted: BadNetwork, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate.parent / "cert.pem"))
    assert _version(encrypted.uri) is not None
    with pytest.raises(ServerError, match="is not trusted"):
        _version(encrypted.uri.replace("127.0.0.1", "localhost"))  # a name the certificate is not for


def test_insecure_tls_trusts_anyone_and_warns(encrypted: BadNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    with pytest.warns(InsecureRequestWarning):
        assert _version(encrypted.uri) is not None


def test_a_proxy_is_used(mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host exists only for the proxy, so that nothing but the proxy can have answered."""
    with bad_network(mlflow_server.uri) as proxy:
        monkeypatch.setenv("http_proxy", proxy.uri.replace("http://", "http://joe:secret@"))
        assert _version("http://tracking.invalid:5000") is not None
        assert all(path.startswith("http://tracking.invalid:5000/") for _, path, _ in proxy.seen)
        assert {headers.get("Proxy-Authorization") for _, _, headers in proxy.seen} == {_basic("joe", "secret")}

        proxy.seen.clear()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert _version(mlflow_server.uri) is not None
        assert proxy.seen == []


def test_a_dead_proxy_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://joe:secret@127.0.0.1:9")
    with pytest.raises(
        ServerError, match=r"the proxy on the way to http://tracking\.invalid does not answer"
    ) as caught:
        _version("http://tracking.invalid")
    assert "secret" not in str(caught.value)
