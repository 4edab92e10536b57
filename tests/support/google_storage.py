"""A stand-in for Google Cloud Storage: as much of its XML API as an archive in a bucket asks for.

Objects have generations, which conditions of a PUT compare (``x-goog-if-generation-match``; 0 is none). What the real
service does beyond that, nobody has tried here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from threading import Lock
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.support.listening import listening

_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)")


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    generation: int
    modified: datetime

    @property
    def headers(self) -> dict[str, str]:
        return {
            "ETag": f'"{self.generation}"',
            "x-goog-generation": str(self.generation),
            "Last-Modified": format_datetime(self.modified, usegmt=True),
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, _Object]
    lock: Lock

    def _answer(self, status: int, data: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self._list(query.get("prefix", [""])[0])
            return
        stored = self.objects.get(self._key())
        if stored is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")
            return
        if self.headers.get("If-Match", stored.headers["ETag"]) != stored.headers["ETag"]:
            self._answer(412)
            return
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        if match is None:
            self._answer(200, stored.data, stored.headers)
        elif int(match[1]) >= len(stored.data):
            self._answer(416)
        else:
            first, end = int(match[1]), min(int(match[2]) + 1, len(stored.data))
            place = {"Content-Range": f"bytes {first}-{end - 1}/{len(stored.data)}"}
            self._answer(206, stored.data[first:end], stored.headers | place)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        condition = self.headers.get("x-goog-if-generation-match")
        with self.lock:
            before = self.objects.get(self._key())
            generation = before.generation if before else 0
            if condition is not None and int(condition) != generation:
                self._answer(412, b"<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>")
                return
            stored = self.objects[self._key()] = _Object(data, generation + 1, datetime.now(UTC))
        self._answer(200, headers=stored.headers)

    def do_DELETE(self) -> None:
        self._answer(204 if self.objects.pop(self._key(), None) else 404)

    def _list(self, prefix: str) -> None:
        bucket = self._key()
        entries = [
            f"<Contents><Key>{escape(key)}</Key><Size>{len(stored.data)}</Size>"
            f"<LastModified>{stored.modified.isoformat()}</LastModified><ETag>{stored.generation}</ETag></Contents>"
            for path, stored in sorted(self.objects.items())
            if (key := path.removeprefix(f"{bucket}/")).startswith(prefix)
        ]
        self._answer(200, f"<ListBucketResult>{''.join(entries)}</ListBucketResult>".encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def google_storage() -> Iterator[str]:
    """Start one on a free port of 127.0.0.1, where every bucket exists, and give its URL."""
    handler = type("Handler", (_Handler,), {"objects": {}, "lock": Lock()})
    with listening(handler) as uri:
        yield uri
