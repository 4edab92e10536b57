"""Bad input gets one sentence and an exit code, never a traceback; and an interruption says what to do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.cli.conftest import Command, write_archive
from tests.support.listening import listening
from tests.support.mlflow_server import MlflowServer
from tests.support.mlruns import Experiment, Run, Store, write_store


def not_there(path: Path) -> Path:
    return path


def text_file(path: Path) -> Path:
    path.write_text("hello\n")
    return path


def empty_folder(path: Path) -> Path:
    path.mkdir()
    return path


def unfinished(path: Path) -> Path:
    (path / "staging").mkdir(parents=True)
    (path / "staging" / "x").write_bytes(b"")
    return path


def _manifest(path: Path, **changes: object) -> Path:
    write_archive(path)
    for file in (path / "manifest.json", path / "manifests" / "0001.json"):
        document = {**json.loads(file.read_bytes()), **changes}
        file.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
    return path


def newer_major(path: Path) -> Path:
    return _manifest(path, format={"name": "mlflow-archive", "major": 9, "minor": 0})


def newer_feature(path: Path) -> Path:
    return _manifest(path, required_features=["encrypted"])


def cut_off(path: Path) -> Path:
    write_archive(path.with_suffix(".mlfa"))
    data = path.with_suffix(".mlfa").read_bytes()
    path.with_suffix(".mlfa").write_bytes(data[: len(data) // 2])
    return path.with_suffix(".mlfa")


def member_missing(path: Path) -> Path:
    write_archive(path)
    shutil.rmtree(path / "tables" / "runs")
    return path


def member_damaged(path: Path) -> Path:
    write_archive(path)
    part = next((path / "tables" / "runs").iterdir())
    data = bytearray(part.read_bytes())
    footer = int.from_bytes(data[-8:-4], "little")  # a Parquet file ends with the footer, its size and PAR1
    data[4 : -8 - footer] = bytes(len(data) - 12 - footer)
    part.write_bytes(data)
    return path


BAD_ARCHIVES = [
    (not_there, 10, "does not exist"),
    (text_file, 10, "no archive"),
    (empty_folder, 10, "is no archive: there is no manifest.json in it"),
    (unfinished, 10, "holds an export that was not finished"),
    (newer_major, 11, "this archive has format 9.0; this version of mlflow-archive reads 1.x"),
    (newer_feature, 11, "this archive needs the feature 'encrypted'"),
    (cut_off, 12, "E020"),
    (member_missing, 12, "E010"),
    (member_damaged, 12, "E03"),
]
READING = [["info"], ["ls", "runs"], ["show", "parent"], ["cat", "parent/empty"], ["verify"], ["import"]]


@pytest.mark.parametrize(("make", "code", "message"), BAD_ARCHIVES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("arguments", READING, ids=lambda arguments: arguments[0])
def test_bad_archives(
    cli: Command, tmp_path: Path, make: Callable[[Path], Path], code: int, message: str, arguments: list[str]
) -> None:
    path = make(tmp_path / "bad")
    name, *rest = arguments
    target = ["--to", f"sqlite:///{tmp_path / 'x.db'}"] if name == "import" else []
    ran = cli(name, path, *rest, *target)
    if make in (member_damaged, member_missing) and name == "info":
        assert ran.code == 0  # it does not read the table runs
        return
    assert ran.code == code
    said = ran.out if name == "verify" and ran.out else ran.err
    # An import looks at the SHA-256 of what it reads before anything is written, others at pages as they come.
    assert ("E012" if (make, name) == (member_damaged, "import") else message) in said
    assert "Traceback" not in ran.err + ran.out
    if not ran.out:
        lines = [
            line for line in ran.err.splitlines() if " INFO mlflow.store.db" not in line and line != "import: starting"
        ]
        assert len(lines) == 1
        assert lines[0].startswith("mlflow-archive: ")


class _Quiet(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name there


@pytest.fixture
def web_shop() -> Iterator[str]:
    """A web server that is not MLflow."""

    class Handler(_Quiet):
        def do_GET(self) -> None:
            body = b"<html>a shop</html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

    with listening(Handler) as uri:
        yield uri


@pytest.fixture
def locked(web_shop: str) -> Iterator[str]:
    """A server that wants other credentials."""

    class Handler(_Quiet):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with listening(Handler) as uri:
        yield uri


def both(cli: Command, uri: str, single_file: Path, tmp_path: Path) -> set[tuple[int, str]]:
    """Export from and import to a URI; return exit code and last line of each."""
    ran = [cli("export", tmp_path / "x.mlfa", "--from", uri), cli("import", single_file, "--to", uri)]
    assert not any(each.out for each in ran)
    assert not any("Traceback" in each.err for each in ran)
    assert not (tmp_path / "x.mlfa").exists()
    return {(each.code, each.err.splitlines()[-1]) for each in ran}


def test_a_server_that_is_not_mlflow(cli: Command, web_shop: str, single_file: Path, tmp_path: Path) -> None:
    ((code, said),) = both(cli, web_shop, single_file, tmp_path)
    assert code == 13
    assert said.startswith(
        f"mlflow-archive: {web_shop} is not an MLflow server, or something on the way spoils its answers: "
    )


def test_wrong_credentials(
    cli: Command, locked: str, single_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hush-hush")
    ((code, said),) = both(cli, locked, single_file, tmp_path)
    assert code == 13
    assert said.startswith(f"mlflow-archive: {locked} wants other credentials (401)")
    assert "hush" not in said


def test_an_unreachable_host(cli: Command, single_file: Path, tmp_path: Path) -> None:
    ((code, said),) = both(cli, "http://user:hush@127.0.0.1:9", single_file, tmp_path)
    assert (code, said) == (13, "mlflow-archive: cannot reach http://127.0.0.1:9: connection refused")


def test_an_experiment_that_does_not_exist(
    cli: Command, mlflow_server: MlflowServer, single_file: Path, tmp_path: Path
) -> None:
    write_store(Store(experiments=(Experiment(experiment_id="1", name="one"),)), tmp_path / "mlruns")
    for source in (mlflow_server.uri, str(tmp_path / "mlruns")):
        ran = cli("export", tmp_path / "x.mlfa", "--from", source, "--experiment", "nope-*")
        assert ran.code == 2
        assert "nope-*" in ran.err
        assert len(ran.err.splitlines()) == 1
        assert not (tmp_path / "x.mlfa").exists()
    for option, noun, there in (
        ("--experiment", "experiment", "'churn' (id 1), 'old' (id 2)\n"),
        ("--run", "run in the selected experiments", ""),
    ):
        ran = cli("import", single_file, "--to", mlflow_server.uri, option, "nope")
        assert ran.code == 2
        assert ran.err.startswith(f"mlflow-archive: no {noun} of {single_file} matches 'nope'; there are {there}")
        assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("name", ["x.mlfa", "x"])
def test_an_unwritable_target(cli: Command, tmp_path: Path, name: str) -> None:
    write_store(Store(experiments=(Experiment(experiment_id="1", name="one"),)), tmp_path / "mlruns")
    (tmp_path / "file").write_bytes(b"")
    ran = cli("export", tmp_path / "file" / name, "--from", tmp_path / "mlruns")
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1
    assert ran.err.startswith(f"mlflow-archive: {tmp_path / 'file'}")
    taken = cli("export", tmp_path / "file", "--from", tmp_path / "mlruns")
    assert taken.code == 1
    assert taken.err == f"mlflow-archive: {tmp_path / 'file'} exists and is no archive; choose another name\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "x", "--from", "mssql+pyodbc://u:hush@db/m"], "mssql cannot be read directly"),
        (["export", "x", "--from", "postgresql://u:hush@db"], "names no database"),
        (["export", "x", "--from", "databricks"], "give the workspace's URL, https://HOST"),
        (["export", "x", "--from", "databricks-uc"], "give the workspace's URL, https://HOST"),
        (["export", "x", "--from", "databricks://profile"], "give the workspace's URL, https://HOST"),
        (["export", "x", "--from", "postgres://u:hush@db"], "names no database"),
        (["export", "x", "--from", "s3://bucket/x"], "s3: is no scheme that can be read"),
        (["export", "x", "--from", "file://host/mlruns"], "names a file store on the host 'host'"),
        (["export", "x", "--since", "yesterday"], "'yesterday' is no ISO 8601 time"),
        (["export", "x", "--max-artifact-size", "10 apples"], "'10 apples' is no size"),
        (["export", "x", "--artifact-map", "s3://bucket"], "'s3://bucket' is not of the form FROM=TO"),
        (["export", "x", "--level", "20"], "20 is not in the range 1<=x<=19"),
        (["export", "ftp://host/x.mlfa"], "'ftp://host/x.mlfa' is a URL, and ftp:// is not supported here"),
        (["export", "x", "--report", "gs://bucket/r.json"], "'gs://bucket/r.json' is a URL, and gs:// is not"),
        (["import", "x", "--receipt", "abfss://c@a/r.json"], "abfss:// is not supported here"),
        (["extract", "x", "run", "--to", "s3:/bucket"], "'s3:/bucket' is a URL, and s3:// is not"),
        (["report", "x", "-o", "https://u:hush@host/r.html"], "'https://host/r.html' is a URL, and https://"),
        (["sql", "x", "select 1", "--parquet", "hf://a/b"], "hf:// is not supported here"),
        (["export", "x", "--report", "/nowhere/report.json"], "'/nowhere/report.json' cannot be written"),
        (["import", "x", "--user", "nobody"], "'nobody' is not one of 'source', 'importer'"),
        (["import", "x", "--rename-experiment", "a"], "'a' is not of the form OLD=NEW"),
        (["verify", "x", "--level", "half"], "'half' is not one of 'quick', 'stored', 'full'"),
        (["export"], "Missing argument 'ARCHIVE'"),
    ],
)
def test_usage(
    cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli(*arguments)
    assert ran.code == 2
    assert message in ran.err
    assert "hush" not in ran.err
    assert ran.out == ""
    assert list(tmp_path.iterdir()) == []


def test_an_archive_is_no_source(cli: Command, archive: Path, tmp_path: Path) -> None:
    ran = cli("export", tmp_path / "x.mlfa", "--from", archive)
    assert ran.code == 2
    assert "is an archive, no MLflow store" in ran.err


def test_debug_shows_where(cli: Command, tmp_path: Path) -> None:
    ran = cli("--debug", "info", tmp_path / "nope")
    assert ran.code == 10
    assert "Traceback" in ran.err


def test_ctrl_c_says_what_to_do_and_the_next_run_completes(tmp_path: Path) -> None:
    runs = tuple(Run(run_id=f"{number:032x}", artifacts={"a": os.urandom(20_000)}) for number in range(1500))
    write_store(Store(experiments=(Experiment(experiment_id="1", name="one", runs=runs),)), tmp_path / "mlruns")
    target = tmp_path / "x.mlfa"
    command = [
        sys.executable,
        "-m",
        "mlflow_archive_cli",
        "export",
        str(target),
        "--from",
        str(tmp_path / "mlruns"),
        "-q",
    ]
    # Run in the background the tests ignore SIGINT, and children inherit that; a terminal starts them otherwise.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)
    while process.poll() is None and not (tmp_path / "x.mlfa.tmp").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.decode().strip()) == (
        130,
        "mlflow-archive: interrupted; run the same command again to continue",
    )
    assert not target.exists()
    assert subprocess.run(command, check=False).returncode == 0
    assert subprocess.run([*command[:3], "verify", str(target), "-q"], check=False, capture_output=True).returncode == 0
