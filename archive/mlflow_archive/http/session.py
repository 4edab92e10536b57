"""HTTP to one MLflow server: authentication, TLS, proxies, retries, and errors a person can act on.

What the endpoints mean is up to the callers; this module knows only how MLflow's server says yes, no and not now.

    with closing(TrackingSession("http://127.0.0.1:5000")) as session:
        session.post("/api/2.0/mlflow/experiments/search", {"max_results": 100})
"""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from http import HTTPStatus
from threading import Event
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3.exceptions import HTTPError

from mlflow_archive.errors import ServerError
from mlflow_archive.http.bodies import SizedBody, Streamed
from mlflow_archive.http.credentials import WORKSPACE_HEADER, find_access, split_userinfo
from mlflow_archive.http.refusals import (
    BROKEN_ANSWER,
    Failure,
    broken_failure,
    check_accepted,
    check_whole,
    connection_failure,
    failure_of,
)
from mlflow_archive.http.retry import DEFAULT, RetryPolicy
from mlflow_archive.http.transport import QuickAckAdapter

Params = Mapping[str, Any] | Sequence[tuple[str, Any]]

_POOL_SIZE = 64
_LIKELY = 2
_SURELY = 3

_SOMETHING = "/api/2.0/mlflow/experiments/search"
"""What any server answers, asked to find out whether it still does."""

_T = TypeVar("_T")

IsDone = Callable[[ServerError], bool]


def _is_gone(error: ServerError) -> bool:
    return error.status == HTTPStatus.NOT_FOUND or error.error_code == "RESOURCE_DOES_NOT_EXIST"


def tell_nobody(message: str) -> None:
    """Keep silent about retries."""


class TrackingSession:
    """HTTP to one MLflow server: authentication, TLS, proxies, retries.

    ``uri`` is the server without credentials, for messages and facts. Paths start with ``/`` and are percent-encoded
    by the caller. Usable by several threads at once. Retried are 408, 429, 500, 502, 503, 504, dropped connections,
    timeouts, and successes that are a page, empty or cut short, with back-off and as ``Retry-After`` says; then, and
    for any other refusal, ServerError is raised: with a status where it is about this request, without one where
    nobody answers any more. ``on_retry`` is called with a sentence before each wait. ``transport`` replaces the
    network, for a server in this process; ``shown`` is then what messages call it. A stranger is told no credentials.
    """

    def __init__(
        self,
        uri: str,
        *,
        retry: RetryPolicy = DEFAULT,
        on_retry: Callable[[str], None] = tell_nobody,
        transport: BaseAdapter | None = None,
        shown: str | None = None,
        is_stranger: bool = False,
    ) -> None:
        self._address, userinfo = split_userinfo(uri)
        self.uri = shown or self._address
        self.retry = retry
        self.on_retry = on_retry
        self._access = find_access(userinfo, is_stranger=is_stranger)
        self._http = requests.Session()
        adapter = transport or QuickAckAdapter(pool_connections=4, pool_maxsize=_POOL_SIZE)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)
        self._reached = False
        self._understood = False
        self._failures_in_a_row = 0
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

    def beside(self, netloc: str) -> TrackingSession:
        """Return this session for this server's own ``host:port``, for another's one as ``towards`` gives it."""
        own = urlsplit(self._address)
        netloc = netloc.rpartition("@")[2]
        return self if _same_place(netloc, own.netloc) else self.towards(f"{own.scheme}://{netloc}")

    def towards(self, uri: str) -> TrackingSession:
        """Return a session with another server, to be closed.

        It gets the credentials of this one only if it is on the same host, else those in its own URI only.
        """
        other = TrackingSession(uri, retry=self.retry, on_retry=self.on_retry, is_stranger=True)
        if _same_place(urlsplit(other._address).hostname or "", urlsplit(self._address).hostname or ""):
            other._access = self._access
        elif self.workspace:
            other._access = replace(other._access, headers={WORKSPACE_HEADER: self.workspace})
        return other

    def get(self, path: str, params: Params | None = None, *, refusals_are_final: bool = False) -> Any:
        """GET and return the decoded JSON; ``refusals_are_final`` as for ``post``."""
        return self._retrying(lambda: self._json("GET", path, params=params), refusals_are_final=refusals_are_final)

    def text(self, path: str, form: re.Pattern[str]) -> str:
        """GET and return a text of a form. It is asked for until it came twice, as else nothing shows that it is whole.

        A server that gives it in another form is believed in the end.
        """
        texts: Counter[str] = Counter()
        text = ""
        for _ in range(self.retry.attempts):
            text = self._retrying(lambda: self._send("GET", path).text).strip()
            texts[text] += form.fullmatch(text) is not None
            if texts[text] == _LIKELY:
                break
        return text

    def json_bytes(self, path: str, params: Params | None = None) -> bytes:
        """GET a body that is JSON and return it as it came; what comes three times the same is what the server has."""
        bodies: Counter[bytes] = Counter()

        def once() -> bytes:
            response = self._send("GET", path, params=params)
            bodies[response.content] += 1
            if not response.content or bodies[response.content] < _SURELY:
                self._decoded(response, "GET", path)
            return response.content

        return self._retrying(once)

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        idempotent: bool = True,
        refusals_are_final: bool = False,
        is_done: IsDone | None = None,
    ) -> Any:
        """POST JSON and return the decoded JSON.

        With ``idempotent=False`` it is tried again only when the server surely did nothing with it: no connection
        was made, it answered 429, or 503 with Retry-After. After any other failure the caller must look whether it
        was executed. With ``refusals_are_final`` a 5xx that the server did answer is not tried again, for callers
        who expect it and have another way. ``is_done`` says of a refusal whether it means that what was asked for is
        so already: of a repeat, that is success.
        """
        return self._retrying(
            lambda: self._json("POST", path, json=body),
            idempotent=idempotent,
            refusals_are_final=refusals_are_final,
            is_done=is_done,
        )

    def post_bytes(self, path: str, data: bytes, headers: Mapping[str, str]) -> None:
        """POST bytes of the type that ``headers`` name, for endpoints that speak no JSON; safe to repeat."""

        def once() -> None:
            response = self._send("POST", path, data=data, headers=dict(headers))
            check_accepted(response, self.uri, f"POST {path}")

        self._retrying(once)

    def patch(self, path: str, body: Mapping[str, Any], *, idempotent: bool = True) -> Any:
        """PATCH JSON and return the decoded JSON; retried as ``post``."""
        return self._retrying(lambda: self._json("PATCH", path, json=body), idempotent=idempotent)

    def put_json(self, path: str, body: Mapping[str, Any]) -> Any:
        """PUT JSON and return the decoded JSON."""
        return self._retrying(lambda: self._json("PUT", path, json=body))

    def delete(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """DELETE and return the decoded JSON; a repeat that finds nothing there any more has done its work."""
        return self._retrying(lambda: self._json("DELETE", path, json=body), is_done=_is_gone)

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

    def download_signed(self, url: str, headers: Mapping[str, str], target: BinaryIO) -> int:
        """GET bytes from where the server says, a URL that carries its own permission, as ``download`` does."""

        def once() -> int:
            target.seek(0)
            target.truncate()
            with self._signed("GET", url, headers, stream=True) as response:
                streamed = Streamed(response, f"GET {urlsplit(url).hostname}")
                return sum(target.write(piece) for piece in streamed.pieces())

        return self._retrying(once)

    def upload_signed(self, url: str, headers: Mapping[str, str], data: BinaryIO, size: int) -> str:
        """PUT the next ``size`` bytes to such a URL; return the ETag that the store gives, empty for none."""
        start = data.tell()

        def once() -> str:
            data.seek(start)
            with self._signed("PUT", url, headers, data=SizedBody(data, size) if size else b"") as response:
                return str(response.headers.get("ETag", ""))

        return self._retrying(once)

    @contextmanager
    def _signed(self, method: str, url: str, headers: Mapping[str, str], **kwargs: Any) -> Iterator[requests.Response]:
        """Ask a store, without the server's credentials. In messages it is its host: the rest is a permission."""
        host, timeout_seconds = str(urlsplit(url).hostname), self._access.timeout_seconds
        where = f"{method} {host}"
        try:
            with requests.request(method, url, headers=dict(headers), timeout=timeout_seconds, **kwargs) as response:
                if not response.ok:
                    raise failure_of(response, host, where)
                yield response
        except ServerError as exc:
            raise Failure(exc, transient=True, executed=True) from exc.__cause__
        except (requests.RequestException, HTTPError) as exc:
            raise connection_failure(host, where, timeout_seconds, exc) from exc

    def put(self, path: str, data: BinaryIO | bytes, *, size: int) -> None:
        """PUT ``size`` bytes; ``data`` starts at its current position and must be seekable, for retries."""
        stream = io.BytesIO(data) if isinstance(data, bytes) else data
        start = stream.tell()

        def once() -> None:
            stream.seek(start)
            headers = {"Content-Type": "application/octet-stream"}
            response = self._send("PUT", path, data=SizedBody(stream, size) if size else b"", headers=headers)
            check_accepted(response, self.uri, f"PUT {path}")

        self._retrying(once)

    def close(self) -> None:
        """Close all connections and end waits for retries."""
        if self._is_view:
            return
        self._closed.set()
        self._http.close()

    def _retrying(
        self,
        once: Callable[[], _T],
        *,
        idempotent: bool = True,
        refusals_are_final: bool = False,
        is_done: IsDone | None = None,
    ) -> _T | Any:
        attempt, in_doubt = 1, False
        while True:
            try:
                result = once()
            except Failure as failure:
                if in_doubt and is_done is not None and is_done(failure.error):
                    return {}
                if attempt >= self._patience(failure, idempotent, refusals_are_final):
                    raise self._final(failure, attempt) from failure.__cause__
                in_doubt = in_doubt or failure.executed
                delay = self.retry.delay(attempt, failure.retry_after)
                self.on_retry(f"{failure.error}; trying again in {delay:.1f} s")
            else:
                self._understood, self._failures_in_a_row = True, 0
                return result
            if self._closed.wait(delay):
                raise ServerError(f"the session with {self.uri} was closed while a request waited to be repeated")
            attempt += 1

    def _patience(self, failure: Failure, idempotent: bool, refusals_are_final: bool) -> int:
        """Return how often a request is tried that may fail so."""
        retry, error = self.retry, failure.error
        if not failure.transient or (failure.executed and not idempotent):
            return 1
        is_500 = error.status == HTTPStatus.INTERNAL_SERVER_ERROR
        if refusals_are_final and failure.executed and error.status is not None:
            return 1 if is_500 or error.error_code is not None else retry.attempts_unreached
        if is_500 and error.error_code is not None:
            return retry.attempts_on_500
        is_known = self._understood if error.status == BROKEN_ANSWER else self._reached
        return retry.attempts if is_known else retry.attempts_unreached

    def _final(self, failure: Failure, attempt: int) -> ServerError:
        """Return the error of a request that is not tried again; one without status where nobody answers any more."""
        error = failure.error
        if attempt == 1 or not failure.transient or error.status in (None, HTTPStatus.INTERNAL_SERVER_ERROR):
            return error
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= self.retry.failures_in_a_row:
            try:
                self._json("POST", _SOMETHING, json={"max_results": 1})
            except Failure as second:
                return ServerError(f"{error}; nor does anything else get through: {second.error}")
            self._failures_in_a_row = 0
        return error

    def _json(self, method: str, path: str, **kwargs: Any) -> Any:
        return self._decoded(self._send(method, path, **kwargs), method, path)

    def _decoded(self, response: requests.Response, method: str, path: str) -> Any:
        """Return the JSON of an answer. Raises Failure where it is something else: it is not what the server said."""
        where = f"{method} {path}"
        check_whole(response, self.uri, where)
        try:
            answer = json.loads(response.content or b"{}")
        except (ValueError, RecursionError) as exc:
            kind = response.headers.get("Content-Type", "no type")
            broken = f"what is no whole JSON, of type {kind}" if "json" in kind else kind
            raise broken_failure(self.uri, where, "JSON", broken) from exc
        return answer

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


def _same_place(host: str, second: str) -> bool:
    """Return whether two hosts, or hosts with ports, are the same as far as their names say."""
    return _one_spelling(host) == _one_spelling(second)


def _one_spelling(netloc: str) -> str:
    """Return a host with or without port so that this machine has one name."""
    host, colon, port = netloc.lower().partition(":")
    return f"{'localhost' if host == '127.0.0.1' else host}{colon}{port}"
