"""What is purged at a database is gone for good, rows and files, and comes back from the archive."""

from __future__ import annotations

import os
import random
import sqlite3
from pathlib import Path

import mlflow
import pytest

import mlflow_archive as ma
from mlflow_archive.artifact_roots import ArtifactRoots
from mlflow_archive.errors import SelectionError
from mlflow_archive.retiring.database_site import DatabaseSite
from mlflow_archive.retiring.receipt import read_receipt
from mlflow_archive.storage.files import Files, OutputFile
from tests.retiring.subjects import Subject, change, database_subject, fill, give_models
from tests.retiring.test_killed import KILLS, retire_in_fork
from tests.support.mlflow_server import MlflowServer

NAMES = ("plain", "metrics", "changed", "points")
MORTAL = (
    (DatabaseSite, "_change"),
    (DatabaseSite, "purge"),
    (DatabaseSite, "purge_trace"),
    (ArtifactRoots, "remove"),
    (Files, "create"),
    (Files, "publish"),
    (Files, "remove"),
    (OutputFile, "sync"),
)


def purging(subject: Subject) -> ma.Report:
    options = ma.RetireOptions(purge=True)
    return ma.retire(
        subject.archive, subject.uri, options=options, selection=subject.selection, receipt=subject.receipt, yes=True
    )


def rows(subject: Subject, table: str, column: str) -> set[str]:
    with sqlite3.connect(subject.folder / "mlflow.db") as connection:
        return {row[0] for row in connection.execute(f"SELECT {column} FROM {table}")}  # noqa: S608 - names above


def restore(subject: Subject, *names: str) -> None:
    options = ma.RestoreOptions(artifact_root=f"file://{subject.folder}/store", merge=True)
    selection = ma.Selection(runs=tuple(subject.runs[name] for name in names))
    ma.restore(subject.archive, subject.uri, options, selection=selection)


def test_rows_and_files_go_and_come_back(tmp_path: Path) -> None:
    subject = database_subject(tmp_path, NAMES)
    give_models(subject, {"made": "plain", "of others": "metrics"})
    subject.client.log_metric(subject.runs["points"], "accuracy", 0.5, model_id=subject.models["of others"])
    subject.archive.unlink()
    subject.export("kept.mlfa")
    change(subject)
    before = subject.export("before.mlfa")
    done = purging(subject)
    states = {entry["name"]: entry["state"] for entry in done.details["objects"]}  # type: ignore[attr-defined]
    assert states == {
        "plain": "purged",
        "metrics": "purged",
        "changed": "left",
        "points": "purged",
        "made": "purged",
        "of-others": "purged",
    }
    assert rows(subject, "runs", "run_uuid") == {subject.runs["changed"]}
    for table in ("params", "tags", "metrics", "latest_metrics"):
        assert rows(subject, table, "run_uuid") == {subject.runs["changed"]}
    assert rows(subject, "logged_models", "model_id") == rows(subject, "inputs", "input_uuid") == set()
    files = {path.relative_to(tmp_path / "store") for path in (tmp_path / "store").rglob("*") if path.is_file()}
    assert {path.parts[1] for path in files} == {subject.runs["changed"]}
    assert {gap.code for gap in ma.undo(subject.receipt).gaps} == {"R502"}
    restore(subject, "plain", "metrics", "points")
    assert ma.diff(before, subject.export("after.mlfa")).changes == ()


def test_what_something_else_needs_is_deleted_and_not_purged(tmp_path: Path) -> None:
    subject = database_subject(tmp_path, ("plain", "metrics", "points", "traced"))
    give_models(subject, {"made": "plain"})
    subject.client.set_logged_model_tags(subject.models["made"], {"mlflow_archive.hold": "law"})
    subject.client.log_metric(subject.runs["points"], "accuracy", 0.5, model_id=subject.models["made"])
    trace_id = trace_in_run(subject, subject.runs["traced"])
    subject.client.set_trace_tag(trace_id, "mlflow_archive.hold", "law")
    extra = tmp_path / "store" / subject.experiment / subject.runs["metrics"] / "beside.txt"
    subject.archive.unlink()
    before = subject.export("kept.mlfa")
    extra.write_text("not an artifact")
    done = purging(subject)
    reasons = {
        "plain": "a logged model that it made is there",
        "points": "points of a logged model come from it",
        "traced": "a trace that was made in it is there",
    }
    objects: list[dict[str, str]] = done.details["objects"]  # type: ignore[assignment]
    assert {entry["name"]: (entry["state"], entry["reason"]) for entry in objects if "code" in entry} == {
        name: ("deleted", f"deleted, and not purged: {reason}") for name, reason in reasons.items()
    }
    assert {gap.code for gap in done.gaps} == {"R504"}
    assert extra.read_text() == "not an artifact"
    assert rows(subject, "runs", "run_uuid") == {subject.runs[name] for name in reasons}
    assert ma.undo(subject.receipt).counts["runs_brought_back"] == 3
    restore(subject, "metrics")
    assert ma.diff(before, subject.export("after.mlfa")).changes == ()


def trace_in_run(subject: Subject, run_id: str) -> str:
    mlflow.set_tracking_uri(subject.uri)
    mlflow.set_experiment(experiment_id=subject.experiment)  # another test may have left one that is not here
    try:
        with mlflow.start_run(run_id=run_id), mlflow.start_span("asked") as span:
            pass
        mlflow.flush_trace_async_logging()
        return str(span.trace_id)
    finally:
        mlflow.set_tracking_uri(None)


def test_where_nothing_is_purged(mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = fill(mlflow_server.uri, tmp_path, names=("plain",))
    with monkeypatch.context() as patch:
        patch.setattr("mlflow_archive.retiring.server_site.untried", lambda _: "newer")
        with pytest.raises(
            SelectionError, match=r"is of MLflow 3\.[0-9.]+: traces are purged only at one whose traces"
        ):
            purging(subject)
    with pytest.raises(SelectionError, match="was not read from a database"):
        ma.retire(
            subject.archive, mlflow_server.backend, options=ma.RetireOptions(purge=True), selection=subject.selection
        )


@pytest.mark.timeout(600)
def test_killed_anywhere(tmp_path: Path) -> None:
    """Nothing is gone that is not marked in the receipt, and in the end all is gone that should, and comes back."""
    subject = database_subject(tmp_path, ("plain", "metrics", "changed"))
    trace_in_run(subject, subject.runs["plain"])
    subject.archive.unlink()
    subject.export("kept.mlfa")
    change(subject)
    before = subject.export("before.mlfa")
    draw = random.Random(20)  # noqa: S311 - the same kills each time
    ended = False
    for _ in range(KILLS // 6):
        ended = retire_in_fork(subject, draw.randrange(36), behind=draw.random() < 0.5, mortal=MORTAL, act=purging)
        there = rows(subject, "runs", "run_uuid")
        gone = {name for name, run_id in subject.runs.items() if run_id not in there}
        states = {}
        if subject.receipt.exists():
            states = {entry.name: entry.state for entry in read_receipt(subject.receipt).entries}
        going = {name for name, state in states.items() if state in ("purging", "purged")}
        assert gone <= going <= {"plain", "metrics", "asked"}
        if not rows(subject, "trace_info", "request_id"):
            assert "asked" in going
        if ended:
            assert not rows(subject, "trace_info", "request_id")
            restore(subject, *sorted(gone))
            assert gone == {"plain", "metrics"}
            assert ma.diff(before, subject.export(f"after-{os.urandom(4).hex()}.mlfa")).changes == ()
            subject.receipt.unlink()
    if not ended:
        purging(subject)
    assert rows(subject, "runs", "run_uuid") == {subject.runs["changed"]}
