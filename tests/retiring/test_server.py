"""Over a server's API runs and logged models are deleted softly, and traces for good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

import mlflow_archive as ma
from mlflow_archive.errors import SelectionError
from mlflow_archive.retiring.server_site import ServerSite
from tests.retiring.subjects import Subject, fill, give_models
from tests.retiring.test_purge import trace_in_run
from tests.support.databases import empty_database
from tests.support.mlflow_server import MlflowServer

TRACES = "/api/3.0/mlflow/traces"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
WITH_FILE = "tr-%s in a file"


def retire(subject: Subject, *, yes: bool = True, purge: bool = False) -> ma.Report:
    options = ma.RetireOptions(purge=purge)
    return ma.retire(
        subject.archive, subject.uri, options=options, selection=subject.selection, receipt=subject.receipt, yes=yes
    )


def becoming(report: ma.Report, *kinds: str) -> dict[str, tuple[str, ...]]:
    """Return by name what became of the objects of some kinds, and why."""
    objects: list[dict[str, str]] = report.details["objects"]  # type: ignore[assignment]
    chosen = [each for each in objects if each["kind"] in kinds]
    return {each["name"]: (each["state"], each.get("code", ""), each.get("reason", "")) for each in chosen}


def test_a_logged_model_is_deleted_and_its_database_brings_it_back(
    mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = fill(mlflow_server.uri, tmp_path, names=("plain", "metrics"))
    give_models(subject, {"made": "plain", "written": "metrics", "held": "metrics"})
    subject.client.set_logged_model_tags(subject.models["held"], {"mlflow_archive.hold": "law"})
    subject.archive.unlink()
    before = subject.export("kept.mlfa")
    hide = ServerSite.hide

    def write_first(site: ServerSite, address: Any) -> None:
        if address.id == subject.models["written"]:
            subject.client.set_logged_model_tags(address.id, {"later": "1"})
        hide(site, address)

    monkeypatch.setattr(ServerSite, "hide", write_first)
    done = retire(subject)
    seen = "it is not as the archive holds it: logged model tags; that was seen behind its delete"
    assert becoming(done, "run", "logged_model") == {
        "plain": ("deleted", "", ""),
        "metrics": ("deleted", "", ""),
        "made": ("deleted", "", ""),
        "written": ("deleted", "R502", seen),
        "held": ("held", "", f"the logged model {subject.models['held']} has the tag mlflow_archive.hold"),
    }
    command = "mlflow-archive undo receipt.json --to DATABASE"
    objects = json.loads(subject.receipt.read_text())["objects"]
    assert {each["name"] for each in objects if each.get("bring_back") == command} == {"made", "written"}
    assert subject.client.search_logged_models([subject.experiment]).to_list()[0].name == "held"
    undone = ma.undo(subject.receipt)
    assert undone.counts == {"runs_brought_back": 2, "logged_models_deleted": 2}
    reason = f"MLflow's API has no way to bring it back; its database has: {command}"
    assert {(gap.code, gap.reason) for gap in undone.gaps} == {("R504", reason)}
    other = tmp_path / "other.db"
    other.write_bytes(empty_database().read_bytes())
    with pytest.raises(SelectionError, match="it is not the database of that server"):
        ma.undo(subject.receipt, f"sqlite:///{other}")
    assert ma.undo(subject.receipt, mlflow_server.backend).counts == {"logged_models_brought_back": 2}
    [changed] = ma.diff(before, subject.export("after.mlfa")).changes
    assert (changed.id, [each.key for each in changed.fields]) == (subject.models["written"], [{"key": "later"}])


def file_of(subject: Subject) -> str:
    return f"{FILES}/{subject.experiment}/traces/{WITH_FILE % subject.experiment}/artifacts/traces.json"


def make_traces(subject: Subject) -> dict[str, str]:
    """Make traces: in runs, with a file, and in a review queue; return their ids by name."""
    traces = {name: trace_in_run(subject, subject.runs[name]) for name in ("plain", "changed", "held", "late")}
    traces["with file"] = WITH_FILE % subject.experiment
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": subject.experiment}}
    times = {"request_time": "2024-01-01T00:00:00Z", "execution_duration": "1s", "state": "OK"}
    info = {
        "trace_id": traces["with file"],
        "trace_location": place,
        **times,
        "tags": {"mlflow.traceName": "with file"},
    }
    requests.post(subject.uri + TRACES, json={"trace": {"trace_info": info}}, timeout=60).raise_for_status()
    requests.put(subject.uri + file_of(subject), data=b'{"spans": []}', timeout=60).raise_for_status()
    traces["queued"] = trace_in_run(subject, subject.runs["plain"])
    queue = {"experiment_id": subject.experiment, "name": "to review", "queue_type": "CUSTOM"}
    made = requests.post(f"{subject.uri}/api/3.0/mlflow/review-queues/create", json=queue, timeout=60).json()
    items = {"queue_id": made["review_queue"]["queue_id"], "item_ids": [traces["queued"]]}
    requests.post(f"{subject.uri}/api/3.0/mlflow/review-queues/items/add", json=items, timeout=60).raise_for_status()
    for name in ("plain", "changed", "held", "late", "queued"):
        subject.client.set_trace_tag(traces[name], "mlflow.traceName", name)
    subject.client.set_trace_tag(traces["held"], "mlflow_archive.hold", "law")
    subject.archive.unlink()
    subject.export("kept.mlfa")
    return traces


def test_traces_go_for_good_if_they_are_as_the_archive_holds_them(
    mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = fill(mlflow_server.uri, tmp_path, names=("plain", "changed", "held", "late"))
    traces = make_traces(subject)
    subject.client.set_trace_tag(traces["changed"], "later", "1")
    before = subject.export("before.mlfa")
    by_id = ServerSite.by_id

    def write_first(site: ServerSite, address: Any) -> Any:
        if address.id == traces["late"]:
            subject.client.set_trace_tag(address.id, "later", "1")
        return by_id(site, address)

    monkeypatch.setattr(ServerSite, "by_id", write_first)
    dry = becoming(retire(subject, yes=False, purge=True), "trace")
    assert sorted(name for name, (state, *_) in dry.items() if state == "planned") == ["late", "plain", "with file"]
    assert requests.get(subject.uri + file_of(subject), timeout=60).status_code == 200
    done = retire(subject, purge=True)
    changed = ("left", "R502", "it is not as the archive holds it: trace tags")
    assert becoming(done, "trace") == {
        "plain": ("purged", "", ""),
        "with file": ("purged", "", ""),
        "queued": ("left", "R504", "a review queue has it"),
        "changed": changed,
        "late": changed,
        "held": ("held", "", f"the trace {traces['held']} has the tag mlflow_archive.hold"),
    }
    assert (done.details["not_purged"], {state for state, *_ in becoming(done, "run").values()}) == (4, {"deleted"})
    assert requests.get(subject.uri + file_of(subject), timeout=60).status_code != 200
    assert requests.get(f"{subject.uri}{TRACES}/{traces['plain']}", timeout=60).status_code == 404
    undone = ma.undo(subject.receipt)
    assert undone.counts == {"runs_brought_back": 4, "traces_left": 2}
    command = (
        f"mlflow-archive restore {subject.archive} --trace {traces['plain']} --merge --to DATABASE --artifact-root ROOT"
    )
    assert f"it was purged, and comes back from the archive: {command}" in {gap.reason for gap in undone.gaps}
    options = ma.RestoreOptions(
        artifact_root="mlflow-artifacts:/", artifacts_destination=str(mlflow_server.artifacts), merge=True
    )
    chosen = ma.Selection(traces=(traces["plain"], traces["with file"]))
    ma.restore(subject.archive, mlflow_server.backend, options, selection=chosen)
    [late] = ma.diff(before, subject.export("after.mlfa")).changes
    assert (late.id, [each.key for each in late.fields]) == (traces["late"], [{"key": "later"}])
