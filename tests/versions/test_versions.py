"""The bounds in pyproject.toml are true: what the package does is done with the lowest and the newest of each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.authority import make_authority, served
from tests.support.databases import PostgresServer, make_database
from tests.support.mlflow_server import MlflowServer
from tests.support.signers import allowed, new_signer
from tests.versions.environments import ENVIRONMENTS, environment

STORE = Path(__file__).parents[2] / "demo" / "mlruns"
LOOK = Path(__file__).with_name("look.py")
Command = Callable[..., str]


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def commands(request: pytest.FixtureRequest) -> Path:
    return environment(request.param)


@pytest.fixture
def cli(commands: Path, tmp_path: Path) -> Command:
    """Run the command in a folder of its own, with an archive of the demo's store; it must end with 0."""

    def call(*arguments: str) -> str:
        command = [os.fspath(commands / "mlflow-archive"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        return done.stdout

    call("export", "a.mlfa", "--from", str(STORE))
    return call


@pytest.fixture
def full(cli: Command, commands: Path) -> Command:
    """The command where full MLflow is installed."""
    if not (commands / "mlflow").exists():
        pytest.skip("needs MLflow")
    return cli


def test_looking_inside(cli: Command, tmp_path: Path) -> None:
    assert "sound" in cli("verify", "a.mlfa")
    cli("info", "a.mlfa")
    runs = [json.loads(line) for line in cli("ls", "a.mlfa", "runs", "--all", "--json").splitlines()]
    run = next(row["run_id"] for row in runs if json.loads(cli("show", "a.mlfa", row["run_id"], "--json"))["metrics"])
    for verb in ("show", "tree", "history"):
        cli(verb, "a.mlfa", run)
    cli("history", "a.mlfa", run, "-o", "chart.png")
    cli("report", "a.mlfa", "-o", "report.html")
    cli("extract", "a.mlfa", run, "--to", "out")
    assert json.loads(cli("sql", "a.mlfa", "select count(*) as n from runs", "--json")) == {"n": len(runs)}
    for file in ("answer.duckdb", "answer.sqlite"):
        cli("sql", "a.mlfa", "select * from runs", "--output", file)
    assert (tmp_path / "chart.png").stat().st_size > 0


def test_looking_inside_from_python(cli: Command, commands: Path, tmp_path: Path) -> None:
    subprocess.run([commands / "python", LOOK, tmp_path / "a.mlfa"], check=True)


def test_signing(cli: Command, tmp_path: Path) -> None:
    ada = new_signer(tmp_path, "ada")
    allowed(tmp_path / "allowed_signers", ada)
    with served(make_authority(tmp_path / "authority", with_chain=True)) as authority:
        cli("sign", "a.mlfa", "--key", str(ada.key), "--timestamp", authority.uri)
    options = ["--signers", "allowed_signers", "--require-signature", "--tsa-ca", str(authority.ca)]
    assert "as CN=authority says, which covers all of the archive" in cli("verify", "a.mlfa", *options)


def test_a_server(cli: Command, mlflow_server: MlflowServer, tmp_path: Path) -> None:
    prefix = f"versions {tmp_path.name} "
    cli("import", "a.mlfa", "--to", mlflow_server.uri, "--experiment-prefix", prefix, "--receipt", "r.json")
    cli("export", "back.mlfa", "--from", mlflow_server.uri, "--experiment", f"{prefix}*")
    assert len(json.loads((tmp_path / "r.json").read_text())["runs"]) > 0


def test_databases_are_read(cli: Command, mlflow_server: MlflowServer, postgres: PostgresServer) -> None:
    artifacts = ["--artifacts-destination", str(mlflow_server.artifacts)]
    cli("export", "sqlite.mlfa", "--from", mlflow_server.backend, *artifacts)
    database = postgres.new_database()
    make_database(database)
    cli("export", "postgresql.mlfa", "--from", database)


def test_filters(full: Command) -> None:
    full("export", "runs.mlfa", "--from", str(STORE), "--filter", "metrics.foo > -1000")
    full("export", "traces.mlfa", "--from", str(STORE), "--trace-filter", "tags.team = 'nlp'")


def test_a_database(full: Command) -> None:
    full("restore", "a.mlfa", "--to", "sqlite:///new.db", "--artifact-root", "root")
    full("diff", "a.mlfa", "sqlite:///new.db", "--no-locations")
    full("import", "a.mlfa", "--to", "sqlite:///other.db", "--artifact-root", "root2")
    full("export", "other.mlfa", "--from", "sqlite:///other.db")


def test_postgresql(full: Command, postgres: PostgresServer) -> None:
    database = postgres.new_database()
    full("restore", "a.mlfa", "--to", database, "--artifact-root", "root")
    full("export", "other.mlfa", "--from", database)


def test_pages(full: Command, commands: Path, tmp_path: Path) -> None:
    full("verify", "a.mlfa")
    command = [os.fspath(commands / "mlflow-archive"), "serve", "a.mlfa", "--port", "0"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as process:
        assert process.stdout is not None
        try:
            url = next(word for line in process.stdout for word in line.split() if word.startswith("http://"))
            with urllib.request.urlopen(f"{url}/version") as answer:  # noqa: S310 - ours
                assert answer.status == 200
        finally:
            process.send_signal(signal.SIGINT)
