"""MLflow on an archive: its client by a URI, its server by serve; everything can be read, nothing written."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.api.serving.database import database_of
from mlflow_archive.api.serving.guard import is_reading
from mlflow_archive.api.serving.location import ArtifactAddress, State, address_of, artifact_root, state_of
from mlflow_archive.errors import TargetError
from mlflow_archive.flow.copy import copy
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.writer.export import ArchiveSink
from mlflow_archive_cli.commands.serve import command as serve_command
from tests.support.chunks import ChunkSource, chunk, experiment
from tests.support.full_database import Everything, make_everything

READING = [
    ("GET", "/"),
    ("HEAD", "/static-files/x.js"),
    ("POST", "/ajax-api/2.0/mlflow/runs/search"),
    ("POST", "/api/3.0/mlflow/traces/search"),
    ("POST", "/api/2.0/mlflow/experiments/search"),
    ("POST", "/ajax-api/2.0/mlflow/experiments/search-datasets"),
    ("POST", "/ajax-api/2.0mlflow/experiments/search-datasets"),
    ("POST", "/graphql"),
]
WRITING = [
    ("POST", "/api/2.0/mlflow/runs/create"),
    ("POST", "/api/2.0/mlflow/runs/search/../create"),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/x"),
    ("DELETE", "/api/3.0/mlflow/traces/x/tags"),
    ("PATCH", "/api/2.0/mlflow/logged-models/x"),
    ("POST", "/v1/traces"),
    ("GET", "/gateway/x/mlflow/invocations"),
    ("POST", "/ajax-api/3.0/mlflow/assistant/message"),
]


@pytest.mark.parametrize(("method", "path"), READING)
def test_what_is_let_through(method: str, path: str) -> None:
    assert is_reading(method, path)


@pytest.mark.parametrize(("method", "path"), WRITING)
def test_what_is_refused(method: str, path: str) -> None:
    assert not is_reading(method, path)


@pytest.mark.parametrize(
    ("rest", "place"),
    [
        ("1/" + "a" * 32 + "/artifacts/b/c", ArtifactAddress(kind="run", owner="a" * 32, path="b/c")),
        ("1/models/m-1/artifacts", ArtifactAddress(kind="logged_model", owner="m-1", path="")),
        ("1/traces/tr-1/artifacts/traces.json", ArtifactAddress(kind="trace", owner="tr-1", path="traces.json")),
        ("models/shop/3/MLmodel", ArtifactAddress(kind="registered_model", owner="shop", path="3/MLmodel")),
        ("1", None),
    ],
)
def test_locations(rest: str, place: ArtifactAddress | None) -> None:
    for at in (None, 12):
        state = State(Path("/data/an archive!/50%#.mlfa"), at)
        assert address_of(f"{artifact_root(state)}/{rest}") == place
        assert state_of(f"{artifact_root(state)}/{rest}") == state
        assert state_of(artifact_root(state).removesuffix("!")) == state


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Everything:
    folder = tmp_path_factory.mktemp("everything")
    return make_everything(f"sqlite:///{folder / 'mlflow.db'}", folder / "files")


@pytest.fixture(scope="module")
def archive(everything: Everything, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "a b.mlfa"
    copy(locate_source(everything.uri), ArchiveSink(path, tool="test", clock_ms=lambda: 0), jobs=2)
    return path


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cache = str(tmp_path_factory.mktemp("cache"))
    return {**os.environ, "XDG_CACHE_HOME": cache, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


CLIENT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow
from mlflow import MlflowClient
mlflow.set_tracking_uri(f"mlflow-archive:{sys.argv[1]}")
ids = json.loads(sys.argv[2])
client, run = MlflowClient(), ids["run"]
predict = lambda which: mlflow.pyfunc.load_model(f"models:/{ids['name']}{which}").predict([1, 2])
traces = mlflow.search_traces(locations=[ids["experiment"]], return_type="list")
refused = []
for write in (lambda: client.log_metric(run, "x", 1), lambda: mlflow.create_experiment("x"),
              lambda: client.create_registered_model("x"), lambda: client.log_text(run, "x", "x.txt")):
    try:
        write()
    except mlflow.exceptions.MlflowException as error:
        refused.append(error.error_code)
print(json.dumps({
    "runs": sorted(mlflow.search_runs(search_all_experiments=True)["run_id"]),
    "history": [[p.step, p.value] for p in client.get_metric_history(run, "m")],
    "notes": open(mlflow.artifacts.download_artifacts(f"runs:/{run}/notes/run ü.txt")).read(),
    "predictions": [predict(which) for which in ("/1", "/4", "@champion")],
    "spans": {t.info.trace_id: len(t.data.spans) for t in traces},
    "refused": refused,
}))
"""


def test_mlflows_client_reads_an_archive(archive: Path, everything: Everything, environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", CLIENT, str(archive), json.dumps(everything.ids)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=archive.parent)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    ids = everything.ids
    assert found["runs"] == sorted([ids["run"], ids["other run"]])
    assert found["history"]
    assert found["predictions"] == [[2, 4]] * 3
    assert {ids[name]: 3 for name in ("in database", "in file", "archived")}.items() <= found["spans"].items()
    assert found["refused"] == ["PERMISSION_DENIED"] * 4
    assert list(archive.parent.iterdir()) == [archive]


@contextmanager
def serving(archive: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run the command on a free port; it must end cleanly on Ctrl-C."""
    command = [sys.executable, "-m", "mlflow_archive_cli", "serve", str(archive), "--port", "0", "-q"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=archive.parent
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=30)
    assert (process.returncode, out, told) == (0, "", "")


def call(url: str, body: dict[str, Any] | None = None, method: str | None = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own address
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_server_reads_everything_and_writes_nothing(
    archive: Path, everything: Everything, environment: dict[str, str]
) -> None:
    ids = everything.ids
    before = archive.read_bytes()
    with serving(archive, environment) as url:
        assert b"<html" in call(url)[1]
        status, found = call(f"{url}/ajax-api/2.0/mlflow/runs/search", {"experiment_ids": [ids["experiment"]]})
        assert status == 200
        assert {run["info"]["run_id"] for run in json.loads(found)["runs"]} == {ids["run"], ids["other run"]}
        path = f"{url}/get-artifact?run_uuid={ids['run']}&path=notes/run%20%C3%BC.txt"
        assert call(path)[0] == 200
        for name in ("in database", "in file", "archived"):
            status, payload = call(f"{url}/ajax-api/3.0/mlflow/get-trace-artifact?request_id={ids[name]}")
            assert (status, len(json.loads(payload)["spans"])) == (200, 3)
        assert call(f"{url}/api/3.0/mlflow/label-schemas/list?experiment_id={ids['experiment']}")[0] == 200
        status, refusal = call(f"{url}/api/2.0/mlflow/runs/delete", {"run_id": ids["run"]})
        assert (status, json.loads(refusal)["error_code"]) == (403, "PERMISSION_DENIED")
        assert call(f"{url}/api/2.0/mlflow-artifacts/artifacts/x", {}, "PUT")[0] == 403
        # The run table asks for a gateway; a refusal would be shown as an error.
        proxy = f"{url}/ajax-api/2.0/mlflow/gateway-proxy"
        assert call(f"{proxy}?gateway_path=api%2F2.0%2Fendpoints%2F") == (200, b'{"endpoints": []}')
        assert call(proxy, {"gateway_path": "x"})[0] == 403
        # MLflow's pages show who is looking, and offer what that user may do: nothing.
        user = json.loads(call(f"{url}/ajax-api/2.0/mlflow/users/current")[1])["user"]
        assert (user["username"], user["is_admin"]) == (f"read-only: {archive.name}", False)
        permissions = json.loads(call(f"{url}/ajax-api/3.0/mlflow/users/current/permissions")[1])
        assert permissions == {"is_admin": False, "permissions": []}
        assert call(f"{url}/ajax-api/3.0/mlflow/assistant/config")[0] == 200
        assert call(f"{url}/ajax-api/3.0/mlflow/assistant/message", {"message": "x"})[0] == 403
        info = json.loads(call(f"{url}/ajax-api/3.0/mlflow/server-info")[1])
        assert info["features_enabled"]["gateway"] is False
        with serving(archive, environment) as another:
            assert call(f"{another}/health")[0] == 200
    assert archive.read_bytes() == before


def test_a_taken_port_is_told(archive: Path, environment: dict[str, str]) -> None:
    with serving(archive, environment) as url:
        port = url.rpartition(":")[2]
        command = [sys.executable, "-m", "mlflow_archive_cli", "serve", str(archive), "--port", port, "-q"]
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 1
    assert "choose another --port" in ran.stderr


def test_a_cache_that_cannot_be_written_is_told(archive: Path, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "mlflow_archive_cli", "serve", str(archive), "--port", "0", "-q"]
    there = {**environment, "XDG_CACHE_HOME": str(tmp_path / "file")}
    ran = subprocess.run(command, capture_output=True, text=True, env=there, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "another folder for it in XDG_CACHE_HOME" in ran.stderr


def test_the_cache_forgets_what_nobody_has_opened_for_long(archive: Path, tmp_path: Path) -> None:
    for name, days in (("old.db", 31), ("young.db", 29)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - days * 86400,) * 2)
    left = tmp_path / "left by a killed process"
    left.mkdir()
    os.utime(left, (0, 0))
    made = database_of(State(archive), folder=tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([made, tmp_path / "young.db"])
    os.utime(made, (0, 0))
    assert database_of(State(archive), folder=tmp_path) == made
    assert made.stat().st_mtime > time.time() - 60


def test_without_full_mlflow_it_is_told_what_to_install(archive: Path, environment: dict[str, str]) -> None:
    code = (
        "import sys; sys.modules['flask'] = None; from mlflow_archive_cli.main import run; "
        "sys.exit(run(['serve', sys.argv[1], '--port', '0', '-q']))"
    )
    command = [sys.executable, "-c", code, str(archive)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "serve needs more packages: pip install 'mlflow-archive[server]'" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_the_example_in_the_help_works(archive: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """``serve backup.mlfa --open``: the browser gets the URL, and the port is the one that MLflow has."""
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened.tmp\nmv {tmp_path}/opened.tmp {tmp_path}/opened\n')
    browser.chmod(0o755)
    (tmp_path / "backup.mlfa").write_bytes(archive.read_bytes())
    help_text = serve_command.help or ""
    words = shlex.split(help_text.split("Example:")[1].strip().splitlines()[0])[1:]
    # Port 5000 may be in use on this machine.
    command = [sys.executable, "-m", "mlflow_archive_cli", *words, "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**environment, "BROWSER": str(browser)}, cwd=tmp_path
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        deadline = time.monotonic() + 30
        while not (tmp_path / "opened").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (tmp_path / "opened").read_text().strip() == url
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_experiments_whose_ids_are_no_numbers_are_told(tmp_path: Path) -> None:
    source = ChunkSource((0, [chunk(experiments=[experiment("9195e233", "of Databricks")])]))
    copy(source, ArchiveSink(tmp_path / "a.mlfa", tool="t", clock_ms=lambda: 0), jobs=1)
    with pytest.raises(TargetError, match=r"only numbers as ids of experiments.*'9195e233'"):
        database_of(State(tmp_path / "a.mlfa"), folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_lies_in_another_workspace_carries_its_name(tmp_path: Path) -> None:
    """MLflow's pages show one workspace: experiments, registered models and MCP servers of the others come into it."""
    made = dict.fromkeys(("creation_time", "last_updated_time"), 1600000000000)
    model = {"name": "m", "workspace": "team", **made}
    own = {"name": "io.example/x", "workspace": "team", "created_at": 1600000000000, "last_updated_at": 1600000000000}
    version = {**own, "version": "1", "status": "active", "server_json": "{}"}
    version |= {"version_major": 1, "version_minor": 0, "version_patch": 0, "version_prerelease_sort_key": ""}
    endpoint = {**own, "id": "e", "server_version": "1", "url": "https://x", "transport_type": "sse"}
    source = ChunkSource(
        (0, [chunk(experiments=[experiment("7", "seven", workspace="team"), experiment("8", "eight")])]),
        (1, [chunk(registered_models=[model, {**model, "workspace": "default"}])]),
        (
            2,
            [
                chunk(
                    mcp_servers=[own],
                    mcp_server_versions=[version],
                    mcp_access_endpoints=[endpoint],
                )
            ],
        ),
    )
    copy(source, ArchiveSink(tmp_path / "a.mlfa", tool="t", clock_ms=lambda: 0), jobs=1)
    database = database_of(State(tmp_path / "a.mlfa"), folder=tmp_path / "cache")
    named = {"experiments": "name", "registered_models": "name", "mcp_access_endpoints": "server_name"}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        found = {
            table: set(connection.execute(f"SELECT workspace, {name} FROM {table}"))  # noqa: S608 - constants
            for table, name in {**named, "mcp_servers": "name", "mcp_server_versions": "name"}.items()
        }
    names = {table: {name for _, name in rows} for table, rows in found.items()}
    assert {workspace for rows in found.values() for workspace, _ in rows} == {"default"}
    assert names == {
        "experiments": {"Default", "team/seven", "eight"},
        "registered_models": {"m", "team/m"},
        "mcp_servers": {"team/io.example/x"},
        "mcp_server_versions": {"team/io.example/x"},
        "mcp_access_endpoints": {"team/io.example/x"},
    }
