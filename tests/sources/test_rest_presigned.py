"""Servers that do not give files themselves, but say where their object store does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

import pytest

from mlflow_archive.flow.chunk import ArtifactUnreadableError
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.kinds import RUN
from mlflow_archive.sources.rest.artifacts import Artifacts, Owner
from tests.sources.rest_reading import QUICK
from tests.support.listening import listening
from tests.support.reading import content

SENTENCE = "this server gives artifacts by presigned URLs only"


class _Store(BaseHTTPRequestHandler):
    """A server and its object store in one; what is in the store is asked for without the server's credentials."""

    protocol_version = "HTTP/1.1"
    gives_urls: ClassVar[bool]
    seen: ClassVar[list[str]]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/api/2.0/mlflow-artifacts/artifacts":
            self._answer(200, {"files": [{"path": "a b.txt", "is_dir": False, "file_size": 5}]})
        elif path.startswith("/api/2.0/mlflow-artifacts/presigned/") and self.gives_urls:
            self.seen.append(path)
            url = f"http://{self.headers['Host']}/bucket/a?signature=secret"
            self._answer(200, {"url": url, "headers": {"X-Sign": "1"}, "file_size": 5})
        elif path == "/bucket/a":
            allowed = self.headers["X-Sign"] == "1" and "Authorization" not in self.headers
            self._answer(200 if allowed else 400, b"bytes" if allowed else {})
        else:
            self._answer(403, {"error_code": "PERMISSION_DENIED", "message": SENTENCE})

    def _answer(self, status: int, answer: Any) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(answer, bytes) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002


@pytest.fixture(params=[True, False])
def store(request: pytest.FixtureRequest) -> Iterator[tuple[str, type[_Store]]]:
    handler = type("Store", (_Store,), {"gives_urls": request.param, "seen": []})
    with listening(handler) as url:
        yield url.replace("http://", "http://u:p@"), handler


def test_a_file_comes_from_where_the_server_says_or_its_own_sentence_is_told(store: tuple[str, type[_Store]]) -> None:
    uri, handler = store
    with closing(TrackingSession(uri, retry=QUICK)) as session:
        [file] = Artifacts(session).of(Owner(kind=RUN, id="r", uri="mlflow-artifacts:/1/r/artifacts")).files
        if handler.gives_urls:
            assert content(file) == b"bytes"
            assert handler.seen == ["/api/2.0/mlflow-artifacts/presigned/1/r/artifacts/a%20b.txt"]
        else:
            with pytest.raises(ArtifactUnreadableError, match=SENTENCE):
                content(file)
