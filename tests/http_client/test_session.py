"""The session against a real server, directly and over a bad network."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing

import mlflow
import pytest

from mlflow_archive.errors import ServerError
from mlflow_archive.http.retry import DEFAULT, RetryPolicy, parse_retry_after
from mlflow_archive.http.server import probe
from mlflow_archive.http.session import TrackingSession
from tests.support.bad_network import BadNetwork, bad_network
from tests.support.mlflow_server import MlflowServer

QUICK = RetryPolicy(first_delay=0.001, longest_delay=0.002)
SEARCH = "/api/2.0/mlflow/experiments/search"
STORE = "/api/2.0/mlflow-artifacts/artifacts/session/"


@pytest.fixture
def network(mlflow_server: MlflowServer) -> Iterator[BadNetwork]:
    with bad_network(mlflow_server.uri) as network:
        yield network


@pytest.fixture
def session(network: BadNetwork) -> Iterator[TrackingSession]:
    with closing(TrackingSession(network.uri, retry=QUICK)) as session:
        yield session


@pytest.mark.parametrize(
    "fault", ["drop", "cut", "408", "429", "500", "502", "503", "504", "html", "empty", "short", "late drop"]
)
def test_passing_faults_are_retried(network: BadNetwork, session: TrackingSession, fault: str) -> None:
    network.faults[SEARCH] = [fault, fault]
    assert session.post(SEARCH, {"max_results": 1})["experiments"]
    assert len(network.seen) == 3


def test_patience_ends(network: BadNetwork, session: TrackingSession) -> None:
    network.faults[SEARCH] = ["503"] * 100
    with pytest.raises(ServerError) as caught:
        session.post(SEARCH, {"max_results": 1})
    assert caught.value.status == 503
    assert len(network.seen) == QUICK.attempts


@pytest.mark.parametrize("fault", ["html", "empty", "short", "cut", "drop", "502"])
def test_a_server_that_answered_once_is_tried_eight_times(
    network: BadNetwork, session: TrackingSession, fault: str
) -> None:
    session.post(SEARCH, {"max_results": 1})
    network.faults[SEARCH] = [fault] * 7
    assert session.post(SEARCH, {"max_results": 1})["experiments"]
    network.faults[SEARCH] = [fault] * 8
    with pytest.raises(ServerError) as caught:
        session.post(SEARCH, {"max_results": 1})
    assert caught.value.status == 502  # about this request: others may get through


def test_waits_grow_and_end_after_half_a_minute() -> None:
    waits = [DEFAULT.delay(attempt, None) for attempt in range(1, DEFAULT.attempts)]
    assert waits == sorted(waits)
    assert sum(waits) < 45


def test_where_nothing_gets_through_any_more_it_says_so(network: BadNetwork, session: TrackingSession) -> None:
    """The third request that fails for good is followed by another; if that fails too, nobody answers."""
    session.post(SEARCH, {"max_results": 1})
    network.faults = {"runs/get": ["503"] * 99}
    for _ in range(5):
        with pytest.raises(ServerError) as caught:
            session.get("/api/2.0/mlflow/runs/get", {"run_id": "x"})
        assert caught.value.status == 503
    network.faults = {"/": ["503"] * 99}
    statuses = []
    for _ in range(3):
        with pytest.raises(ServerError) as caught:
            session.get("/api/2.0/mlflow/runs/get", {"run_id": "x"})
        statuses.append(caught.value.status)
    assert None in statuses


@pytest.mark.parametrize("fault", ["html", "empty", "short", "late drop", "502"])
def test_what_was_put_is_there(network: BadNetwork, session: TrackingSession, fault: str) -> None:
    session.post(SEARCH, {"max_results": 1})
    network.faults["sure.bin"] = [fault] * 3
    session.put(STORE + "sure.bin", fault.encode(), size=len(fault))
    network.faults.clear()
    target = io.BytesIO()
    session.download(STORE + "sure.bin", None, target)
    assert target.getvalue() == fault.encode()


def test_a_delete_whose_answer_was_lost_is_done(network: BadNetwork, session: TrackingSession) -> None:
    body = {"name": "to be deleted"}
    session.post("/api/2.0/mlflow/registered-models/create", body)
    network.faults["registered-models/delete"] = ["late drop", "html", "502"]
    assert session.delete("/api/2.0/mlflow/registered-models/delete", body) == {}
    with pytest.raises(ServerError) as caught:
        session.delete("/api/2.0/mlflow/registered-models/delete", body)
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize("cut", ["3.1", "<html>", ""])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_version_that_was_cut_is_not_believed(
    network: BadNetwork, session: TrackingSession, cut: str, times: int
) -> None:
    answers = [cut.encode()] * times
    network.change = lambda path, content: answers.pop() if path == "/version" and answers else content
    assert probe(session) == mlflow.__version__


@pytest.mark.parametrize(("told", "version"), [("2.0", "2.0"), ("<html>", None)])
def test_a_version_of_another_form_is_believed_in_the_end(
    network: BadNetwork, session: TrackingSession, told: str, version: str | None
) -> None:
    network.change = lambda path, content: told.encode() if path == "/version" else content
    assert probe(session) == version


def test_json_that_the_server_really_has_malformed_is_given(network: BadNetwork, session: TrackingSession) -> None:
    session.post(SEARCH, {"max_results": 1})
    network.change = lambda path, content: b'{"cut": ' if "runs/get" in path else content
    assert session.json_bytes("/api/2.0/mlflow/experiments/get", {"experiment_id": "0"}).startswith(b"{")
    network.change = lambda path, content: b'{"cut": ' if "experiments/get" in path else content
    assert session.json_bytes("/api/2.0/mlflow/experiments/get", {"experiment_id": "0"}) == b'{"cut": '


@pytest.mark.parametrize(("fault", "requests"), [("drop", 1), ("500", 1), ("429", 2), ("503", 2)])
def test_what_may_have_been_executed_is_not_repeated(
    network: BadNetwork, session: TrackingSession, fault: str, requests: int
) -> None:
    network.faults["create"] = [fault]
    try:
        session.post("/api/2.0/mlflow/experiments/create", {"name": f"once {fault}"}, idempotent=False)
    except ServerError:
        assert requests == 1
    assert len(network.seen) == requests


def test_a_download_that_drops_begins_again(network: BadNetwork, session: TrackingSession) -> None:
    data = bytes(range(256)) * 4000
    session.put(STORE + "a%20b.bin", io.BytesIO(b"xx" + data), size=len(data) + 2)
    network.faults["a%20b.bin"] = ["cut", "drop", "cut"]
    target = io.BytesIO()
    assert session.download(STORE + "a%20b.bin", None, target) == len(data) + 2
    assert target.getvalue() == b"xx" + data


@pytest.mark.parametrize("data", [b"", b"x", b"y" * 5_000_000])
def test_put_repeats_from_where_the_data_began(network: BadNetwork, session: TrackingSession, data: bytes) -> None:
    network.faults["put.bin"] = ["503", "drop"]
    stream = io.BytesIO(b"head" + data)
    stream.seek(4)
    session.put(STORE + "put.bin", stream, size=len(data))
    with session.stream(STORE + "put.bin") as streamed:
        assert streamed.size == len(data)
        assert b"".join(streamed.pieces()) == data


def test_userinfo_is_sent_and_never_shown(network: BadNetwork) -> None:
    uri = network.uri.replace("http://", "http://wh%40o:s3cr%2Ft@")
    told: list[str] = []
    with closing(TrackingSession(uri, retry=QUICK, on_retry=told.append)) as session:
        session.post(SEARCH, {"max_results": 1})
        assert network.seen[0][2]["Authorization"] == "Basic d2hAbzpzM2NyL3Q="
        network.faults[SEARCH] = ["drop", "401"]
        with pytest.raises(ServerError, match="other credentials") as caught:
            session.post(SEARCH, {"max_results": 1})
    assert caught.value.status == 401
    shown = " ".join([*told, session.uri, str(caught.value), repr(session._access), repr(caught.value.__cause__)])
    assert "s3cr" not in shown
    assert "wh" not in session.uri


@pytest.mark.parametrize(
    ("variables", "header", "value"),
    [
        ({"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p"}, "Authorization", "Basic dTpw"),
        ({"MLFLOW_TRACKING_TOKEN": "tok"}, "Authorization", "Bearer tok"),
        ({"MLFLOW_WORKSPACE": "team"}, "X-MLFLOW-WORKSPACE", "team"),
    ],
)
def test_stock_variables(
    network: BadNetwork, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], header: str, value: str
) -> None:
    for name, setting in variables.items():
        monkeypatch.setenv(name, setting)
    network.faults[SEARCH] = ["200"]  # the proxy answers: the server behind it has no workspaces
    with closing(TrackingSession(network.uri, retry=QUICK)) as session:
        session.post(SEARCH, {"max_results": 1})
    assert network.seen[0][2][header] == value


def test_probe_tells_the_version(session: TrackingSession) -> None:
    version = probe(session)
    assert version is not None
    assert version.count(".") == 2


def test_a_page_is_no_mlflow_server(network: BadNetwork, session: TrackingSession) -> None:
    network.faults[SEARCH] = ["html"] * 99
    with pytest.raises(ServerError, match="not an MLflow server"):
        probe(session)


def test_nobody_there() -> None:
    with (
        closing(TrackingSession("http://127.0.0.1:9", retry=QUICK)) as session,
        pytest.raises(ServerError, match=r"cannot reach http://127\.0\.0\.1:9: connection refused"),
    ):
        probe(session)


@pytest.mark.parametrize("uri", ["ftp://host", "host:5000", "http://", "http://a:b@[::1", "http://u:pw@host:port"])
def test_what_is_no_server_uri_is_refused_without_showing_it(uri: str) -> None:
    with pytest.raises(ServerError) as caught:
        TrackingSession(uri)
    assert "pw" not in str(caught.value)


def test_mlflow_errors_are_told(session: TrackingSession) -> None:
    with pytest.raises(ServerError, match="RESOURCE_DOES_NOT_EXIST") as caught:
        session.get("/api/2.0/mlflow/runs/get", {"run_id": "none"})
    assert (caught.value.status, caught.value.error_code) == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize("fault", ["short", "cut"])
def test_a_refusal_that_was_cut_is_asked_for_again(network: BadNetwork, session: TrackingSession, fault: str) -> None:
    """Else it is taken for that of a server without this request."""
    network.faults["runs/get"] = [fault, fault]
    with pytest.raises(ServerError) as caught:
        session.get("/api/2.0/mlflow/runs/get", {"run_id": "none"})
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_retry_after() -> None:
    assert parse_retry_after("7") == 7.0
    assert parse_retry_after("soon") is None
    assert parse_retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0
    assert QUICK.delay(1, 2.0) == 2.0
