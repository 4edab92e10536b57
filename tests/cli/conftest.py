"""The command in this process, and small archives to look into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.writer.export import ArchiveSink
from mlflow_archive_cli.main import run
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points
from tests.support.chunks import run as run_row

CHILD, PARENT, GONE = "0a" + "0" * 30, "0b" + "1" * 30, "1c" + "2" * 30
CLOCK_MS = 1655007510123


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command said and ended with."""

    code: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run the command with arguments, each turned to text."""

    def call(*arguments: object) -> Ran:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        said = capfd.readouterr()
        return Ran(code, said.out, said.err)

    return call


def source() -> ChunkSource:
    """Return two experiments with three runs: a parent, its child, and a deleted one with a gap."""
    first = chunk(
        experiments=[experiment("1", "churn"), experiment("2", "old", lifecycle_stage="deleted")],
        experiment_tags=[{"experiment_id": "1", "key": "team", "value": "vision"}],
        datasets=[
            {"experiment_id": "1", "name": "iris", "digest": "d1", "source_type": "http", "source": "{}"},
        ],
    )
    parent = chunk(
        [artifact(PARENT, "model/MLmodel", b"flavors: {}\n"), artifact(PARENT, "empty", b"")],
        runs=[run_row(PARENT, "1", run_name="parent")],
        params=pairs(PARENT, {"lr": "0.1", "note": "two\nlines\x1b[31m"}),
        tags=pairs(PARENT, {"mlflow.user": "ada"}),
        metrics=points(PARENT, "loss", [4.0, 2.0, 1.0]) + points(PARENT, "bad", [1.0, float("nan")]),
        dataset_inputs=[{"run_id": PARENT, "dataset_name": "iris", "dataset_digest": "d1"}],
        dataset_input_tags=[
            {"run_id": PARENT, "dataset_name": "iris", "dataset_digest": "d1", "key": "context", "value": "training"}
        ],
    )
    children = chunk(
        [artifact(CHILD, "plot 1.png", bytes(range(256)) * 5000)],
        runs=[
            run_row(CHILD, "1", run_name="child", status="FAILED", start_time=1655004880000, end_time=None),
            run_row(GONE, "2", run_name="gone", lifecycle_stage="deleted", start_time=1655000000000),
        ],
        params=pairs(CHILD, {"lr": "0.02"}) + pairs(GONE, {"lr": "10"}),
        tags=pairs(CHILD, {"mlflow.parentRunId": PARENT}),
        metrics=points(CHILD, "loss", [3.0]),
        gaps=[{"owner_kind": "run", "owner_id": GONE, "path": "x.bin", "code": "G101", "reason": "it is not there"}],
    )
    return ChunkSource((0, [first]), (1, [parent]), (2, [children]))


def write_archive(path: Path) -> Path:
    """Write the archive of :func:`source`."""
    copy(source(), ArchiveSink(path, tool="mlflow-archive test", clock_ms=lambda: CLOCK_MS), jobs=1)
    return path


@pytest.fixture(scope="session")
def single_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("archives") / "a.mlfa")


@pytest.fixture(scope="session", params=["single file", "directory"])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same archive in both forms."""
    name = "a.mlfa" if request.param == "single file" else "a"
    return write_archive(tmp_path_factory.mktemp("archives") / name)


def archive_id(path: Path) -> str:
    with open_archive(path) as opened:
        return opened.id
