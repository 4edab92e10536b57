"""An SFTP and an FTP server over a folder, each in threads of this process."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import asyncssh

with warnings.catch_warnings():  # of the standard library's modules for servers, which Python 3.12 has no more
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

USER, PASSWORD = "ann", "p@ss"


class _Doorman(asyncssh.SSHServer):
    def __init__(self, keys: set[str]) -> None:
        self._keys = keys
        self.guests: list[asyncssh.SSHServerConnection] = []

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.guests.append(conn)

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == USER and key.get_fingerprint() in self._keys


@contextmanager
def running_sftp(root: Path, *, keys: set[str] | None = None) -> Iterator[tuple[str, str]]:
    """Serve a folder as the top; give ``host:port`` and the line that known_hosts has for it."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def on_loop(task: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(task, loop).result(20)

    def files(channel: Any) -> asyncssh.SFTPServer:
        return asyncssh.SFTPServer(channel, chroot=str(root).encode())

    doorman = _Doorman(keys or set())

    async def begin() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[key], server_factory=lambda: doorman, sftp_factory=files
        )

    server = on_loop(begin())
    port = server.get_port()
    try:
        yield f"127.0.0.1:{port}", f"[127.0.0.1]:{port} {key.export_public_key().decode().strip()}\n"
    finally:

        async def end() -> None:
            server.close()
            await server.wait_closed()
            for guest in doorman.guests:
                guest.abort()
                await guest.wait_closed()

        on_loop(end())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def running_ftp(root: Path, *, knows_mlsd: bool = True) -> Iterator[str]:
    """Serve a folder as the top; give ``host:port``."""
    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, PASSWORD, str(root), perm="elradfmw")
    commands = {name: command for name, command in FTPHandler.proto_cmds.items() if knows_mlsd or name != "MLSD"}
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer, "proto_cmds": commands})
    server = FTPServer(("127.0.0.1", 0), handler, ioloop=IOLoop())  # by default one for all threads
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            server.serve_forever(timeout=0.02, blocking=False)

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.address[1]}"
    finally:
        ended.set()
        thread.join()
        server.close_all()
