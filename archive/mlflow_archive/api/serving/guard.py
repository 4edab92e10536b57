"""What stands before MLflow's server on an archive: it lets reading through and answers everything else with 403.

MLflow has no switch for that. Without the guard a write would end in a 503, which its clients repeat for minutes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_QUERIES: Final = re.compile(
    r"^/(?:ajax-)?api/[0-9.]+/?mlflow/(?:"  # MLflow's own path of search-datasets lacks the slash
    r"(?:experiments|runs|logged-models|traces|datasets|issues|registered-models|model-versions)/search"
    r"|traces/(?:batchGetInfos|metrics|calculate-filter-correlation)"
    r"|experiments/search-datasets|prompt-optimization/jobs/search|registered-models/get-latest-versions"
    r")$|^/graphql$"
)
"""What only reads although it is sent by POST."""
_ACTING: Final = re.compile(
    r"^/(?:gateway|ajax-api/[0-9.]+/mlflow/(?:assistant|gateway-proxy|demo|scorer/invoke))(?:/|$)"
)
"""What does something even by GET, or talks to others."""
_GATEWAY_PROXY: Final = re.compile(r"^/ajax-api/[0-9.]+/mlflow/gateway-proxy$")
_NO_GATEWAY: Final = json.dumps({"endpoints": []}).encode()
"""What MLflow answers where no gateway is set up. Its run table asks, and shows a refusal as an error."""
_REFUSAL: Final = json.dumps(
    {
        "error_code": "PERMISSION_DENIED",
        "message": "This is an archive, opened read-only: nothing in it can be changed.",
    }
).encode()


class ReadOnlyGuard:
    """An ASGI application around another."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and _GATEWAY_PROXY.match(scope["path"]):
            await _answer(send, 200, _NO_GATEWAY)
        elif scope["type"] == "http" and not is_reading(scope["method"], scope["path"]):
            await _answer(send, 403, _REFUSAL)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._application(scope, receive, send)


def is_reading(method: str, path: str) -> bool:
    """Return whether a request can change nothing.

    >>> is_reading("GET", "/"), is_reading("POST", "/ajax-api/2.0/mlflow/runs/search")
    (True, True)
    >>> is_reading("POST", "/api/2.0/mlflow/runs/create"), is_reading("GET", "/gateway/x")
    (False, False)
    """
    if _ACTING.match(path):
        return False
    return method in _READING or (method == "POST" and _QUERIES.match(path) is not None)


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
