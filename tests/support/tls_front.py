"""A server that speaks TLS and hands every byte on to one that does not."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.authority import issue, new_key


@contextmanager
def tls_front(target: str, folder: Path) -> Iterator[str]:
    """Listen on a free port, with a certificate that nobody trusts, and give ``host:port``."""
    issued = issue("front", None, key=new_key(), begin=datetime.now(UTC) - timedelta(days=1))
    certificate = folder / "front.pem"
    key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certificate.write_bytes(issued.pem + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    behind = (str(urlsplit(target).hostname), int(urlsplit(target).port or 80))

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                socket.create_connection(behind) as plain,
                context.wrap_socket(self.request, server_side=True) as secret,
            ):
                back = Thread(target=_hand_on, args=(plain, secret), daemon=True)
                back.start()
                _hand_on(secret, plain)
                back.join()

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _hand_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
