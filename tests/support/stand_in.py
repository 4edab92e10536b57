"""A server that answers as a test says: for what no MLflow does, and other servers that speak its API do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.listening import listening

Json = dict[str, Any]


@contextmanager
def standing_in(answer: Callable[[str, Json], tuple[int, Json]]) -> Iterator[str]:
    """Yield the URI of a server; ``answer`` gets a path and what is asked, and returns a status and JSON."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = answer(parts.path, {**dict(parse_qsl(parts.query)), **json.loads(body or b"{}")})
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _handle  # noqa: N815 - names of the base class

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

    with listening(Handler) as url:
        yield url
