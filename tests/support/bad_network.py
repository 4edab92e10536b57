"""A proxy in front of a server that drops, delays, truncates and refuses, as it is told."""

from __future__ import annotations

import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit, urlunsplit

Fault = str
"""``drop`` closes the connection without an answer, ``late drop`` after the server acted, ``cut`` in mid-body,
``short`` announces fewer bytes than the server gave and sends those, ``empty`` none with 200; a number is an HTTP
status, ``html`` a page, ``no page`` a 404 that is not MLflow's."""


@dataclass
class BadNetwork:
    """``faults`` maps a part of a path to the faults of the next requests to it; requests are kept in ``seen``.

    ``change`` may rewrite an answer. Requests without the header ``authorization``, where one is set, get 401.
    """

    target: str
    uri: str = ""
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    before: Callable[[str], None] = lambda path: None
    change: Callable[[str, bytes], bytes] = lambda path, content: content
    authorization: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self, path: str) -> Fault | None:
        with self.lock:
            for part, faults in self.faults.items():
                if part in path and faults:
                    return faults.pop(0)
        return None


class _Proxy(BaseHTTPRequestHandler):
    network: ClassVar[BadNetwork]
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.network.seen.append((self.command, self.path, dict(self.headers)))
        self.network.before(self.path)
        fault = self.network.next_fault(self.path)
        if self.network.authorization is not None and self.headers["Authorization"] != self.network.authorization:
            self._answer(401, b"who are you?", {"Content-Type": "text/plain"})
            return
        if fault == "no page":
            self._answer(404, b"<html>nothing here</html>", {"Content-Type": "text/html"})
            return
        if fault in ("drop", "late drop"):
            if fault == "late drop":
                self._ask(body)
            self.close_connection = True
            return
        if fault is not None and fault.isdigit():
            self._answer(int(fault), b'{"error_code": "X", "message": "as told"}', {"Retry-After": "0"})
            return
        if fault in ("html", "empty"):
            page = b"<html>a shop</html>" if fault == "html" else b""
            self._answer(200, page, {"Content-Type": "text/html"} if page else {})
            return
        status, content, headers = self._ask(body)
        content = self.network.change(self.path, content)
        if fault == "short":
            content = content[: len(content) // 2]
        self._answer(status, content, headers, cut=fault == "cut")

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _handle  # noqa: N815 - names of the base class

    def _ask(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        request = urllib.request.Request(self.network.target + self._path(), data=body or None, method=self.command)  # noqa: S310
        request.add_header("Content-Type", self.headers.get("Content-Type", "application/json"))
        if workspace := self.headers.get("X-MLFLOW-WORKSPACE"):
            request.add_header("X-MLFLOW-WORKSPACE", workspace)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                return response.status, response.read(), {"Content-Type": response.headers["Content-Type"] or ""}
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read(), {"Content-Type": exc.headers["Content-Type"] or ""}

    def _path(self) -> str:
        """Return the path without the host a client names that takes this for its proxy."""
        parts = urlsplit(self.path)
        return urlunsplit(("", "", parts.path, parts.query, "")) if parts.scheme else self.path

    def _answer(self, status: int, content: bytes, headers: dict[str, str], *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = cut

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002


@contextmanager
def bad_network(target: str, certificate: Path | None = None) -> Iterator[BadNetwork]:
    """Run the proxy on a free port in threads of this process; it speaks TLS with a certificate-and-key file."""
    network = BadNetwork(target)

    with ThreadingHTTPServer(("127.0.0.1", 0), type("Proxy", (_Proxy,), {"network": network})) as server:
        server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        network.uri = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
        try:
            yield network
        finally:
            server.shutdown()
            thread.join()
