"""A purge at a database whose writers wait for locks: rows and files go and come back, and what is written is seen."""

from __future__ import annotations

from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from sqlalchemy import create_engine, text

import mlflow_archive as ma
from mlflow_archive.retiring.database_site import DatabaseSite
from tests.retiring.subjects import Subject, fill, give_models
from tests.retiring.test_purge import purging, trace_in_run

WAIT_SECONDS = 0.4
_INSERTS = {
    "purge": "INSERT INTO tags ({key}, value, run_uuid) VALUES ('later', '1', :id)",
    "purge_trace": "INSERT INTO trace_tags ({key}, value, request_id) VALUES ('later', '1', :id)",
}


def check_locks(uri: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Purge while others write: each waits for the other, and neither loses anything."""
    subject = fill(uri, folder, artifacts=f"file://{folder}/store/1", names=("plain", "written"))
    give_models(subject, {"made": "plain"})
    traces = {name: trace_in_run(subject, subject.runs["plain"]) for name in ("plain", "written")}
    subject.archive.unlink()
    before = subject.export("kept.mlfa")
    for name in _INSERTS:
        write_while(name, {subject.runs["written"], traces["written"]}, uri, monkeypatch)
    purged = {(each["kind"], each["id"]): each for each in purging(subject).details["objects"]}  # type: ignore[attr-defined]
    reason = "it has changed while it was compared: trace_tags"
    assert _fate(purged, "trace", traces["written"]) == ("left", reason)
    number = len(subject.client.get_run(subject.runs["written"]).data.tags)  # with that of the other
    reason = f"deleted, and not purged: it has {number} rows of tags, and the archive {number - 1}"
    assert _fate(purged, "run", subject.runs["written"]) == ("deleted", reason)
    reason = "deleted, and not purged: a trace that was made in it is there"
    assert _fate(purged, "run", subject.runs["plain"]) == ("deleted", reason)
    assert _fate(purged, "trace", traces["plain"]) == _fate(purged, "logged_model", subject.models["made"])
    assert _fate(purged, "trace", traces["plain"]) == ("purged", "")
    ma.undo(subject.receipt, uri)
    _restore(subject, traces["plain"])
    changes = ma.diff(before, subject.export("after.mlfa")).changes
    assert {change.id for change in changes} == {subject.runs["written"], traces["written"]}
    assert {tuple(each.key.values()) for change in changes for each in change.fields} == {("later",)}


def write_while(name: str, ids: set[str], uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have somebody write a tag in a transaction that begins before a purge of an object, and ends while it waits."""
    purge = getattr(DatabaseSite, name)

    def beside(site: DatabaseSite, address: Any, *others: Any) -> Any:
        object_id = address if isinstance(address, str) else address.id
        if object_id not in ids:
            return purge(site, address, *others)
        engine = create_engine(uri)
        with engine.connect() as connection:
            key = engine.dialect.identifier_preparer.quote("key")
            connection.execute(text(_INSERTS[name].format(key=key)), {"id": object_id})
            timer = Timer(WAIT_SECONDS, connection.commit)
            timer.start()
            try:
                return purge(site, address, *others)
            finally:
                timer.join()
                engine.dispose()

    monkeypatch.setattr(DatabaseSite, name, beside)


def _fate(objects: dict[tuple[str, str], dict[str, str]], kind: str, object_id: str) -> tuple[str, str]:
    return objects[kind, object_id]["state"], objects[kind, object_id].get("reason", "")


def _restore(subject: Subject, trace_id: str) -> None:
    options = ma.RestoreOptions(artifact_root=f"file://{subject.folder}/store", merge=True)
    for selection in (ma.Selection(runs=(subject.runs["plain"],)), ma.Selection(traces=(trace_id,))):
        ma.restore(subject.archive, subject.uri, options, selection=selection)
