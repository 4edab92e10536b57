"""The proxy itself: each kind of fault is on the line what it says, as often as it was asked for."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from tests.campaigns.faults import ALWAYS_DELIVERED, NEVER_DELIVERED, Fault
from tests.campaigns.faulty_proxy import FaultyProxy, Plan, faulty_proxy

BODY = json.dumps({"runs": [{"id": "a"}], "next": None}).encode()


class Server:
    """A server that answers everything with ``BODY`` and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        self.uri = ""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    target = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            target.requests.append((self.command, self.path, body))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY)

        do_GET = do_POST = _handle  # noqa: N815 - names of the base class

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        target.uri = f"http://127.0.0.1:{listener.server_address[1]}"
        yield target
        listener.shutdown()
        thread.join()


def ask(proxy: FaultyProxy, method: str = "GET", body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    """Send a request on a connection of its own; return status, headers and as much of the body as was announced."""
    connection = http.client.HTTPConnection(urlsplit(proxy.uri).netloc, timeout=10)
    try:
        connection.request(method, "/path?query=1", body)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def always(fault: Fault, seed: str = "1") -> Plan:
    return Plan(seed=seed, faults=(fault,), rate=1.0, stall_seconds=0.3)


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE, Fault.RESET_AFTER])
def test_a_reset_is_one(fault: Fault, server: Server) -> None:
    before = len(server.requests)
    with faulty_proxy(server.uri, always(fault)) as proxy, pytest.raises(ConnectionResetError):
        ask(proxy, "POST", b"{}")
    assert server.requests[before:] == [("POST", "/path?query=1", b"{}")] * (fault is Fault.RESET_AFTER)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.BUSY, 429),
        (Fault.BUSY_WITH_TIME, 429),
        (Fault.INTERNAL_ERROR, 500),
        (Fault.BAD_GATEWAY, 502),
        (Fault.UNAVAILABLE, 503),
        (Fault.GATEWAY_TIMEOUT, 504),
    ],
)
def test_a_refusal_has_its_status(fault: Fault, status: int, server: Server) -> None:
    with faulty_proxy(server.uri, always(fault)) as proxy:
        answer = ask(proxy)
    assert answer[0] == status
    assert answer[1].get("Retry-After") == ("1" if fault is Fault.BUSY_WITH_TIME else None)


def test_a_page_and_nothing_come_as_success(server: Server) -> None:
    with faulty_proxy(server.uri, always(Fault.PAGE)) as proxy:
        status, headers, body = ask(proxy)
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/html")
    assert body.startswith(b"<!DOCTYPE html>")
    with faulty_proxy(server.uri, always(Fault.EMPTY)) as proxy:
        status, headers, body = ask(proxy)
    assert (status, headers["Content-Length"], body) == (200, "0", b"")


def test_a_body_is_cut_before_its_length(server: Server) -> None:
    with faulty_proxy(server.uri, always(Fault.CUT)) as proxy, pytest.raises(http.client.IncompleteRead) as caught:
        ask(proxy)
    assert (caught.value.partial, caught.value.expected) == (BODY[: len(BODY) // 2], len(BODY) - len(BODY) // 2)


def test_a_length_is_too_small(server: Server) -> None:
    with faulty_proxy(server.uri, always(Fault.LENGTH)) as proxy:
        _, headers, body = ask(proxy)
    assert (headers["Content-Length"], body) == (str(len(BODY) // 2), BODY[: len(BODY) // 2])


def test_json_is_cut_at_a_field(server: Server) -> None:
    starts = set()
    for seed in range(20):
        with faulty_proxy(server.uri, always(Fault.BROKEN_JSON, str(seed))) as proxy:
            status, headers, body = ask(proxy)
        assert (status, headers["Content-Length"]) == (200, str(len(body)))
        with pytest.raises(ValueError, match="line 1"):
            json.loads(body)
        starts.add(body)
    assert starts == {b'{"runs": ', b'{"runs": [{"id": ', b'{"runs": [{"id": "a"}], "next": '}


def test_a_stall_takes_its_time_and_ends_with_the_answer(server: Server) -> None:
    with faulty_proxy(server.uri, always(Fault.STALL)) as proxy:
        begin = time.monotonic()
        assert ask(proxy)[2] == BODY
        assert time.monotonic() - begin > 0.3


def test_the_server_acts_on_what_it_must_and_on_half_of_the_rest(server: Server) -> None:
    for fault in Fault:
        before = len(server.requests)
        with faulty_proxy(server.uri, always(fault)) as proxy:
            for _ in range(12):
                try:
                    ask(proxy)
                except (OSError, http.client.HTTPException):
                    continue
        acted = len(server.requests) - before
        assert (proxy.counts, sum(request.acted for request in proxy.spoilt)) == ({fault: 12}, acted)
        if fault in ALWAYS_DELIVERED or fault in NEVER_DELIVERED:
            assert acted == (12 if fault in ALWAYS_DELIVERED else 0), fault
        else:
            assert 0 < acted < 12, fault


def test_a_fifth_is_spoilt_and_a_seed_repeats_it(server: Server) -> None:
    patterns = []
    for seed in ("a", "a", "b"):
        with faulty_proxy(server.uri, Plan(seed=seed, faults=(Fault.PAGE, Fault.EMPTY))) as proxy:
            patterns.append([ask(proxy)[2][:1] for _ in range(400)])
        assert proxy.requests == 400
        assert 50 < len(proxy.spoilt) < 110
        assert set(proxy.counts) == {Fault.PAGE, Fault.EMPTY}
    assert patterns[0] == patterns[1] != patterns[2]


def test_without_faults_it_gives_what_the_server_gives(server: Server) -> None:
    with faulty_proxy(server.uri, Plan(seed="1", faults=())) as proxy:
        assert [ask(proxy)[2] for _ in range(20)] == [BODY] * 20
    assert (proxy.requests, proxy.spoilt) == (20, [])


def test_it_ends_by_itself(server: Server) -> None:
    with faulty_proxy(server.uri, Plan(seed="1", faults=(), longest_seconds=0.2)) as proxy:
        assert ask(proxy)[2] == BODY
        time.sleep(0.6)
        with pytest.raises(ConnectionRefusedError):
            ask(proxy)
