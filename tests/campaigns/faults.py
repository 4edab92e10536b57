"""What a network and the gateways on it do to a request and its answer. Pure: bytes in, bytes out."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """A kind of fault; its value is what tables call it."""

    RESET_BEFORE = "reset before"
    RESET_AFTER = "reset after"
    BUSY = "429"
    BUSY_WITH_TIME = "429 Retry-After"
    INTERNAL_ERROR = "500"
    BAD_GATEWAY = "502"
    UNAVAILABLE = "503"
    GATEWAY_TIMEOUT = "504"
    PAGE = "HTML 200"
    EMPTY = "empty 200"
    CUT = "body cut"
    LENGTH = "wrong length"
    STALL = "stall"
    BROKEN_JSON = "JSON cut"


NEVER_DELIVERED: Final = frozenset({Fault.RESET_BEFORE, Fault.BUSY, Fault.BUSY_WITH_TIME})
"""The server does not see the request."""

ALWAYS_DELIVERED: Final = frozenset({Fault.RESET_AFTER, Fault.CUT, Fault.LENGTH, Fault.STALL, Fault.BROKEN_JSON})
"""The server acts, and its answer suffers. Of all other kinds a coin decides: a gateway may fail on either way."""

_STATUS: Final = {
    Fault.BUSY: 429,
    Fault.BUSY_WITH_TIME: 429,
    Fault.INTERNAL_ERROR: 500,
    Fault.BAD_GATEWAY: 502,
    Fault.UNAVAILABLE: 503,
    Fault.GATEWAY_TIMEOUT: 504,
}
_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Welcome to this network.</body></html>\n"
)
_FIELD: Final = re.compile(rb'"[^"\\]*": ?')


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as it goes over the line: ``length`` is what Content-Length says, whatever ``body`` has."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    length: int
    closed: bool = False

    @property
    def is_json(self) -> bool:
        return any(name.lower() == "content-type" and "json" in value for name, value in self.headers)


def refusal(fault: Fault) -> Answer | None:
    """Return what the client gets instead of the server's answer; None for kinds that spoil that one."""
    if fault is Fault.PAGE:
        return _whole(200, "text/html; charset=utf-8", _PAGE)
    if fault is Fault.EMPTY:
        return _whole(200, "application/json", b"")
    status = _STATUS.get(fault)
    if status is None:
        return None
    waiting = (("Retry-After", "1"),) if fault is Fault.BUSY_WITH_TIME else ()
    return _whole(status, "text/html", b"<html><body>try again later</body></html>", *waiting)


def _whole(status: int, kind: str, body: bytes, *headers: tuple[str, str]) -> Answer:
    return Answer(status=status, headers=(("Content-Type", kind), *headers), body=body, length=len(body))


def spoilt(fault: Fault, answer: Answer, chance: random.Random) -> Answer | None:
    """Return the server's answer as ``fault`` leaves it; None where this answer cannot have this fault."""
    body = answer.body
    if fault is Fault.CUT:
        return _changed(answer, body=body[: len(body) // 2], length=max(1, len(body)), closed=True)
    if fault is Fault.LENGTH and len(body) > 1:
        return _changed(answer, body=body, length=len(body) // 2)
    if fault is Fault.BROKEN_JSON and answer.is_json and body:
        ends = [match.end() for match in _FIELD.finditer(body)]
        start = body[: chance.choice(ends) if ends else len(body) // 2]
        return _changed(answer, body=start, length=len(start))
    return None


def _changed(answer: Answer, *, body: bytes, length: int, closed: bool = False) -> Answer:
    return Answer(status=answer.status, headers=answer.headers, body=body, length=length, closed=closed)
