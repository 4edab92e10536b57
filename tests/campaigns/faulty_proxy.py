"""A proxy in front of a real server that spoils a share of all requests, by chance with a seed, and counts them.

    with faulty_proxy(server.uri, Plan(seed="1", faults=(Fault.CUT,))) as proxy:
        ...  # proxy.uri is the server's address now, proxy.requests and proxy.spoilt what it did

It listens on a free port of 127.0.0.1, lives in threads of this process, and ends with the block, or by itself after
``Plan.longest_seconds``. The same seed gives the same decisions; with a client of many threads they meet others of
its requests.
"""

from __future__ import annotations

import http.client
import os
import random
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

from tests.campaigns.faults import ALWAYS_DELIVERED, NEVER_DELIVERED, Answer, Fault, refusal, spoilt

_HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})
_SERVER_SECONDS: Final = 120.0
_ABORT: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a proxy spoils: the share of requests, the kinds, of which each is as likely, and how long a stall takes."""

    seed: str
    faults: tuple[Fault, ...] = tuple(Fault)
    rate: float = 0.2
    stall_seconds: float = 30.0
    longest_seconds: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoiltRequest:
    """A request that had a fault; ``acted`` says whether the server got it."""

    method: str
    path: str
    fault: Fault
    acted: bool


@dataclass
class FaultyProxy:
    """A proxy that runs: its address, how many requests came, and those that were spoilt."""

    target: str
    plan: Plan
    uri: str = ""
    requests: int = 0
    spoilt: list[SpoiltRequest] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.plan.seed)  # noqa: S311 - must be repeatable, guards nothing

    @property
    def counts(self) -> Counter[Fault]:
        """How many requests had each kind of fault."""
        return Counter(request.fault for request in self.spoilt)

    def decide(self) -> tuple[Fault | None, bool, random.Random]:
        """Count a request; return its fault or None, whether the server gets it, and chance for the details."""
        with self._lock:
            self.requests += 1
            chance = random.Random(self._chance.random())  # noqa: S311
        if not self.plan.faults or chance.random() >= self.plan.rate:
            return None, True, chance
        fault = chance.choice(self.plan.faults)
        coin = chance.random() < 0.5
        return fault, fault in ALWAYS_DELIVERED or (fault not in NEVER_DELIVERED and coin), chance

    def note(self, request: SpoiltRequest) -> None:
        """Keep a request that was spoilt."""
        with self._lock:
            self.spoilt.append(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together
    proxy: FaultyProxy

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault, acted, chance = self.proxy.decide()
        try:
            answer = self._ask(body) if acted else None
        except (OSError, http.client.HTTPException):
            self._abort()  # the real server is gone: so is what stands before it
            return
        if fault is None:
            assert answer is not None
            self._send(answer)
        else:
            self._spoil(fault, answer, chance)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _handle  # noqa: N815 - names of the base class

    def _spoil(self, fault: Fault, answer: Answer | None, chance: random.Random) -> None:
        instead = refusal(fault)
        if instead is None and answer is not None:
            instead = answer if fault is Fault.STALL else spoilt(fault, answer, chance)
        is_reset = fault in (Fault.RESET_BEFORE, Fault.RESET_AFTER)
        if instead is None and not is_reset:
            assert answer is not None
            self._send(answer)  # of a kind that this answer cannot have
            return
        self.proxy.note(SpoiltRequest(method=self.command, path=self.path, fault=fault, acted=answer is not None))
        if fault is Fault.STALL:
            self.proxy.stopped.wait(self.proxy.plan.stall_seconds)
        if instead is None:
            self._abort()
        else:
            self._send(instead)

    def _ask(self, body: bytes) -> Answer:
        target = urlsplit(self.proxy.target)
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=_SERVER_SECONDS)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        if body or self.command in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(len(body))
        try:
            connection.request(self.command, self.path, body=body or None, headers=headers)
            with connection.getresponse() as response:
                content = response.read()
                onward = tuple(
                    (name, value) for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP
                )
                return Answer(status=response.status, headers=onward, body=content, length=len(content))
        finally:
            connection.close()

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(answer.length))
        self.close_connection = self.close_connection or answer.closed
        try:
            self.end_headers()
            self.wfile.write(answer.body)
            self.wfile.flush()
        except ConnectionError:
            self.close_connection = True  # the client waited long enough and went

    def _abort(self) -> None:
        """Have the client see a reset, not an end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        os.close(self.connection.detach())

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - name of the base class


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def end(self) -> None:
        """Take no more requests."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Let a client go that was killed in mid-request; anything else is an error of the proxy."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def faulty_proxy(target: str, plan: Plan) -> Iterator[FaultyProxy]:
    """Run a proxy before the server at ``target``."""
    proxy = FaultyProxy(target, plan)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    with _Server(("127.0.0.1", 0), handler) as server:
        proxy.uri = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        limit = threading.Timer(plan.longest_seconds, server.end)
        limit.daemon = True
        limit.start()
        try:
            yield proxy
        finally:
            limit.cancel()
            proxy.stopped.set()
            server.shutdown()
            thread.join()
