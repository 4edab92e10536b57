"""What a time-stamp authority over HTTP may answer, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import pytest

from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.http.authority import MAX_ANSWER, ask_authority
from tests.support.listening import listening

REPLY = "application/timestamp-reply"
Answer = tuple[int, str, bytes]


@dataclass
class Place:
    """A server that gives some answers and keeps the requests."""

    answers: list[Answer]
    uri: str = ""
    seen: list[tuple[str, bytes, str | None]] = field(default_factory=list)


@contextmanager
def answering(*answers: Answer) -> Iterator[Place]:
    place = Place(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            place.seen.append((self.headers["Content-Type"], body, self.headers["Authorization"]))
            status, kind, answer = place.answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
            pass

    with listening(Handler) as url:
        place.uri = f"{url}/tsa"
        yield place


def test_a_question_and_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "of a tracking server")
    with answering((200, f"{REPLY}; charset=binary", b"token")) as place:
        assert ask_authority(place.uri, b"question") == b"token"
    assert place.seen == [("application/timestamp-query", b"question", None)]


def test_what_passes_is_asked_again_twice() -> None:
    busy = (503, "text/plain", b"busy")
    with answering(busy, busy, (200, REPLY, b"token")) as place:
        assert ask_authority(place.uri, b"question") == b"token"
    with answering(busy, busy, busy, (200, REPLY, b"token")) as place:
        with pytest.raises(ServerError, match=rf"POST {place.uri} failed with 503$") as raised:
            ask_authority(place.uri, b"question")
        assert (raised.value.status, len(place.seen)) == (503, 3)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            (404, "text/html", b"<html>"),
            "was answered with 404 and text/html, expected 200 and application/timestamp-reply",
        ),
        (
            (200, "text/html", b"<html>"),
            "was answered with 200 and text/html, expected 200 and application/timestamp-reply",
        ),
        ((302, "text/html", b""), "was answered with 302 and text/html"),
        (
            (200, REPLY, bytes(MAX_ANSWER + 1)),
            f"was answered with more than {MAX_ANSWER} bytes, which is no time-stamp",
        ),
    ],
)
def test_what_is_no_authority(answer: Answer, text: str) -> None:
    with answering(answer) as place:
        with pytest.raises(ServerError, match=text):
            ask_authority(place.uri, b"question")
        assert len(place.seen) == 1


def test_credentials_of_the_url_are_used_and_not_told() -> None:
    with answering((401, "text/plain", b"")) as place:
        with pytest.raises(ServerError, match=place.uri) as raised:
            ask_authority(place.uri.replace("//", "//ada:secret@"), b"question")
        assert place.seen[0][2] == "Basic YWRhOnNlY3JldA=="
        assert "secret" not in str(raised.value)


def test_what_is_no_url() -> None:
    for url in ("tsa.example", "http:///tsa", "ftp://tsa.example"):
        with pytest.raises(SelectionError, match="begins with http:// or https://, and its host follows"):
            ask_authority(url, b"question")
