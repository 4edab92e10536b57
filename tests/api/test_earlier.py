"""Two states of one archive are compared, and MLflow is shown an archive as it was."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import mlflow_archive as ma
from mlflow_archive.api.export_changes import export_changes
from mlflow_archive.api.serving.artifacts import ArchiveArtifactRepository
from mlflow_archive.api.serving.database import database_of
from mlflow_archive.api.serving.location import State, artifact_root
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from mlflow_archive_cli.main import run
from tests.support.chunks import ChunkSource, chunk, experiment
from tests.support.damage import copied
from tests.support.memory_source import run_id
from tests.support.three_exports import Chain, chain_at


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return chain_at(tmp_path_factory.mktemp("chain") / "a.mlfa")


def changes(*sides: Path, **options: object) -> set[tuple[str, str, str]]:
    diff = ma.diff(*sides, **options)  # type: ignore[call-overload]
    return {(change.change, change.kind, change.id) for change in diff.changes}


FIRST_TO_SECOND = {("changed", "run", run_id(1)), ("added", "run", run_id(4)), ("changed", "run", run_id(3))}
SECOND_TO_THIRD = {("changed", "run", run_id(2)), ("added", "run", run_id(5)), ("changed", "experiment", "1")}


def test_what_came_between_two_exports(chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = copied(chain.path, tmp_path / "same.mlfa")
    assert changes(chain.path, at=1, against=2) == FIRST_TO_SECOND
    assert changes(chain.path, at=2) == SECOND_TO_THIRD
    assert changes(chain.path, same, at="2024-05-02") == SECOND_TO_THIRD
    assert changes(chain.path, same, against=3) == set()
    assert run(["diff", str(chain.path), "--at", "1", "--against", "2", "-q"]) == 1
    assert f"+ run {run_id(4)}\n" in capsys.readouterr().out
    assert run(["diff", str(chain.path), "--at", "3", "-q"]) == 0


def test_what_each_export_did(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ls", str(chain.path), "exports", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    whole = {"source": "memory://test", "selection": {}, "tool": "test 1"}
    nothing: dict[str, dict[str, int]] = {"added": {}, "changed": {}, "removed": {}}
    assert rows == [
        {**whole, **nothing, **row}
        for row in (
            {
                "export": 1,
                "created": "2024-05-01T12:00:00.000Z",
                "added": {"experiment": 2, "dataset": 2, "run": 4},
                "gaps": 1,
            },
            {
                "export": 2,
                "created": "2024-05-02T12:00:00.000Z",
                "added": {"run": 1},
                "changed": {"run": 2},
                "gaps": 0,
            },
            {
                "export": 3,
                "created": "2024-05-03T12:00:00.000Z",
                "added": {"run": 1},
                "changed": {"experiment": 1, "run": 1},
                "gaps": 0,
            },
        )
    ]
    assert run(["ls", str(chain.path), "exports", "--at", "2", "-n", "9"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["export", "1", "2"]
    assert run(["ls", str(chain.path), "exports", "--status", "FINISHED"]) == 2


def test_what_is_deleted_at_the_source_counts_as_removed(tmp_path: Path) -> None:
    rows = [experiment("1", "kept"), experiment("2", "gone")]
    for number, stage in enumerate(("active", "deleted", "deleted")):
        rows[1]["lifecycle_stage"] = stage
        source = ChunkSource((0, [chunk(experiments=rows, experiment_tags=tags(number))]))
        copy(source, ArchiveSink(tmp_path / "a", ArchiveOptions(append=number > 0), tool="t", clock_ms=lambda: 0))
    with open_archive(tmp_path / "a") as archive:
        counts = [(each.added, each.changed, each.removed) for each in export_changes(archive)]
    assert counts == [
        ({"experiment": 2}, {}, {}),
        ({}, {"experiment": 1}, {"experiment": 1}),
        ({}, {"experiment": 1}, {}),
    ]


def tags(number: int) -> list[dict[str, str]]:
    return [{"experiment_id": "1", "key": "n", "value": str(number)}]


def test_what_cannot_be_compared_is_told(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="name two things to compare, or one archive and with --at"):
        ma.diff(chain.path)
    with pytest.raises(SelectionError, match="name that, as it is now"):
        ma.diff(chain.path, imported=True)  # type: ignore[call-overload]
    with pytest.raises(SelectionError, match="only an archive can be compared as it was"):
        ma.diff(chain.path, f"sqlite:///{tmp_path}/m.db", against=1)


def test_mlflow_is_shown_what_was(chain: Chain, tmp_path: Path) -> None:
    state = State(chain.path, 1)
    database = database_of(state, folder=tmp_path)
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        [(uri,)] = connection.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", (run_id(1),))
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (4,)
    assert uri == f"{artifact_root(state)}/1/{run_id(1)}/artifacts"
    for_then, for_now = (ArchiveArtifactRepository(text) for text in (uri, uri.replace("!export-1/", "!/")))
    for_then._download_file("model/file 0.bin", str(tmp_path / "then"))
    for_now._download_file("model/file 0.bin", str(tmp_path / "now"))
    assert (tmp_path / "then").read_bytes() != (tmp_path / "now").read_bytes()
