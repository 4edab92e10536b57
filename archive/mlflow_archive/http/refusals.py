"""What a failed request means, as a sentence, and whether trying again can help."""

from __future__ import annotations

import json
import socket
from http import HTTPStatus
from typing import Any, Final

import requests
import urllib3.exceptions

from mlflow_archive.errors import ServerError
from mlflow_archive.http.retry import TRANSIENT_STATUS, parse_retry_after

_LONGEST_MESSAGE = 600
_NO_SUCH_REQUEST: Final = frozenset({"ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"})
_NO_SUCH_STATUS: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})


BROKEN_ANSWER: Final = HTTPStatus.BAD_GATEWAY
"""The status of an error where something was answered, again and again, that is not what the server said."""


class Failure(Exception):  # noqa: N818 - never leaves this package; what does is ``error``
    """One try that failed. ``executed`` says whether the server may have acted on the request."""

    def __init__(
        self, error: ServerError, *, transient: bool, executed: bool, retry_after: float | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.transient = transient
        self.executed = executed
        self.retry_after = retry_after


def failure_of(response: requests.Response, uri: str, where: str) -> Failure:
    """Return the failure that an answer other than success means."""
    status = response.status_code
    retry_after = parse_retry_after(response.headers.get("Retry-After"))
    error_code, message, is_whole = _mlflow_error(response)
    refused_unread = status == HTTPStatus.TOO_MANY_REQUESTS or (
        status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None
    )
    return Failure(
        ServerError(_sentence(status, error_code, message, uri, where), status=status, error_code=error_code),
        transient=status in TRANSIENT_STATUS or not is_whole,
        executed=not refused_unread,
        retry_after=retry_after,
    )


def check_answered(error: ServerError) -> None:
    """Raise an error again where nobody answered: nothing more can be read then. A refusal passes."""
    if error.status is None:
        raise error


def is_unknown_request(error: ServerError) -> bool:
    """Return whether the server does not know this request at all: it is older.

    Where MLflow itself answered, its error code decides: a 404 or 501 of another kind is about the object. A feature
    that is turned off is known, and there may be objects of it.
    """
    if error.error_code is not None:
        return error.error_code in _NO_SUCH_REQUEST
    return error.status in _NO_SUCH_STATUS


def _sentence(status: int, error_code: str | None, message: str, uri: str, where: str) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return (
            f"{uri} wants other credentials (401); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
            "or MLFLOW_TRACKING_TOKEN"
        )
    if status == HTTPStatus.FORBIDDEN:
        return f"{where} is not permitted to this user (403); export as a user who may read all experiments. {message}"
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return f"the proxy on the way to {uri} wants credentials (407); put them into HTTP_PROXY or HTTPS_PROXY"
    if error_code is not None:
        return f"{where} failed with {status} {error_code}: {message}"
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        return f"{where} does not exist there ({status}): not an MLflow server, or one too old"
    return f"{where} failed with {status}" + (f": {message}" if message else "")


def _mlflow_error(response: requests.Response) -> tuple[str | None, str, bool]:
    """Return (MLflow's error code or None where it is not MLflow's JSON, message, whether the body came whole)."""
    kind = response.headers.get("Content-Type", "")
    if "html" in kind:
        return None, "", True
    try:
        body: Any = json.loads(response.content)
    except requests.RequestException:
        return None, "", False
    except (ValueError, RecursionError):
        return None, "", not ("json" in kind and response.content)
    if not isinstance(body, dict):
        return None, "", True
    code = body.get("error_code")
    message = next((body[name] for name in ("message", "detail", "error") if body.get(name)), "")
    return (str(code) if code is not None else None), str(message)[:_LONGEST_MESSAGE], True


def connection_failure(uri: str, where: str, timeout_seconds: float, exc: Exception) -> Failure:
    """Return the failure of a request without an answer; ``exc`` is not quoted: it may name a proxy with password."""
    if isinstance(exc, requests.exceptions.SSLError):
        message = f"the TLS certificate of {uri} is not trusted; set MLFLOW_TRACKING_SERVER_CERT_PATH to its CA"
        return Failure(ServerError(message), transient=False, executed=False)
    if isinstance(exc, requests.exceptions.ProxyError):
        message = f"the proxy on the way to {uri} does not answer; see HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
        return Failure(ServerError(message), transient=True, executed=False)
    if isinstance(exc, requests.exceptions.ReadTimeout):
        message = f"{where} got no answer within {timeout_seconds:g} s (MLFLOW_HTTP_REQUEST_TIMEOUT)"
        return Failure(ServerError(message, status=HTTPStatus.GATEWAY_TIMEOUT), transient=True, executed=True)
    if isinstance(exc, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return Failure(ServerError(f"{where} is not a URL that can be requested"), transient=False, executed=False)
    unmade = _unmade_connection(exc)
    if unmade is not None:
        return Failure(ServerError(f"cannot reach {uri}: {unmade}"), transient=True, executed=False)
    message = f"{where}: the connection was dropped before the answer was complete"
    return Failure(ServerError(message, status=BROKEN_ANSWER), transient=True, executed=True)


def _unmade_connection(exc: BaseException) -> str | None:
    """Return why no connection was made, or None where one was."""
    causes: list[BaseException] = [exc]
    while causes:
        cause = causes.pop()
        if isinstance(cause, socket.gaierror) or type(cause).__name__ == "NameResolutionError":
            return "its name cannot be resolved"
        if isinstance(cause, urllib3.exceptions.ConnectTimeoutError) and "timed out" in str(cause):
            return "it does not answer"
        if isinstance(cause, urllib3.exceptions.NewConnectionError):
            return "connection refused" if "refused" in str(cause) else "no connection"
        causes.extend(arg for arg in (*cause.args, getattr(cause, "reason", None)) if isinstance(arg, BaseException))
    return None


def check_whole(response: requests.Response, uri: str, where: str, kind: str = "JSON") -> None:
    """Raise Failure for a success that cannot be what MLflow's server says: a page of something on the way, or nothing.

    The server says nothing only with status 204.
    """
    content_type = response.headers.get("Content-Type", "no type")
    if response.status_code == HTTPStatus.NO_CONTENT or (response.content and "html" not in content_type):
        return
    raise broken_failure(uri, where, kind, "nothing" if not response.content else content_type)


def check_accepted(response: requests.Response, uri: str, where: str) -> None:
    """Raise Failure for a success of a request that sent bytes, where it cannot be what MLflow's server says.

    It may say nothing, then of no type or protobuf's.
    """
    kind = response.headers.get("Content-Type", "")
    if response.content or "json" in kind or "html" in kind:
        check_whole(response, uri, where, "no page")


def broken_failure(uri: str, where: str, kind: str, answer: str) -> Failure:
    """Return the failure of a request whose success holds something else than expected."""
    message = f"{uri} is not an MLflow server, or something on the way spoils its answers: "
    error = ServerError(f"{message}{where} was answered with {answer}, expected {kind}", status=BROKEN_ANSWER)
    return Failure(error, transient=True, executed=True)


def body_failure(where: str, received: int, size: int | None, exc: Exception | None) -> Failure:
    """Return the failure of a body that ended early or came in another size."""
    expected = "" if size is None else f" of {size}"
    how = "ended" if exc is None else "was dropped"
    message = f"{where} {how} after {received}{expected} bytes"
    return Failure(ServerError(message, status=BROKEN_ANSWER), transient=True, executed=True)
