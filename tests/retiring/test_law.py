"""A law: retire, then bring back, and the store is as it was before."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import mlflow_archive as ma
from tests.retiring.subjects import Subject, database_subject, give_models
from tests.retiring.test_purge import restore, trace_in_run

NAMES: Final = ("first", "second")
HOLD: Final = "'mlflow_archive.hold', ''"
BEFORE: Final = {
    "held": f"INSERT INTO tags (key, value, run_uuid) VALUES ({HOLD}, :run)",  # noqa: S608 - a constant
    "running": "UPDATE runs SET status = 'RUNNING' WHERE run_uuid = :run",
    "without points": "DELETE FROM metrics WHERE run_uuid = :run",
    "held trace": f"INSERT INTO trace_tags (key, value, request_id) VALUES ({HOLD}, :trace)",  # noqa: S608
    "held model": "INSERT INTO logged_model_tags (experiment_id, model_id, tag_key, tag_value) "
    "SELECT experiment_id, model_id, 'mlflow_archive.hold', '' FROM logged_models WHERE model_id = :model",
    "alone": "DELETE FROM trace_request_metadata WHERE request_id = :trace AND key = 'mlflow.sourceRun'",
}
"""What a run, its trace and its model are like when the archive is made."""
SINCE: Final = {
    "changed": "INSERT INTO tags (key, value, run_uuid) VALUES ('later', '1', :run)",
    "changed trace": "UPDATE trace_info SET trace_name = 'another' WHERE request_id = :trace",
    "longer trace": "INSERT INTO trace_tags (key, value, request_id) VALUES ('later', '1', :trace)",
}
"""What happened to them since."""
FATES: Final = st.lists(
    st.sets(st.sampled_from([*BEFORE, *SINCE]), max_size=3), min_size=len(NAMES), max_size=len(NAMES)
)


def befall(subject: Subject, traces: Sequence[str], fates: Sequence[set[str]], happenings: dict[str, str]) -> None:
    with sqlite3.connect(subject.folder / "mlflow.db") as connection:
        for name, trace_id, fate in zip(NAMES, traces, fates, strict=True):
            values = {"run": subject.runs[name], "trace": trace_id, "model": subject.models[name]}
            for happening in sorted(fate & happenings.keys()):
                connection.execute(happenings[happening], values)


def begin(subject: Subject, template: Path) -> None:
    for place in ("mlflow.db", "store"):
        target = subject.folder / place
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    shutil.copytree(template, subject.folder, dirs_exist_ok=True)
    for path in [*subject.folder.glob("*.mlfa"), subject.receipt]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def bring_back(subject: Subject, traces: Sequence[str], done: ma.Report) -> None:
    """Bring back as the guide says: by ``undo``, and what is purged from the archive."""
    ma.undo(subject.receipt)
    objects: list[dict[str, str]] = done.details["objects"]  # type: ignore[assignment]
    purged = {each["id"] for each in objects if each["state"] == "purged"}
    owners = {run_id: {run_id, subject.models[name]} for name, run_id in subject.runs.items()}
    names = [name for name in NAMES if owners[subject.runs[name]] & purged]
    if names:
        restore(subject, *names)
    if alone := tuple(trace_id for trace_id in traces if trace_id in purged):
        options = ma.RestoreOptions(artifact_root=f"file://{subject.folder}/store", merge=True)
        ma.restore(subject.archive, subject.uri, options, selection=ma.Selection(traces=alone))


def test_retire_then_bring_back_equals_the_store_before(tmp_path: Path) -> None:
    subject = database_subject(tmp_path, NAMES)
    give_models(subject, dict(zip(NAMES, NAMES, strict=True)))
    traces = [trace_in_run(subject, subject.runs[name]) for name in NAMES]
    template = tmp_path / "template"
    template.mkdir()
    shutil.copy(tmp_path / "mlflow.db", template)
    shutil.copytree(tmp_path / "store", template / "store")

    @settings(max_examples=4, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(FATES, st.booleans())
    @example([set(), {"alone", "changed"}], True)
    def law(fates: list[set[str]], purge: bool) -> None:
        begin(subject, template)
        befall(subject, traces, fates, BEFORE)
        subject.export("kept.mlfa")
        befall(subject, traces, fates, SINCE)
        before = subject.export("before.mlfa")
        options = ma.RetireOptions(purge=purge)
        done = ma.retire(
            subject.archive,
            subject.uri,
            options=options,
            selection=subject.selection,
            receipt=subject.receipt,
            yes=True,
        )
        bring_back(subject, traces, done)
        assert ma.diff(before, subject.export("after.mlfa")).changes == ()

    law()
