"""HTTP to a time-stamp authority (RFC 3161, section 3.4): one question, one answer.

No credentials of a tracking server go there.
"""

from __future__ import annotations

import time
from typing import Final

import requests
from urllib3.exceptions import HTTPError

from mlflow_archive.errors import ServerError
from mlflow_archive.http.credentials import split_userinfo
from mlflow_archive.http.refusals import connection_failure
from mlflow_archive.http.retry import DEFAULT, TRANSIENT_STATUS

MAX_ANSWER: Final = 1024 * 1024
_QUERY: Final = "application/timestamp-query"
_REPLY: Final = "application/timestamp-reply"
_TIMEOUT_SECONDS: Final = 60.0
_ATTEMPTS: Final = 3


def ask_authority(url: str, request: bytes) -> bytes:
    """POST a time-stamp request and return the answer, at most ``MAX_ANSWER`` bytes; what may pass is asked again.

    Raises ServerError where there is no such authority, or it refuses.
    """
    for attempt in range(1, _ATTEMPTS):
        try:
            return _ask(url, request)
        except _PassingError:
            time.sleep(DEFAULT.delay(attempt, None))
    return _ask(url, request)


class _PassingError(ServerError):
    """What may be gone the next time."""


def _ask(url: str, request: bytes) -> bytes:
    shown = split_userinfo(url)[0]
    where = f"POST {shown}"
    headers = {"Content-Type": _QUERY, "Accept": _REPLY}
    try:
        with requests.post(
            url, data=request, headers=headers, timeout=_TIMEOUT_SECONDS, stream=True, allow_redirects=False
        ) as response:
            kind = response.headers.get("Content-Type", "no type").partition(";")[0]
            if response.status_code in TRANSIENT_STATUS:
                raise _PassingError(f"{where} failed with {response.status_code}", status=response.status_code)
            if response.status_code != requests.codes.ok or kind != _REPLY:
                message = f"{where} was answered with {response.status_code} and {kind}, expected 200 and {_REPLY}"
                raise ServerError(f"{message}; is it the URL of a time-stamp authority?", status=response.status_code)
            answer = response.raw.read(MAX_ANSWER + 1, decode_content=True)
    except requests.exceptions.SSLError as error:
        message = f"the TLS certificate of {shown} is not trusted; REQUESTS_CA_BUNDLE may name the file of its CA"
        raise ServerError(message) from error
    except requests.exceptions.ReadTimeout as error:
        raise _PassingError(f"{where} got no answer within {_TIMEOUT_SECONDS:g} s") from error
    except (requests.RequestException, HTTPError) as error:
        failure = connection_failure(shown, where, _TIMEOUT_SECONDS, error)
        kind_of_error = _PassingError if failure.transient else ServerError
        raise kind_of_error(str(failure.error), status=failure.error.status) from error
    if len(answer) > MAX_ANSWER:
        raise ServerError(f"{where} was answered with more than {MAX_ANSWER} bytes, which is no time-stamp")
    return bytes(answer)
