"""Traces have no soft delete: a purge deletes what is compared, and the archive brings it back."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

import mlflow_archive as ma
from mlflow_archive.retiring.database_site import DatabaseSite
from tests.support.databases import empty_database
from tests.support.full_database import Everything, make_everything

NAMES = ("in database", "in file", "archived", "unfinished", "plain")
TABLES = (
    ("trace_info", "request_id"),
    ("trace_tags", "request_id"),
    ("trace_request_metadata", "request_id"),
    ("spans", "trace_id"),
    ("assessments", "trace_id"),
    ("entity_associations", "source_id"),
)


@pytest.fixture
def store(tmp_path: Path) -> Everything:
    """A store with traces of each kind, whose runs have ended."""
    database = tmp_path / "mlflow.db"
    database.write_bytes(empty_database().read_bytes())
    everything = make_everything(f"sqlite:///{database}", tmp_path / "files")
    client = MlflowClient(everything.uri)
    for name in ("run", "other run"):
        client.set_terminated(everything.ids[name], end_time=1_700_000_000_000)
    ma.export(tmp_path / "kept.mlfa", everything.uri)
    return everything


def retire(store: Everything, *, yes: bool = True, purge: bool = True, **selection: Any) -> ma.Report:
    folder = store.folder.parent
    chosen = ma.Selection(**(selection or {"experiments": ("everything",)}))
    options = ma.RetireOptions(purge=purge, with_versions=True)
    return ma.retire(
        folder / "kept.mlfa", store.uri, options=options, selection=chosen, receipt=folder / "receipt.json", yes=yes
    )


def states(store: Everything, report: ma.Report) -> dict[str, tuple[str, str]]:
    """Return of each trace what became of it, and why, by name."""
    objects: list[dict[str, str]] = report.details["objects"]  # type: ignore[assignment]
    names = {store.ids[name]: name for name in NAMES}
    return {
        names[each["id"]]: (each["state"], each.get("reason", "").replace(store.ids["run"], "RUN"))
        for each in objects
        if each["kind"] == "trace"
    }


def there(store: Everything, name: str) -> set[str]:
    """Return the tables that have rows of a trace."""
    with sqlite3.connect(store.folder.parent / "mlflow.db") as connection:
        return {
            table
            for table, column in TABLES
            if connection.execute(f"SELECT 1 FROM {table} WHERE {column} = ?", [store.ids[name]]).fetchall()  # noqa: S608
        }


def files(store: Everything, name: str) -> list[str]:
    return [path.name for path in store.folder.rglob("*") if path.is_file() and store.ids[name] in path.parts]


def restore(store: Everything, **selection: Any) -> None:
    options = ma.RestoreOptions(artifact_root=str(store.folder), merge=True)
    folder = store.folder.parent
    ma.restore(folder / "kept.mlfa", store.uri, options, selection=ma.Selection(**selection))


def export(store: Everything, name: str) -> Path:
    ma.export(store.folder.parent / name, store.uri)
    return store.folder.parent / name


def test_rows_and_files_go_and_come_back_with_their_run(store: Everything) -> None:
    before, names = store.folder.parent / "kept.mlfa", ("in database", "in file", "archived")
    assert [files(store, name) for name in names[1:]] == [["traces.json"], ["traces.pb"]]
    done = retire(store, runs=(store.ids["run"],))
    assert states(store, done) == {
        **dict.fromkeys(names, ("purged", "")),
        "unfinished": ("held", "its status is IN_PROGRESS, so that it may still be written to"),
        "plain": ("left", "a review queue has it"),
    }
    for name in names:
        assert (there(store, name), files(store, name)) == (set(), [])
    assert there(store, "plain") == {table for table, _ in TABLES}
    undone = states(store, ma.undo(store.folder.parent / "receipt.json"))
    command = f"mlflow-archive restore {before} --trace %s --merge --to {store.uri} --artifact-root ROOT"
    reason = f"it was purged, and comes back from the archive: {command}"
    assert undone == states(store, done) | {name: ("left", reason % store.ids[name]) for name in names}
    restore(store, runs=(store.ids["run"],))
    [changed] = ma.diff(before, export(store, "after.mlfa")).changes
    # What MLflow moved to an archive of traces comes back below the artifact root.
    assert (changed.id, [each.key for each in changed.fields]) == (
        store.ids["archived"],
        [{"key": "mlflow.trace.archiveLocation"}],
    )
    assert files(store, "archived") == ["traces.pb"]


def test_what_is_written_meanwhile_stays(store: Everything, monkeypatch: pytest.MonkeyPatch) -> None:
    client = MlflowClient(store.uri)
    client.set_trace_tag(store.ids["in file"], "later", "1")
    purge = DatabaseSite.purge_trace

    def write_first(site: DatabaseSite, trace_id: str, seen: Any) -> str:
        if trace_id == store.ids["in database"]:
            client.set_trace_tag(trace_id, "long", "another")
        return purge(site, trace_id, seen)

    monkeypatch.setattr(DatabaseSite, "purge_trace", write_first)
    becoming = states(store, retire(store, runs=(store.ids["run"],)))
    assert becoming["in database"] == ("left", "it has changed while it was compared: trace_tags")
    assert becoming["in file"] == ("left", "it is not as the archive holds it: trace tags")
    assert becoming["archived"] == ("purged", "")
    assert there(store, "in database") == there(store, "in file") | {"spans"} == {table for table, _ in TABLES}
    restore(store, traces=(store.ids["archived"],))
    assert there(store, "archived") == {table for table, _ in TABLES} - {"entity_associations"}


def test_which_traces_are_in_the_list(store: Everything) -> None:
    client, run_id = MlflowClient(store.uri), store.ids["run"]
    dry = retire(store, yes=False, purge=False, runs=(run_id,))
    assert (states(store, dry), dry.details["traces_that_stay"]) == ({}, 5)
    retire(store, purge=False, runs=(run_id,))
    assert states(store, retire(store, runs=(run_id,))) == {}
    later = states(store, retire(store, yes=False, runs=(run_id,)))
    assert {name for name, (state, _) in later.items() if state == "planned"} == {*NAMES} - {"unfinished"}
    client.restore_run(run_id)
    client.set_tag(run_id, "mlflow_archive.hold", "")
    (store.folder.parent / "receipt.json").unlink()
    held = states(store, retire(store, yes=False))
    assert {held[name] for name in NAMES if name != "unfinished"} == {("held", "the run RUN to which it belongs stays")}
