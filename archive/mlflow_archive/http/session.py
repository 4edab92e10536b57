"""HTTP to one MLflow server: authentication, TLS, proxies, retries, and errors a person can act on.

What the endpoints mean is up to the callers; this module knows only how MLflow's server says yes, no and not now.

    with closing(TrackingSession("http://127.0.0.1:5000")) as session:
        session.post("/api/2.0/mlflow/experiments/search", {"max_results": 100})
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from http import HTTPStatus
from threading import Event
from typing import Any, BinaryIO, TypeVar

import requests
from requests.adapters import BaseAdapter
from urllib3.exceptions import HTTPError

from mlflow_archive.errors import ServerError
from mlflow_archive.http.credentials import WORKSPACE_HEADER, find_access, split_userinfo
from mlflow_archive.http.refusals import Failure, body_failure, connection_failure, failure_of
from mlflow_archive.http.retry import DEFAULT, RetryPolicy
from mlflow_archive.http.transport import QuickAckAdapter

Params = Mapping[str, Any] | Sequence[tuple[str, Any]]

_POOL_SIZE = 64
_PIECE = 1 << 18

_T = TypeVar("_T")


def tell_nobody(message: str) -> None:
    """Keep silent about retries."""


class Streamed:
    """The body of a response while it comes in; ``size`` is the announced Content-Length in bytes, or None."""

    def __init__(self, response: requests.Response, where: str) -> None:
        self._response = response
        self._where = where
        length = response.headers.get("Content-Length", "")
        encoded = response.headers.get("Content-Encoding", "identity") != "identity"
        self.size = int(length) if length.isdigit() and not encoded else None

    def pieces(self) -> Iterator[bytes]:
        """Yield the body; raise ServerError when the connection drops or the body ends before ``size``."""
        received = 0
        try:
            for piece in self._response.iter_content(_PIECE):
                received += len(piece)
                yield piece
        except (requests.RequestException, HTTPError, OSError) as exc:
            raise body_failure(self._where, received, self.size, exc).error from exc
        if self.size is not None and received != self.size:
            raise body_failure(self._where, received, self.size, None).error


class TrackingSession:
    """HTTP to one MLflow server: authentication, TLS, proxies, retries.

    ``uri`` is the server without credentials, for messages and facts. Paths start with ``/`` and are percent-encoded
    by the caller. Usable by several threads at once. Retried are 408, 429, 500, 502, 503, 504, dropped connections
    and timeouts, with back-off and as ``Retry-After`` says; then, and for any other refusal, ServerError is raised.
    ``on_retry`` is called with a sentence before each wait. ``transport`` replaces the network, for a server in this
    process; ``shown`` is then what messages call it.
    """

    def __init__(
        self,
        uri: str,
        *,
        retry: RetryPolicy = DEFAULT,
        on_retry: Callable[[str], None] = tell_nobody,
        transport: BaseAdapter | None = None,
        shown: str | None = None,
    ) -> None:
        self._address, userinfo = split_userinfo(uri)
        self.uri = shown or self._address
        self.retry = retry
        self.on_retry = on_retry
        self._access = find_access(self._address, userinfo)
        self._http = requests.Session()
        adapter = transport or QuickAckAdapter(pool_connections=4, pool_maxsize=_POOL_SIZE)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)
        self._reached = False
        self._closed = Event()
        self._is_view = False

    @property
    def workspace(self) -> str | None:
        """The workspace that every request names, None where none does."""
        return self._access.headers.get(WORKSPACE_HEADER)

    def in_workspace(self, name: str | None) -> TrackingSession:
        """Return a view of this session whose requests are in a workspace of the server, None for as they are.

        It shares connections with this session; closing it does nothing.
        """
        view = copy(self)
        if name is not None:
            view._access = replace(self._access, headers={**self._access.headers, WORKSPACE_HEADER: name})
        view._is_view = True
        return view

    def get(self, path: str, params: Params | None = None, *, refusals_are_final: bool = False) -> Any:
        """GET and return the decoded JSON; ``refusals_are_final`` as for ``post``."""
        return self._retrying(lambda: self._json("GET", path, params=params), refusals_are_final=refusals_are_final)

    def text(self, path: str) -> str:
        """GET and return the body as text, whatever its type."""
        return self._retrying(lambda: self._send("GET", path).text)

    def post(
        self, path: str, body: Mapping[str, Any], *, idempotent: bool = True, refusals_are_final: bool = False
    ) -> Any:
        """POST JSON and return the decoded JSON.

        With ``idempotent=False`` it is tried again only when the server surely did nothing with it: no connection
        was made, it answered 429, or 503 with Retry-After. After any other failure the caller must look whether it
        was executed. With ``refusals_are_final`` a 5xx that the server did answer is not tried again, for callers
        who expect it and have another way.
        """
        return self._retrying(
            lambda: self._json("POST", path, json=body), idempotent=idempotent, refusals_are_final=refusals_are_final
        )

    def post_bytes(self, path: str, data: bytes, headers: Mapping[str, str]) -> None:
        """POST bytes of the type that ``headers`` name, for endpoints that speak no JSON; safe to repeat."""
        self._retrying(lambda: self._send("POST", path, data=data, headers=dict(headers)))

    def patch(self, path: str, body: Mapping[str, Any], *, idempotent: bool = True) -> Any:
        """PATCH JSON and return the decoded JSON; retried as ``post``."""
        return self._retrying(lambda: self._json("PATCH", path, json=body), idempotent=idempotent)

    def put_json(self, path: str, body: Mapping[str, Any]) -> Any:
        """PUT JSON and return the decoded JSON."""
        return self._retrying(lambda: self._json("PUT", path, json=body))

    def delete(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """DELETE and return the decoded JSON."""
        return self._retrying(lambda: self._json("DELETE", path, json=body))

    @contextmanager
    def stream(self, path: str, params: Params | None = None) -> Iterator[Streamed]:
        """GET bytes as they come; retried until the body starts, not after. ``download`` retries the whole."""
        response = self._retrying(lambda: self._open(path, params))
        with response:
            yield Streamed(response, self._where("GET", path))

    def download(self, path: str, params: Params | None, target: BinaryIO) -> int:
        """GET bytes into ``target``, from its start, and return how many; a body that drops is begun again.

        Checked against Content-Length where the server announces one.
        """

        def once() -> int:
            target.seek(0)
            target.truncate()
            with self._open(path, params) as response:
                try:
                    return sum(target.write(piece) for piece in Streamed(response, self._where("GET", path)).pieces())
                except ServerError as exc:
                    raise Failure(exc, transient=True, executed=True) from exc.__cause__

        return self._retrying(once)

    def put(self, path: str, data: BinaryIO | bytes, *, size: int) -> None:
        """PUT ``size`` bytes; ``data`` starts at its current position and must be seekable, for retries."""
        stream = io.BytesIO(data) if isinstance(data, bytes) else data
        start = stream.tell()

        def once() -> None:
            stream.seek(start)
            headers = {"Content-Type": "application/octet-stream"}
            self._send("PUT", path, data=_Body(stream, size) if size else b"", headers=headers)

        self._retrying(once)

    def close(self) -> None:
        """Close all connections and end waits for retries."""
        if self._is_view:
            return
        self._closed.set()
        self._http.close()

    def _retrying(self, once: Callable[[], _T], *, idempotent: bool = True, refusals_are_final: bool = False) -> _T:
        attempt = 1
        while True:
            try:
                return once()
            except Failure as failure:
                refused = refusals_are_final and failure.executed and failure.error.status is not None
                if refused or attempt >= self._patience(failure, idempotent):
                    raise failure.error from failure.__cause__
                delay = self.retry.delay(attempt, failure.retry_after)
                self.on_retry(f"{failure.error}; trying again in {delay:.1f} s")
            if self._closed.wait(delay):
                raise ServerError(f"the session with {self.uri} was closed while a request waited to be repeated")
            attempt += 1

    def _patience(self, failure: Failure, idempotent: bool) -> int:
        if not failure.transient or (failure.executed and not idempotent):
            return 1
        if failure.error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return self.retry.attempts_on_500
        return self.retry.attempts if self._reached else self.retry.attempts_unreached

    def _json(self, method: str, path: str, **kwargs: Any) -> Any:
        response = self._send(method, path, **kwargs)
        try:
            return json.loads(response.content or b"{}")
        except ValueError as exc:
            kind = response.headers.get("Content-Type", "no type")
            message = f"{self.uri} is not an MLflow server: {method} {path} was answered with {kind}, expected JSON"
            raise ServerError(message, status=response.status_code) from exc

    def _open(self, path: str, params: Params | None) -> requests.Response:
        return self._send("GET", path, params=params, stream=True, headers={"Accept-Encoding": "identity"})

    def _send(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        access = self._access
        headers = {**access.request_headers(), **kwargs.pop("headers", {})}
        try:
            response = self._http.request(
                method,
                self._address + path,
                headers=headers,
                auth=access.request_auth(),
                verify=access.verify,
                cert=access.certificate,
                timeout=access.timeout_seconds,
                **kwargs,
            )
            self._reached = True
            if response.ok:
                return response
            with response:
                failure = failure_of(response, self.uri, self._where(method, path))
        except (requests.RequestException, HTTPError) as exc:
            raise connection_failure(self.uri, self._where(method, path), access.timeout_seconds, exc) from exc
        raise failure

    def _where(self, method: str, path: str) -> str:
        return f"{method} {self.uri}{path}"


class _Body:
    """A file of known size for requests, which else would guess the size by other means."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._remaining = self._size = size

    def __len__(self) -> int:
        return self._size

    def read(self, amount: int = -1) -> bytes:
        piece = self._stream.read(self._remaining if amount < 0 else min(amount, self._remaining))
        self._remaining -= len(piece)
        return piece

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(_PIECE):
            yield piece
