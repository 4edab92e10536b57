"""Log-ins that are not in the environment: profiles and single sign-on of AWS, a service account of Google.

The clouds' own packages find them; a stand-in hears with what requests are signed in the end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from botocore.credentials import SSOProvider
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mlflow_archive.errors import NotAnArchiveError, RemotePlaceError
from mlflow_archive.reader.archive import open_archive
from tests.support.listening import listening

SIGNED_ON = "signed-on"
START = "https://company.awsapps.example/start"
NOTHING_THERE = (NotAnArchiveError, RemotePlaceError)


class Heard:
    """A server that has no object, gives out roles and tokens, and remembers with what each request was signed."""

    def __init__(self) -> None:
        self.url = ""
        self.signatures: list[str] = []


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    there = Heard()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path.startswith("/federation/credentials"):
                assert self.headers["x-amz-sso_bearer_token"] == SIGNED_ON
                role = {
                    "accessKeyId": "ROLE",
                    "secretAccessKey": "x",
                    "sessionToken": "y",
                    "expiration": 4_000_000_000_000,
                }
                self._answer(200, json.dumps({"roleCredentials": role}).encode())
            elif self.path == "/token":
                self._answer(200, b'{"access_token": "of-a-service", "expires_in": 3600, "token_type": "Bearer"}')
            else:
                there.signatures.append(self.headers["Authorization"] or "")
                self._answer(404, b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>")

        do_GET = do_POST = do_HEAD = _handle  # noqa: N815 - names of the base class

        def _answer(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else data)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with listening(Handler) as there.url:
        yield there


def configure(home: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text(text)
    monkeypatch.setenv("AWS_PROFILE", "work")


def test_a_profile_whose_keys_a_program_gives(heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"Version": 1, "AccessKeyId": "OF-A-PROGRAM", "SecretAccessKey": "x"}
    (tmp_path / "keys").write_text(json.dumps(keys))
    process = f"{sys.executable} -c \"print(open('{tmp_path}/keys').read())\""
    configure(tmp_path, f"[profile work]\nregion = eu-west-3\ncredential_process = {process}\n", monkeypatch)
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", heard.url)
    with pytest.raises(NOTHING_THERE):
        open_archive("s3://box/backup")
    (signature,) = {text.partition(", ")[0] for text in heard.signatures}
    assert signature.startswith("AWS4-HMAC-SHA256 Credential=OF-A-PROGRAM/")
    assert signature.endswith("/eu-west-3/s3/aws4_request")


def test_single_sign_on(heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sso = f"sso_start_url = {START}\nsso_region = eu-west-3\nsso_account_id = 1\nsso_role_name = reader\n"
    configure(tmp_path, f"[profile work]\nregion = eu-west-3\n{sso}", monkeypatch)
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    token = {"startUrl": START, "region": "eu-west-3", "accessToken": SIGNED_ON, "expiresAt": until}
    (cache / f"{sha1(START.encode(), usedforsecurity=False).hexdigest()}.json").write_text(json.dumps(token))
    monkeypatch.setattr(SSOProvider, "_SSO_TOKEN_CACHE_DIR", str(cache))  # that of the home when it was imported
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", heard.url)
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", heard.url)
    with pytest.raises(NOTHING_THERE):
        open_archive("s3://box/backup")
    assert {text[:34] for text in heard.signatures} == {"AWS4-HMAC-SHA256 Credential=ROLE/2"}


def test_a_profile_that_is_not_there_is_said(heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(tmp_path, "[profile other]\n", monkeypatch)
    with pytest.raises(RemotePlaceError, match=r"the profile of AWS cannot be used: .*work"):
        open_archive("s3://box/backup")
    assert heard.signatures == []


def test_a_service_account_of_google(heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    account = {
        "type": "service_account",
        "client_email": "reader@project.example",
        "private_key_id": "1",
        "private_key": key.decode(),
        "token_uri": f"{heard.url}/token",
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    monkeypatch.setenv("GOOGLE_BASE_URL", heard.url)
    with pytest.raises(NOTHING_THERE):
        open_archive("gs://box/backup")
    assert set(heard.signatures) == {"Bearer of-a-service"}
