"""Artifacts that one server keeps behind another: ``mlflow-artifacts://HOST:PORT/…``, for exports and imports."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing

import pytest
from mlflow import MlflowClient

from mlflow_archive.errors import ItemError
from mlflow_archive.format import gaps
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.kinds import RUN
from mlflow_archive.sinks.replay.target.rest_target import RestTarget
from tests.sources.rest_reading import QUICK, files, read
from tests.support.login import PASSWORD, USER
from tests.support.mlflow_server import MlflowServer, running_server

NOBODY = "127.0.0.1:9"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with running_server(tmp_path_factory.mktemp("other") / "server") as server:
        yield server


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """The server that is read; MLflow lets experiments name another host only where that is allowed."""
    allowed = {"MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES": "mlflow-artifacts"}
    with running_server(tmp_path_factory.mktemp("ours") / "server", environment=allowed) as server:
        yield server


def _experiment(server: MlflowServer, name: str, host: str) -> str:
    return str(MlflowClient(server.uri).create_experiment(name, artifact_location=f"mlflow-artifacts://{host}/{name}"))


def test_files_are_read_from_the_server_that_has_them(ours: MlflowServer, other: MlflowServer) -> None:
    client = MlflowClient(ours.uri)
    experiment = _experiment(ours, "behind another", other.uri.removeprefix("http://"))
    run_id = client.create_run(experiment).info.run_id
    client.log_text(run_id, "there", "a/b.txt")
    client.log_text(run_id, "too", "c.txt")
    assert list(other.artifacts.rglob("b.txt")) != []
    found = read(ours.uri, experiments=("behind another",), kinds=(RUN,))
    assert files(found, RUN, run_id) == {"a/b.txt": b"there", "c.txt": b"too"}
    assert found.gaps() == set()


def test_a_server_that_names_itself_is_no_other(ours: MlflowServer) -> None:
    client = MlflowClient(ours.uri)
    host = ours.uri.removeprefix("http://").replace("127.0.0.1", "localhost")
    run_id = client.create_run(_experiment(ours, "behind itself", host)).info.run_id
    client.log_text(run_id, "here", "a.txt")
    found = read(ours.uri, experiments=("behind itself",), kinds=(RUN,))
    assert files(found, RUN, run_id) == {"a.txt": b"here"}


def test_files_behind_a_server_out_of_reach_are_a_gap_that_names_it(ours: MlflowServer) -> None:
    client = MlflowClient(ours.uri)
    experiment = _experiment(ours, "behind nobody", NOBODY)
    runs = {client.create_run(experiment).info.run_id for _ in range(2)}
    found = read(ours.uri, experiments=("behind nobody",), kinds=(RUN,))
    assert found.gaps() == {(run_id, "", gaps.ARTIFACT_LISTING) for run_id in runs}
    for row in found.rows("gaps"):
        assert NOBODY in row["reason"]
        assert "--artifact-map" in row["reason"]


def test_files_are_written_to_the_server_that_keeps_them(ours: MlflowServer, other: MlflowServer) -> None:
    host = other.uri.removeprefix("http://")
    with closing(RestTarget(TrackingSession(ours.uri, retry=QUICK))) as target:
        place = target.place(f"mlflow-artifacts://{host}/written/run")
        place.put("a/b.bin", io.BytesIO(b"12"), 2)
        assert dict(place.sizes()) == {"a/b.bin": 2}
        assert (other.artifacts / "written/run/a/b.bin").read_bytes() == b"12"
        nowhere = target.place(f"mlflow-artifacts://{NOBODY}/x")
        with pytest.raises(ItemError, match=NOBODY):
            nowhere.put("a", io.BytesIO(b""), 0)


@pytest.mark.parametrize(("named", "known"), [("127.0.0.1:7", True), ("localhost:7", True), ("10.0.0.1:80", False)])
def test_only_the_same_host_gets_the_password(named: str, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    with closing(TrackingSession("http://127.0.0.1:5000")) as session, closing(session.beside(named)) as beside:
        assert ("Authorization" in beside._access.headers) is known
        assert beside.uri == f"http://{named}"


def test_a_session_beside_itself_is_itself() -> None:
    with closing(TrackingSession("http://127.0.0.1:5000")) as session:
        assert session.beside("localhost:5000") is session
