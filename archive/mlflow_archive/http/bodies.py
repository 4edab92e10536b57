"""The bodies of requests and answers that are too large to be held: read as they come, and checked for their size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import requests
from urllib3.exceptions import HTTPError

from mlflow_archive.http.refusals import body_failure

_PIECE = 1 << 18


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


class SizedBody:
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
