"""What is retired is what the archive holds as it is, and comes back whole."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import AssessmentSource, Feedback
from mlflow.entities.assessment_source import AssessmentSourceType

import mlflow_archive as ma
from mlflow_archive.errors import DamagedError, SelectionError
from mlflow_archive.sinks.restore import RestoreRefusedError
from tests.retiring.subjects import Subject, change, database_subject, fill, reasons
from tests.support.mlflow_server import MlflowServer

HOLDS = {
    "held": "the run {held} has the tag mlflow_archive.hold",
    "running": "its status is RUNNING, so that it may still be written to",
    "registered": "a version of a registered model stands on it",
    "changed": "R502",
    "replaced": "R502",
    "new": "R501",
}


@pytest.fixture
def server_subject(mlflow_server: MlflowServer, tmp_path: Path) -> Subject:
    return fill(mlflow_server.uri, tmp_path)


def test_over_rest(server_subject: Subject) -> None:
    subject = server_subject
    trace = _assess(subject, subject.runs["assessed"])
    change(subject)
    expected = {name: text.format(**subject.runs) for name, text in HOLDS.items()} | {"assessed": "R504"}
    before = subject.export("before.mlfa")
    assert ma.retire(subject.archive, subject.uri, selection=subject.selection).details["traces_that_stay"] == 1
    late = "it ended, or was made, later than was asked for"
    expected |= {"made": late, "of-held": late}
    planned = subject.retire()
    assert (reasons(planned), planned.details["traces_that_stay"]) == (expected, 0)
    assert set(subject.stages().values()) == {"active"}
    done = subject.retire(yes=True)
    assert reasons(done) == expected
    assert done.counts == {"runs_deleted": 2, "runs_left": 4, "runs_held": 3, "logged_models_held": 2}
    assert [entry["id"] for entry in _objects(done)] == [entry["id"] for entry in _objects(planned)]
    deleted = [name for name, stage in subject.stages().items() if stage == "deleted"]
    assert sorted(deleted) == ["metrics", "plain"]
    assert len(subject.client.get_trace(trace).info.assessments) == 1
    receipt = json.loads(subject.receipt.read_text())
    assert (receipt["state"], receipt["bring_back"]) == ("done", "mlflow-archive undo receipt.json")
    assert ma.undo(subject.receipt).counts == {"runs_brought_back": 2}
    assert ma.diff(before, subject.export("after.mlfa")).changes == ()


def test_from_a_database(tmp_path: Path) -> None:
    subject = database_subject(tmp_path)
    change(subject)
    before = subject.export("before.mlfa")
    manner: dict[str, Any] = {"with_versions": True}
    expected = {name: text.format(**subject.runs) for name, text in HOLDS.items() if name != "registered"}
    late = "it ended, or was made, later than was asked for"
    assert reasons(subject.retire(**manner)) == {**expected, "made": late, "of-held": late}
    done = subject.retire(yes=True, **manner)
    assert done.counts == {"runs_deleted": 4, "runs_left": 3, "runs_held": 2, "logged_models_held": 2}
    assert done.details["objects"] == json.loads(subject.receipt.read_text())["objects"]
    assert ma.diff(before, subject.export("retired.mlfa")).counts == {"added": 0, "removed": 0, "changed": 4}
    ma.undo(subject.receipt)
    assert ma.diff(before, subject.export("after.mlfa")).changes == ()


def test_what_changes_behind_the_plan_stays(tmp_path: Path) -> None:
    subject = database_subject(tmp_path)
    manner = ma.RetireOptions(older_than="1d")
    planned = ma.retire(
        subject.archive, subject.uri, options=manner, selection=subject.selection, receipt=subject.receipt
    )
    assert planned.counts["runs_planned"] == 5
    change(subject)
    subject.client.delete_run(subject.runs["metrics"])
    subject.client.set_experiment_tag(subject.experiment, "other", "tag")
    done = subject.retire(yes=True)
    assert done.counts == {"runs_deleted": 2, "runs_left": 3, "runs_held": 3, "logged_models_held": 2}
    assert reasons(done)["metrics"] == "R502"
    subject.client.set_experiment_tag(subject.experiment, "mlflow_archive.hold", "law")
    subject.receipt.unlink()
    assert set(reasons(subject.retire()).values()) >= {
        f"the experiment {subject.experiment} has the tag mlflow_archive.hold"
    }


def test_another_experiment_with_the_same_id_is_another(tmp_path: Path) -> None:
    subject = database_subject(tmp_path)
    subject.client.rename_experiment(subject.experiment, "another")
    assert set(reasons(subject.retire()).values()) == {"R502"}


def test_refusals(tmp_path: Path) -> None:
    subject = database_subject(tmp_path)
    with pytest.raises(SelectionError, match="say what is retired"):
        ma.retire(subject.archive, subject.uri)
    with pytest.raises(SelectionError, match="give --receipt"):
        ma.retire(subject.archive, subject.uri, selection=subject.selection, yes=True)
    with pytest.raises(SelectionError, match="neither a server nor a database"):
        ma.retire(subject.archive, str(tmp_path), selection=subject.selection)
    subject.retire(yes=True)
    with pytest.raises(SelectionError, match="its with versions is False, not True"):
        subject.retire(yes=True, with_versions=True)
    inside = tmp_path / "store" / "kept.mlfa"
    inside.write_bytes(subject.archive.read_bytes())
    with pytest.raises(SelectionError, match="lies where the source keeps its own files"):
        ma.retire(inside, subject.uri, selection=subject.selection)
    damaged = bytearray(subject.archive.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    subject.archive.write_bytes(damaged)
    with pytest.raises(DamagedError):
        subject.retire()


def _objects(report: ma.Report) -> list[dict[str, str]]:
    return report.details["objects"]  # type: ignore[return-value]


def _assess(subject: Subject, run_id: str) -> str:
    """Make a trace with an assessment that comes from a run, as an evaluation does."""
    import mlflow  # noqa: PLC0415

    mlflow.set_tracking_uri(subject.uri)
    try:
        span = subject.client.start_trace("asked", experiment_id=subject.experiment)
        subject.client.end_trace(span.trace_id)
        mlflow.flush_trace_async_logging()
        feedback = Feedback(
            name="good",
            value=True,
            source=AssessmentSource(AssessmentSourceType.CODE, "test"),
            metadata={"mlflow.assessment.sourceRunId": run_id},
            trace_id=span.trace_id,
        )
        mlflow.log_assessment(span.trace_id, feedback)
    finally:
        mlflow.set_tracking_uri(None)
    trace_id: str = span.trace_id
    return trace_id


def test_what_is_purged_comes_back_by_a_restore(tmp_path: Path) -> None:
    subject = database_subject(tmp_path, ("plain", "metrics"))
    before = subject.export("before.mlfa")
    subject.retire(yes=True)
    run_id = subject.runs["plain"]
    purge(subject, run_id)
    undone = ma.undo(subject.receipt)
    assert [(gap.owner_id, gap.code) for gap in undone.gaps] == [(run_id, "R502")]
    assert undone.counts == {"runs_brought_back": 1, "runs_left": 1}
    options = ma.RestoreOptions(artifact_root=f"file://{tmp_path}/store", merge=True)
    ma.restore(subject.archive, subject.uri, options, selection=ma.Selection(runs=(run_id,)))
    assert ma.diff(before, subject.export("after.mlfa")).changes == ()
    purge(subject, run_id)
    subject.client.rename_experiment(subject.experiment, "the next one")
    with pytest.raises(RestoreRefusedError, match="is the id of 'the next one' in the target"):
        ma.restore(subject.archive, subject.uri, options, selection=ma.Selection(runs=(run_id,)))


def purge(subject: Subject, run_id: str) -> None:
    """Do what ``mlflow gc`` does."""
    store = subject.client._tracking_client.store
    store.delete_run(run_id)
    store._hard_delete_run(run_id)
    shutil.rmtree(subject.folder / "store" / subject.experiment / run_id)


def test_a_run_whose_end_is_not_known_has_no_age(tmp_path: Path) -> None:
    """MLflow takes a status without a time: begun long ago, it may have ended today."""
    subject = database_subject(tmp_path, ("plain", "without end"))
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("UPDATE runs SET end_time = NULL WHERE name = 'without end'")
    subject.archive.unlink()
    subject.export("kept.mlfa")
    expected = {"without end": "it has no time at which it ended, so that its age is not known"}
    assert reasons(subject.retire(yes=True)) == expected
    assert subject.stages() == {"plain": "deleted", "without end": "active"}
    subject.receipt.unlink()
    asked = ma.retire(subject.archive, subject.uri, selection=subject.selection, receipt=subject.receipt, yes=True)
    assert asked.counts["runs_deleted"] == 1
