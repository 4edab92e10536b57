"""Out of a server with a login and into it; in an environment that has what MLflow's login needs."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.sinks.replay import open_target
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.writer.export import ArchiveSink
from tests.matrix.environments import environment
from tests.sinks.filled_servers import replay
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points, run
from tests.support.login import PASSWORD, USER, server_with_login

A = "a" * 32


def test_into_a_server_with_a_login_and_out_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first.mlfa", tmp_path / "second.mlfa"
    runs = chunk(
        [artifact(A, "notes.txt", b"notes")],
        runs=[run(A, "5", run_name="only")],
        params=pairs(A, {"lr": "0.1"}),
        metrics=points(A, "loss", [0.5, 0.25]),
    )
    issue = {"issue_id": "i", "experiment_id": "5", "name": "slow", "description": "Too slow.", "status": "pending"}
    source = ChunkSource(
        (0, [chunk(experiments=[experiment("5", "guarded")])]), (1, [runs]), (2, [chunk(issues=[issue])])
    )
    copy(source, ArchiveSink(first, tool="test 1", clock_ms=lambda: 0))
    with server_with_login(tmp_path / "server", python=environment("3.17")) as server:
        with pytest.raises(ServerError, match="wants other credentials"):
            replay(first, server.uri)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        assert replay(first, server.uri).gaps == []
        again = replay(first, server.uri)
        assert (again.counts["created"], again.counts["skipped"], again.details["outcomes"]) == (
            0,
            1,
            {"issue": {"created": 0, "updated": 0, "skipped": 1}},
        )
        sink = ArchiveSink(second, tool="test 1", clock_ms=lambda: int(time.time() * 1000))
        copy(locate_source(server.uri), sink)
        with closing(open_target(server.uri)) as target:
            assert {found.name for found in target.experiments()} == {"Default", "guarded"}
    with open_archive(second) as archive:
        assert archive.table("runs")["run_name"].to_pylist() == ["only"]
        assert archive.table("metrics")["value"].to_pylist() == [0.5, 0.25]
        assert archive.table("artifacts")["path"].to_pylist() == ["notes.txt"]
