"""After a restore nothing differs but what it announced, and what changes afterwards is found."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import mlflow_archive as ma
from mlflow_archive.flow.copy import copy
from mlflow_archive.sinks.restore import RestoreOptions
from mlflow_archive.writer.export import ArchiveSink
from mlflow_archive_cli.main import run as command
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points, run
from tests.support.databases import PostgresServer, engine_of

A, B = "a" * 32, "b" * 32
ODD = "a\x00b"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive of a file store with what a database holds otherwise."""
    first = chunk(experiments=[experiment("7", "main")], experiment_tags=pairs_of_experiment({"t": ODD}))
    values = [1.0, -0.0, math.inf, math.nan, 2.0]
    rest = chunk(
        [artifact(A, "log.txt", b"text")],
        runs=[run(A, "7", run_name="n" * 260), run(B, "7", user_id=None, start_time=None)],
        params=pairs(A, {"p": ODD}),
        metrics=[*points(A, "m", values), *points(A, ODD, [1.0]), *points(B, "m", [2.0])[:1] * 2],
        gaps=[{"owner_kind": "run", "owner_id": B, "path": "x", "code": "G101", "reason": "it is not there"}],
    )
    path = tmp_path / "a.mlfa"
    copy(ChunkSource((0, [first]), (1, [rest])), ArchiveSink(path, tool="t", clock_ms=lambda: 0), jobs=1)
    return path


def pairs_of_experiment(tags: dict[str, str]) -> list[dict[str, Any]]:
    return [{"experiment_id": "7", "key": key, "value": value} for key, value in tags.items()]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_the_restore_announced_is_no_difference(
    kind: str, request: pytest.FixtureRequest, archive: Path, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path / 't.db'}"
    if kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        uri = server.new_database()
    report = ma.restore(archive, uri, RestoreOptions(artifact_root=str(tmp_path / "root")))
    assert not ma.diff(archive, uri, locations=False).same
    diff = ma.diff(archive, uri, locations=False, receipt=report)
    assert diff.same, diff.changes
    announced = {(field.table, field.field) for change in diff.announced for field in change.fields}
    filled = {("runs", "user_id"), ("runs", "start_time"), ("gaps", "")}
    assert announced == filled | ({("runs", "run_name")} if kind == "postgresql" else set())
    engine = engine_of(uri)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE metrics SET value = 3 WHERE value = 2 AND step = 4")
        connection.exec_driver_sql("UPDATE params SET value = 'other'")
        connection.exec_driver_sql(f"UPDATE runs SET name = 'other' WHERE run_uuid = '{A}'")  # noqa: S608 - of this test
    engine.dispose()
    [change] = ma.diff(archive, uri, locations=False, receipt=report).changes
    assert [(field.table, field.field) for field in change.fields] == [
        ("runs", "run_name"),
        ("params", "value"),
        ("metrics", "point"),
    ]


def test_the_command_tells_it(archive: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    uri, receipt = f"sqlite:///{tmp_path / 't.db'}", tmp_path / "receipt.json"
    options = ["--artifact-root", str(tmp_path / "r"), "--receipt", str(receipt)]
    assert command(["restore", str(archive), "--to", uri, *options]) in (0, 3)
    assert json.loads(receipt.read_text())["counts"]["negative_zeros_as_zero"] == 1
    capfd.readouterr()
    assert command(["diff", str(archive), uri, "--no-locations", "--receipt", str(receipt)]) == 0
    said = capfd.readouterr()
    assert said.out == ""
    assert "not counted, as the restore announced: 1 negative zeros as zero" in said.err
    assert said.err.splitlines()[-1] == "no difference"
