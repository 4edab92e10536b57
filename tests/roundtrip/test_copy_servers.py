"""``copy`` between two real servers: killed and repeated, proved by ``diff``, and as an export and an import."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.copy import copy
from mlflow_archive.sinks.replay import ReplaySink, open_target
from tests.replay.small import small
from tests.support.mlflow_server import MlflowServer, running_server

Servers = tuple[MlflowServer, MlflowServer]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Return a server with a little of everything, and an empty one."""
    folder = tmp_path_factory.mktemp("copy-servers")
    with running_server(folder / "source") as source, running_server(folder / "target") as target:
        copy(small(), ReplaySink(open_target(source.uri)), jobs=2)
        yield source, target


def runs_in(server: MlflowServer) -> int:
    with closing(sqlite3.connect(server.database)) as database:
        return int(database.execute("SELECT COUNT(*) FROM runs").fetchone()[0])


def outcomes(report: ma.Report) -> set[str]:
    """Return what became of the objects, of whatever kind."""
    kinds: Any = report.details["outcomes"]
    counts = [*kinds.values(), {name: report.details[name] for name in ("created", "updated", "skipped")}]
    return {name for each in counts for name, number in each.items() if number}


def test_killed_repeated_and_proved(servers: Servers, tmp_path: Path) -> None:
    source, target = servers
    planned = ma.copy(source.uri, target.uri, options=ma.ReplayOptions(dry_run=True))
    assert (outcomes(planned), planned.details["dry_run"], runs_in(target)) == ({"created"}, True, 0)

    command = [sys.executable, "-m", "mlflow_archive_cli", "copy", source.uri, target.uri, "-q"]
    with subprocess.Popen(command) as process:
        while process.poll() is None and not runs_in(target):
            time.sleep(0.01)
        process.kill()
    done = ma.copy(source.uri, target.uri)
    assert runs_in(target) == runs_in(source)
    assert done.details["refusals"] == []
    assert {gap.code for gap in done.gaps} == {"G101"}, "two versions have no files, at the source already"
    assert [gap["code"] for gap in done.details["exported"]["gaps"]] == ["G101", "G101"]  # type: ignore[index]

    archive = tmp_path / "source.mlfa"
    ma.export(archive, source.uri)
    proof = ma.diff(archive, target.uri, imported=True)
    assert (proof.changes, proof.refused) == ((), ())
    assert {kind for kind, number in proof.objects.items() if number} >= {"run", "logged_model", "registered_model"}

    assert outcomes(ma.copy(source.uri, target.uri)) == {"skipped"}, "a second copy changes nothing"
    assert outcomes(ma.replay(archive, target.uri)) == {"skipped"}, "an import finds and leaves what a copy made"
    assert ma.diff(archive, target.uri, imported=True).changes == ()


def test_a_copy_of_a_selection_under_another_name(servers: Servers) -> None:
    source, _ = servers
    options = ma.ReplayOptions(model_prefix="prod-", experiment_prefix="prod/")
    report = ma.copy(source.uri, source.uri, options=options, selection=ma.Selection(models=("prompt",)))
    assert report.details["selection"] == {"models": ["prompt"]}
    assert report.details["ids"]["registered_model"] == {"prompt": "prod-prompt"}  # type: ignore[index]


def test_what_cannot_be_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    store = str(tmp_path / "mlruns")
    with pytest.raises(SelectionError, match="source and target are both"):
        ma.copy(store, f"{store}/")
    with pytest.raises(SelectionError, match="a server decides itself where artifacts go"):
        ma.copy(store, "http://127.0.0.1:9", options=ma.ReplayOptions(artifact_root="x"))
