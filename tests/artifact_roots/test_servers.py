"""Artifacts behind a server's API: a real MLflow server's proxy, and a stand-in for Databricks' API of files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from mlflow_archive.artifact_roots import ArtifactRoots, ArtifactWriteError, Listing
from mlflow_archive.artifact_roots.proxy import PROXY_LIST
from mlflow_archive.flow.chunk import ArtifactUnreadableError
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.kinds import RUN
from mlflow_archive.sources.rest.artifacts import Artifacts, Owner
from tests.support.listening import listening
from tests.support.mlflow_server import MlflowServer
from tests.support.reading import content

FILES = {name: name.encode() for name in ("a b.txt", "ü/ö", "star*", "deep/er/x", "[x]")}


def listed(roots: ArtifactRoots, uri: str) -> Listing:
    return roots.list(uri, owner_kind="run", owner_id="r")


class TestProxy:
    def test_written_and_read(self, mlflow_server: MlflowServer) -> None:
        roots, uri = ArtifactRoots(), f"{mlflow_server.uri}{PROXY_LIST}/http-root/run/artifacts"
        assert (roots.is_empty(uri), listed(roots, uri)) == (True, Listing())
        all_files = {**FILES, "empty": b"", "large": b"x" * (5 << 20)}
        for name, data in all_files.items():
            roots.write(uri, name, io.BytesIO(data))
        assert (mlflow_server.artifacts / "http-root/run/artifacts/deep/er/x").read_bytes() == b"deep/er/x"
        listing = listed(roots, uri)
        assert {file.path: content(file) for file in listing.files} == {
            **FILES,
            "empty": b"",
            "large": b"x" * (5 << 20),
        }
        assert listing.gaps == []
        assert [roots.exists(uri, path) for path in ("deep/er/x", "deep", "deep/x", "no/x")] == [
            True,
            True,
            False,
            False,
        ]
        gone = next(file for file in listing.files if file.path == "empty")
        roots.remove(uri, "empty")
        assert not roots.exists(uri, "empty")
        with pytest.raises(ArtifactUnreadableError) as caught:
            content(gone)
        assert caught.value.code == "G101"

    def test_what_the_server_takes_for_another_name_is_not_written(self, mlflow_server: MlflowServer) -> None:
        uri = f"{mlflow_server.uri}{PROXY_LIST}/http-root/odd"
        with pytest.raises(ArtifactWriteError, match="'a%41b' to that of another file"):
            ArtifactRoots().write(uri, "a%41b", io.BytesIO(b""))

    def test_what_a_database_keeps_behind_its_server_is_read_there(self, mlflow_server: MlflowServer) -> None:
        roots = ArtifactRoots(artifacts_destination=mlflow_server.uri + PROXY_LIST)
        roots.write("mlflow-artifacts:/proxied/run", "x", io.BytesIO(b"1"))
        assert [file.path for file in listed(roots, "mlflow-artifacts:/proxied/run").files] == ["x"]

    def test_another_page_is_no_artifact_root(self) -> None:
        (gap,) = listed(ArtifactRoots(), "https://ann:s3cret@host/files").gaps
        assert (gap.code, "https://host/files is no artifact root of MLflow" in gap.reason) == ("G105", True)

    def test_a_server_that_nobody_runs_is_asked_once(self) -> None:
        roots, uri = ArtifactRoots(), f"http://ann:s3cret@127.0.0.1:9{PROXY_LIST}/x"
        reasons = {listed(roots, uri).gaps[0].reason for _ in range(3)}
        assert len(reasons) == 1
        assert "s3cret" not in reasons.pop()


@dataclass
class Workspace:
    """What stands in for a workspace of Databricks: its files, and the credentials that came."""

    uri: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    logins: set[str | None] = field(default_factory=set)


@contextmanager
def workspace(files_there: dict[str, bytes]) -> Iterator[Workspace]:
    """Answer ``/api/2.0/dbfs/list`` and ``/dbfs/PATH`` as MLflow's DbfsRestArtifactRepository expects it."""
    there = Workspace(files=files_there)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            there.logins.add(self.headers["Authorization"])
            parts = urlsplit(self.path)
            if parts.path == "/api/2.0/dbfs/list":
                self._list(parse_qs(parts.query)["path"][0])
            elif (data := there.files.get(unquote(parts.path).removeprefix("/dbfs"))) is not None:
                self._answer(200, data)
            else:
                self._answer(404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}')

        def _list(self, folder: str) -> None:
            below = [path for path in there.files if path.startswith(f"{folder}/")]
            if not below:
                self._answer(404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}')
                return
            names = {path.removeprefix(f"{folder}/").partition("/")[0] for path in below}
            entries = [
                {"path": path, "is_dir": path not in there.files, "file_size": len(there.files.get(path, b""))}
                for path in (f"{folder}/{name}" for name in names)
            ]
            self._answer(200, json.dumps({"files": entries}).encode())

        def _answer(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

    with listening(Handler) as there.uri:
        yield there


class TestDatabricks:
    def test_read_with_the_log_in_of_the_workspace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        below = {f"/mnt/ml/1/r/artifacts/{name}": data for name, data in {**FILES, "a%41b#c?d": b"1"}.items()}
        with workspace({**below, "/mnt/ml/1/r/artifacts2/x": b""}) as there:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", there.uri)
            monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "dapi-1")
            for uri in ("dbfs:/mnt/ml/1/r/artifacts", "dbfs://databricks/mnt/ml/1/r/artifacts/"):
                listing = listed(ArtifactRoots(), uri)
                assert {file.path: content(file) for file in listing.files} == {**FILES, "a%41b#c?d": b"1"}
                assert listing.gaps == []
            assert listed(ArtifactRoots(), "dbfs:/mnt/none") == Listing()
            assert there.logins == {"Bearer dapi-1"}
            with pytest.raises(ArtifactWriteError, match="is read only"):
                ArtifactRoots().write("dbfs:/mnt/ml", "x", io.BytesIO(b""))

    def test_an_export_over_http_reads_them_from_the_workspace_itself(self) -> None:
        with workspace({"/mnt/ml/x": b"1"}) as there, closing(TrackingSession(there.uri)) as session:
            artifacts = Artifacts(session)
            owner = Owner(kind=RUN, id="r", uri="dbfs:/mnt/ml", list_folder=lambda _: ("/not/asked", None))
            (file,) = artifacts.of(owner).files
            assert (file.path, content(file)) == ("x", b"1")

    @pytest.mark.parametrize(
        ("uri", "told"),
        [
            ("dbfs:/Volumes/a/b/c", "--artifact-map FROM=TO"),
            ("dbfs:/databricks/mlflow-tracking/1/r/artifacts", "--artifact-map FROM=TO"),
            ("dbfs://work@databricks/mnt/x", "--artifact-map dbfs://work@databricks=dbfs:"),
            ("dbfs:/mnt/x", "MLFLOW_TRACKING_URI=https://WORKSPACE"),
        ],
    )
    def test_what_cannot_be_read_is_a_gap(self, uri: str, told: str) -> None:
        (gap,) = listed(ArtifactRoots(), uri).gaps
        assert (gap.code, told in gap.reason) == ("G105", True)

    def test_a_map_leads_from_a_profile_to_the_workspace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with workspace({"/mnt/x/y": b"1"}) as there:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", there.uri)
            roots = ArtifactRoots(artifact_map=[("dbfs://work@databricks", "dbfs:")])
            assert [file.path for file in listed(roots, "dbfs://work@databricks/mnt/x").files] == ["y"]


def test_the_log_in_of_the_tracking_server_goes_to_no_other_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    with workspace({}) as there:
        for default in ("", "http://tracking.example"):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", default)
            assert len(listed(ArtifactRoots(), f"{there.uri}{PROXY_LIST}/x").files) == 0
        assert there.logins == {None}
        own = there.uri.replace("http://", "http://ann:pw@")
        listed(ArtifactRoots(), f"{own}{PROXY_LIST}/x")
        assert there.logins == {None, "Basic YW5uOnB3"}
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{there.uri}/other")
        listed(ArtifactRoots(), f"{there.uri}{PROXY_LIST}/x")
        assert there.logins == {None, "Basic YW5uOnB3", "Bearer secret"}
