"""What stands before MLflow's server on an archive: it lets reading through and answers everything else with 403.

MLflow has no switch for that. Without the guard a write would end in a 503, which its clients repeat for minutes. What
MLflow's pages ask to know who is looking, and what that user may do (``mlflow.server.auth``), is answered so that they
name the archive as the user and offer no change.
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
_CURRENT_USER: Final = re.compile(r"^/(?:ajax-)?api/[0-9.]+/mlflow/users/current$")
_PERMISSIONS: Final = re.compile(r"^/(?:ajax-)?api/[0-9.]+/mlflow/users/current/permissions$")
_ROLES: Final = re.compile(r"^/(?:ajax-)?api/[0-9.]+/mlflow/users/roles/list$")
_ASSISTANT_CONFIG: Final = re.compile(r"^/ajax-api/[0-9.]+/mlflow/assistant/config$")
_ASSISTANT_PROVIDERS: Final = re.compile(r"^/ajax-api/[0-9.]+/mlflow/assistant/providers$")
_REFUSAL: Final = json.dumps(
    {
        "error_code": "PERMISSION_DENIED",
        "message": "This is an archive, opened read-only: nothing in it can be changed.",
    }
).encode()


class ReadOnlyGuard:
    """An ASGI application around another; its pages name ``user`` as the one who is looking."""

    def __init__(self, application: Application, user: str) -> None:
        self._application = application
        account = {"user": {"id": 0, "username": user, "is_admin": False}, "is_basic_auth": False}
        self._answers = (
            (_GATEWAY_PROXY, _NO_GATEWAY),
            (_CURRENT_USER, json.dumps(account).encode()),
            (_PERMISSIONS, json.dumps({"is_admin": False, "permissions": []}).encode()),
            (_ASSISTANT_CONFIG, json.dumps({"providers": {}, "projects": {}}).encode()),
            (_ASSISTANT_PROVIDERS, json.dumps({"providers": [], "resolved": None}).encode()),
            (_ROLES, json.dumps({"roles": []}).encode()),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = scope["type"] == "http" and scope["method"] == "GET"
        own = next((body for path, body in self._answers if known and path.match(scope["path"])), None)
        if own is not None:
            await _answer(send, 200, own)
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
