"""A proxy that writes down each request before it hands it on."""

from __future__ import annotations

import gzip
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

_OF_A_CONNECTION: Final = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass(frozen=True, kw_only=True)
class Call:
    method: str
    path: str
    body: bytes


@dataclass
class Listener:
    """Where to send requests to, and those that came."""

    uri: str = ""
    calls: list[Call] = field(default_factory=list)

    def take(self) -> list[Call]:
        """Return the calls since the last time."""
        taken, self.calls = self.calls, []
        return taken


@contextmanager
def listening(target: str) -> Iterator[Listener]:
    """Run the proxy before the server ``target``."""
    listener, address = Listener(), urlsplit(target).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self._body()
            plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            listener.calls.append(Call(method=self.command, path=self.path, body=plain))
            connection = http.client.HTTPConnection(address, timeout=300)
            try:
                headers = {k: v for k, v in self.headers.items() if k.lower() not in _OF_A_CONNECTION}
                connection.request(self.command, self.path, body or None, headers)
                answer = connection.getresponse()
                self._answer(answer, answer.read())
            finally:
                connection.close()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _handle  # noqa: N815 - names of the base class

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _answer(self, answer: http.client.HTTPResponse, content: bytes) -> None:
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _OF_A_CONNECTION:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        listener.uri = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield listener
        finally:
            server.shutdown()
            thread.join()
