"""What a worker opens for the tasks of one job stays open for the next of them, in each of its threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, get_ident
from typing import Any, Protocol, TypeVar


class _Open(Protocol):
    def close(self) -> None: ...


_Kept = TypeVar("_Kept", bound=_Open)

_opened_in: dict[int, tuple[str, Any]] = {}
"""What is open in this process, by thread, with the token of its job."""
_keeping = Lock()


@contextmanager
def keeping(token: str, opened: Callable[[], _Kept]) -> Iterator[_Kept]:
    """Give what this thread has open for a job, opened if it is not; that of another job is closed.

    It is closed where the block raises: nobody knows in what state it is.
    """
    with _keeping:
        token_kept, opening = _opened_in.get(get_ident(), ("", None))
    if opening is None or token_kept != token:
        with _keeping:
            _, before = _opened_in.pop(get_ident(), ("", None))
        if before is not None:
            before.close()  # before the next is opened: who closes a file drops all locks that its process has on it
        opening = opened()
        with _keeping:
            _opened_in[get_ident()] = token, opening
    try:
        yield opening
    except BaseException:
        with _keeping:
            spoilt = _opened_in.pop(get_ident(), None)
        if spoilt is not None:
            spoilt[1].close()
        raise


def close_kept(token: str) -> str:
    """Release what is open in this process for a job; a pool outlives it where it is a cluster's."""
    with _keeping:
        ended = [_opened_in.pop(thread) for thread, (of, _) in list(_opened_in.items()) if of == token]
    for _, opened in ended:
        opened.close()
    return ""
