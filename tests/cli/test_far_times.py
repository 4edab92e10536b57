"""A time beyond the year 9999, micro- or nanoseconds taken for milliseconds, is legal: every command deals with it."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlflow_archive as ma
from mlflow_archive.flow.copy import copy
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.export import ArchiveSink
from tests.cli.conftest import Command
from tests.support.chunks import ChunkSource, chunk, experiment, run
from tests.support.restoring import export, restore

RUN = "ab" * 16
MICROSECONDS = 1_760_000_000_000_000
FARTHEST = 2**63 - 1


@pytest.fixture(params=[MICROSECONDS, FARTHEST, -FARTHEST], ids=["microseconds", "farthest", "earliest"])
def far_archive(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, int]:
    """Return an archive in which every time is far, and that time."""
    time: int = request.param
    model = {"name": "m", "workspace": "default"}
    times = {"creation_time": time, "last_updated_time": time}
    tables = chunk(
        experiments=[experiment("1", "e", creation_time=time, last_update_time=time)],
        runs=[run(RUN, "1", start_time=time, end_time=time, deleted_time=time, user_id="ada", status="FINISHED")],
        metrics=[{"run_id": RUN, "key": "loss", "step": 0, "timestamp": time, "value": 0.5}],
        registered_models=[{**model, **times}],
        model_versions=[{**model, **times, "version": 1, "current_stage": "None", "run_id": RUN, "source": "s3://b/m"}],
    )
    path = tmp_path / "far.mlfa"
    copy(ChunkSource((0, [tables])), ArchiveSink(path, tool="test 1", clock_ms=lambda: 0), Selection())
    return path, time


def test_reading_commands(far_archive: tuple[Path, int], cli: Command, tmp_path: Path) -> None:
    path, time = far_archive
    assert cli("verify", path).code == 0
    assert f"{time} ms" in cli("ls", path, "runs", "--json").out
    for what in ("experiments", "runs", "models", "model-versions"):
        assert cli("ls", path, what).code == 0
    assert f"{time} ms" in cli("show", path, RUN).out
    assert cli("show", path, "m").code == 0
    assert f"{time} ms" in cli("history", path, RUN, "loss", "--csv").out
    assert cli("report", path, "-o", tmp_path / "report.html").code == 0
    assert f"{time} ms" in (tmp_path / "report.html").read_text("utf-8")
    assert cli("diff", path, path).code == 0


def test_in_python(far_archive: tuple[Path, int]) -> None:
    path, time = far_archive
    with ma.open(path) as archive:
        assert f"{time} ms" in archive.runs._repr_html_()
        assert len(archive.search_runs()) == 1
        assert len(archive.runs.to_pandas()) == 1


def test_selection_by_model_and_experiment(far_archive: tuple[Path, int], cli: Command, tmp_path: Path) -> None:
    path, _time = far_archive
    target = ("--to", f"sqlite:///{tmp_path / 'new.db'}", "--artifact-root", tmp_path / "artifacts")
    for option in (("--model", "m"), ("--experiment", "e")):
        done = cli("import", path, *target, *option, "--dry-run")
        assert done.code == 0
        assert "Traceback" not in done.err


def test_restored_as_it_was(far_archive: tuple[Path, int], tmp_path: Path) -> None:
    path, time = far_archive
    restore(path, uri := f"sqlite:///{tmp_path / 'new.db'}")
    with ma.open(export(uri, tmp_path / "again.mlfa", Selection(artifacts=False))) as archive:
        table = archive.runs.to_table(["start_time"])
        assert table["start_time"].cast("int64").to_pylist() == [time]
