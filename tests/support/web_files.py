"""A web server that gives out the files of a folder by ranges, as many do, or whole only, as Python's own does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.support.listening import listening

_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)")


@contextmanager
def web_files(folder: Path, asked: list[str], *, ranges: bool = True) -> Iterator[str]:
    """Start one on a free port of 127.0.0.1 and give its URL; the target of each request is added to ``asked``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            path = folder / unquote(urlsplit(self.path).path).lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            data, status, headers = path.read_bytes(), 200, {}
            match = _RANGE.fullmatch(self.headers.get("Range", "")) if ranges else None
            if match:
                first, end = int(match[1]), min(int(match[2]) + 1, len(data))
                headers, status = {"Content-Range": f"bytes {first}-{end - 1}/{len(data)}"}, 206
                data = data[first:end]
            self.send_response(status)
            headers |= {"Content-Length": str(len(data)), "ETag": f'"{path.stat().st_mtime_ns}"'}
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with listening(Handler) as uri:
        yield uri
