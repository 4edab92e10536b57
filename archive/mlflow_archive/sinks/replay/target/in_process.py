"""MLflow's own server application, called in this process instead of over a network.

So a store without a server takes everything that a server takes, through the same requests, and nothing listens on a
port meanwhile. The application finds its stores in global variables: calls take turns, each with its own stores.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import RLock, Thread
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

ADDRESS: Final = "http://localhost"
"""Where the application believes to be; it answers only to names of this machine."""

_turn: Final = RLock()


class InProcessTransport(BaseAdapter):
    """A requests adapter that hands each request to the ASGI application ``app``.

    ``variables`` are the global variables by which it finds its stores: (module, name, value).
    """

    def __init__(self, app: Any, variables: Sequence[tuple[Any, str, Any]]) -> None:
        super().__init__()
        self._app, self._variables = app, variables
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="in-process server", daemon=True)
        self._thread.start()

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer a request; exceptions of the application are what its server would make of them: a status 500."""
        with _turn:
            if self._loop.is_closed():
                raise requests.ConnectionError("the application was closed")
            before = [(module, name, getattr(module, name)) for module, name, _ in self._variables]
            try:
                _set(self._variables)
                answer = asyncio.run_coroutine_threadsafe(_call(self._app, request), self._loop).result()
            finally:
                _set(before)
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update(answer.headers)
        response.raw = HTTPResponse(body=io.BytesIO(b"".join(answer.body)), preload_content=False, status=answer.status)
        response.url = request.url or ""
        response.request = request
        return response

    def close(self) -> None:
        """End the thread that the application runs on; closing again does nothing."""
        with _turn:  # a request under way is answered first
            if self._loop.is_closed():
                return
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


def _set(variables: Sequence[tuple[Any, str, Any]]) -> None:
    for module, name, value in variables:
        setattr(module, name, value)


@dataclass(slots=True)
class _Answer:
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: list[bytes] = field(default_factory=list)


async def _call(app: Any, request: requests.PreparedRequest) -> _Answer:
    """Speak ASGI: one request, one answer."""
    body = request.body or b""
    waiting = [{"type": "http.request", "body": body.encode() if isinstance(body, str) else body, "more_body": False}]
    answer = _Answer()
    disconnected = asyncio.Event()

    async def receive() -> Mapping[str, Any]:
        if waiting:
            return waiting.pop()
        await disconnected.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        elif message["type"] == "http.response.body":
            answer.body.append(message.get("body", b""))
            if not message.get("more_body", False):
                disconnected.set()

    await app(_scope(request), receive, send)
    return answer


def _scope(request: requests.PreparedRequest) -> dict[str, Any]:
    parts = urlsplit(request.url or "")
    headers = {"host": parts.netloc, **{name.lower(): value for name, value in request.headers.items()}}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": parts.scheme,
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "root_path": "",
        "query_string": parts.query.encode(),
        "headers": [(_bytes(name), _bytes(value)) for name, value in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": ("localhost", 80),
        "state": {},
    }


def _bytes(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text
