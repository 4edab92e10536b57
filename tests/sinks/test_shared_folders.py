"""Whether a server's artifact folder is one of this machine: the server is asked, as its path says nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from mlflow_archive.http.session import TrackingSession
from mlflow_archive.sinks.replay.target.shared_folders import SharedFolders
from tests.support.listening import listening

RUN, MODEL = "a" * 32, "m-" + "b" * 32


class _Listing(BaseHTTPRequestHandler):
    """A server that lists the folders of a run and a model; ``home`` is where it sees them."""

    home: Path

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        is_run = parts.path.endswith("/artifacts/list")
        assert is_run == (parse_qs(parts.query).get("run_id") == [RUN])
        folder = self.home / "1" / (RUN if is_run else f"models/{MODEL}") / "artifacts"
        files = [{"path": path.name, "is_dir": False} for path in folder.iterdir()] if folder.is_dir() else []
        data = json.dumps({"files": files}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def server(tmp_path: Path) -> Iterator[type[_Listing]]:
    handler: type[_Listing] = type("_Handler", (_Listing,), {"home": tmp_path / "home"})
    with listening(handler) as url:
        handler.address = url  # type: ignore[attr-defined]
        yield handler


def session(server: type[_Listing], host: str = "127.0.0.1") -> TrackingSession:
    address: str = server.address  # type: ignore[attr-defined]
    return TrackingSession(address.replace("127.0.0.1", host))


@pytest.mark.parametrize("path", [f"1/{RUN}/artifacts", f"1/models/{MODEL}/artifacts"])
@pytest.mark.parametrize("same", [True, False])
def test_a_folder_that_nobody_has_made_yet(server: type[_Listing], tmp_path: Path, path: str, same: bool) -> None:
    if not same:
        server.home = tmp_path / "in the container"
    assert SharedFolders(session(server)).is_shared(tmp_path / "home" / path) is same
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_an_experiment_need_not_be_there(server: type[_Listing], tmp_path: Path) -> None:
    server.home = tmp_path / "not asked"
    (tmp_path / "home").mkdir()
    assert SharedFolders(session(server)).is_shared(tmp_path / f"home/1/models/{MODEL}/artifacts")


def test_a_server_elsewhere_is_not_asked(server: type[_Listing], tmp_path: Path) -> None:
    folders = SharedFolders(TrackingSession("http://192.0.2.1:5000"))
    assert not folders.is_shared(tmp_path / f"home/1/{RUN}/artifacts")
    assert list(tmp_path.iterdir()) == []
