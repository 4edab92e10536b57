"""Without an extra: archives, file stores and servers over HTTP all the same; what needs an extra names it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.cli.conftest import write_archive
from tests.light.alone import absent, core
from tests.support.mlflow_server import MlflowServer

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
STORE = ROOT / "demo" / "mlruns"
TOKEN = {"MLFLOW_TRACKING_TOKEN": "one that nobody asks for"}
ALONE = [sys.executable, "-m", "tests.light.alone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command gave."""

    code: int
    out: str
    err: str


def ask(*commands: list[str], folder: Path, settings: Sequence[dict[str, str] | None] = ()) -> list[Answer]:
    """Run commands without the extras, in a folder, each with some variables."""
    question = [
        {"arguments": command, "environment": environment or {}}
        for command, environment in zip_longest(commands, settings)
    ]
    path = os.pathsep.join([str(ROOT), *(os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    done = subprocess.run(
        ALONE,
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
    )
    return [Answer(**answer) for answer in json.loads(done.stdout)]


def test_what_is_required_is_little() -> None:
    assert len(core()) <= 20
    assert {"mlflow", "sqlalchemy", "duckdb", "pandas", "fsspec", "numpy", "adbc_driver_manager"} <= absent(core())


def test_a_file_store_is_exported_and_looked_into(tmp_path: Path) -> None:
    commands = [
        ["export", "a.mlfa", "--from", str(STORE)],
        ["verify", "a.mlfa"],
        ["info", "a.mlfa"],
        ["ls", "a.mlfa"],
        ["report", "a.mlfa", "-o", "r.html"],
        ["ls", "a.mlfa", "runs", "--filter", "metrics.foo > -1e9", "--json"],
        ["diff", "a.mlfa", str(STORE)],
    ]
    given = ask(*commands, folder=tmp_path)
    assert [(answer.code, answer.err) for answer in given if answer.code] == []
    run_id = json.loads(given[5].out.splitlines()[0])["run_id"]
    commands = [[verb, "a.mlfa", run_id] for verb in ("show", "tree", "history")]
    given = ask(*commands, ["extract", "a.mlfa", run_id, "--to", "out"], folder=tmp_path)
    assert [(answer.code, answer.err) for answer in given if answer.code] == []


def test_a_server_is_exported_and_imported_into(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    write_archive(tmp_path / "a.mlfa")
    prefix = f"light {tmp_path.name} "
    target = ["--to", mlflow_server.uri, "--experiment-prefix", prefix]
    first, again, export = ask(
        ["import", "a.mlfa", *target, "--receipt", "receipt.json"],
        ["import", "a.mlfa", *target],
        ["export", "b.mlfa", "--from", mlflow_server.uri, "--experiment", f"{prefix}*", "--filter", "metrics.loss = 1"],
        folder=tmp_path,
        settings=[TOKEN] * 3,
    )
    assert [first.code, again.code, export.code] == [0, 0, 0], (first, again, export)
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    assert (receipt["created"], len(receipt["runs"])) == (3, 3)
    assert "  skipped         3\n" in again.out
    assert "runs" in export.out
    experiment = MlflowClient(mlflow_server.uri).get_experiment_by_name(f"{prefix}churn")
    assert experiment is not None


NEEDS = {
    "sql": (["sql", "A", "select 1"], "sql"),
    "chart": (["history", "A", "parent", "loss", "-o", "x.png"], "plot"),
    "serve": (["serve", "A", "--port", "0"], "server"),
    "restore": (["restore", "A", "--to", "sqlite:///x.db", "--artifact-root", "r"], "server"),
    "store": (["import", "A", "--to", "sqlite:///x.db"], "server"),
    "dry run": (["import", "A", "--to", "sqlite:///x.db", "--dry-run"], "server"),
    "sqlite": (["export", "n.mlfa", "--from", "sqlite:///x.db"], "database"),
    "postgresql": (["export", "n.mlfa", "--from", "postgresql://h/d"], "database"),
    "runs": (["export", "n.mlfa", "--from", str(STORE), "--filter", "metrics.a > 1"], "mlflow"),
    "traces": (["export", "n.mlfa", "--from", str(STORE), "--trace-filter", "tags.a = 'b'"], "mlflow"),
    "plugin": (["export", "n.mlfa", "--from", "http://127.0.0.1:9"], "mlflow"),
    "bucket": (["info", "s3://bucket/backup"], "cloud"),
    "into a bucket": (["export", "s3://bucket/backup", "--from", str(STORE)], "cloud"),
    "web server": (["ls", "https://127.0.0.1:9/a.mlfa"], "cloud"),
    "encryption": (["pack", "A", "--to", "v", "--recipient", "age1x"], "road"),
    "passphrase": (["pack", "A", "--to", "v", "--passphrase-file", "phrase"], "road"),
    "parity": (["pack", "A", "--to", "v", "--parity", "10%"], "road"),
    "time-stamp": (["sign", "A", "--key", "x", "--timestamp", "http://127.0.0.1:9"], "timestamp"),
    "authorities": (["verify", "A", "--signers", "A", "--tsa-ca", "A"], "timestamp"),
    "signature": (["export", "n.mlfa", "--from", "http://127.0.0.1:9"], "sigv4"),
}
SETTINGS = {"plugin": {"MLFLOW_TRACKING_AUTH": "my-plugin"}, "signature": {"MLFLOW_TRACKING_AWS_SIGV4": "true"}}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    folder = tmp_path_factory.mktemp("refused")
    archive = write_archive(folder / "a.mlfa")
    (folder / "phrase").write_text("correct horse\n")
    commands = [[str(archive) if word == "A" else word for word in words] for words, _ in NEEDS.values()]
    given = dict(zip(NEEDS, ask(*commands, folder=folder, settings=list(map(SETTINGS.get, NEEDS))), strict=True))
    assert {path.name for path in folder.iterdir()} <= {"a.mlfa", "n.mlfa.work", "phrase"}
    return given


@pytest.mark.parametrize("name", NEEDS)
def test_what_needs_an_extra_names_it_in_one_line(name: str, refused: dict[str, Answer]) -> None:
    answer, extra = refused[name], NEEDS[name][1]
    assert (answer.code, answer.out) == (1, "")
    assert len(answer.err.splitlines()) == 1
    assert f" needs more packages: pip install 'mlflow-archive[{extra}]' (" in answer.err


def test_every_extra_that_is_named_is_there() -> None:
    named = {extra for file in ("archive", "cli") for path in (ROOT / file).rglob("*.py") for extra in extras_in(path)}
    optional = PROJECT["optional-dependencies"]
    assert {"database", "server", "sql", "plot", "pandas", "mlflow", "sigv4", "road"} <= named <= optional.keys()
    everything = {name for text in optional["all"] for name in text.partition("[")[2].rstrip("]").split(",")}
    # A full MLflow has what its skinny part has, and what reads PostgreSQL what reads SQLite.
    assert everything == optional.keys() - {"all", "mlflow", "database"}


def extras_in(path: Path) -> Iterator[str]:
    """Yield the extras that code names where it says what is missing."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("needing", "missing"):
            first = node.args[0]
            if isinstance(first, ast.Constant):
                yield str(first.value)
