"""A retirement that is killed anywhere: nothing is gone that is not in the archive and the receipt; it goes on.

Each kill is that of a fork of this process, which ends itself in front of a request, a statement or a change of a file,
or behind it; only once there is a receipt, as before that it reads. The next one goes on from there; one that comes to
its end is undone, and another begins.
"""

from __future__ import annotations

import gc
import os
import random
import sqlite3
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import pytest

import mlflow_archive as ma
from mlflow_archive.api import retiring
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.retiring.database_site import DatabaseSite
from mlflow_archive.retiring.receipt import read_receipt
from mlflow_archive.storage.files import Files, OutputFile
from tests.retiring.subjects import Subject, change, database_subject, fill
from tests.support.mlflow_server import MlflowServer

KILLS: Final = 300 if os.environ.get("TEST_RETIRE") == "1" else 60
"""A tenth of them over REST, where one costs most, the others in a database."""
_FEW: Final = ("plain", "metrics", "changed")
_GOING: Final = {"plain", "metrics"}
_DEAD: Final = 9
_MORTAL: Final = (
    (TrackingSession, "_send"),
    (DatabaseSite, "_change"),
    (Files, "create"),
    (Files, "publish"),
    (Files, "remove"),
    (OutputFile, "sync"),
)


def _retire(subject: Subject) -> ma.Report:
    return subject.retire(yes=True)


def retire_in_fork(
    subject: Subject,
    lives: int,
    *,
    behind: bool,
    mortal: tuple[tuple[type, str], ...] = _MORTAL,
    act: Callable[[Subject], ma.Report] = _retire,
) -> bool:
    """Retire in a fork that dies at its operation of a number; return whether it came to its end."""
    gc.freeze()  # a collection in the fork would copy all that is in memory
    pid = os.fork()
    if not pid:
        gc.disable()
        code = 1
        try:
            left = [lives, False]
            for owner, name in mortal:
                setattr(owner, name, _mortal(getattr(owner, name), left, behind=behind))
            retiring.check_sound = lambda *_: None  # it only reads
            act(subject)
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, _DEAD)
    return code == 0


def _mortal(operation: Callable[..., Any], left: list[Any], *, behind: bool) -> Callable[..., Any]:
    @wraps(operation)
    def mortal(*arguments: Any, **options: Any) -> Any:
        if operation.__qualname__ == "Files.create":
            left[1] = True  # what comes before the receipt only reads
        left[0] -= left[1]
        if left[0] < 0 and not behind:
            os._exit(_DEAD)
        answer = operation(*arguments, **options)
        if left[0] < 0:
            os._exit(_DEAD)
        return answer

    return mortal


def count_operations(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many operations a whole retirement has; what it did is undone."""
    left = [10**9, False]
    with monkeypatch.context() as patch:
        for owner, name in _MORTAL:
            patch.setattr(owner, name, _mortal(getattr(owner, name), left, behind=False))
        subject.retire(yes=True)
    begin_anew(subject)
    return 10**9 - int(left[0])


def begin_anew(subject: Subject) -> None:
    ma.undo(subject.receipt)
    subject.receipt.unlink()


def deleted_runs(database: Path, subject: Subject) -> set[str]:
    """Return the names of deleted runs, as the database itself says."""
    query = "SELECT run_uuid FROM runs WHERE lifecycle_stage = 'deleted'"
    with sqlite3.connect(database) as connection:
        ids = {row[0] for row in connection.execute(query)}
    return {name for name, run_id in subject.runs.items() if run_id in ids}


def check_killed_anywhere(subject: Subject, database: Path, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    change(subject)
    before = subject.export("before.mlfa")
    operations = count_operations(subject, monkeypatch)
    assert operations > 10
    draw = random.Random(19)  # noqa: S311 - the same kills each time
    kills = ends = 0
    while kills < most or deleted_runs(database, subject) != _GOING:
        ended = retire_in_fork(subject, draw.randrange(operations), behind=draw.random() < 0.5)
        kills, ends = kills + (not ended), ends + ended
        gone = deleted_runs(database, subject)
        assert gone <= _GOING
        states = {}
        if subject.receipt.exists():
            states = {entry.name: entry.state for entry in read_receipt(subject.receipt).entries}
        assert gone <= {name for name, state in states.items() if state in ("deleting", "deleted")}
        if ended:
            assert gone == _GOING
            assert {name for name, state in states.items() if state == "deleted" and name in subject.runs} == _GOING
            if kills < most:
                begin_anew(subject)
    assert ends
    ma.undo(subject.receipt)
    assert ma.diff(before, subject.export("after.mlfa")).changes == ()


@pytest.mark.timeout(600)
def test_killed_anywhere_over_rest(
    mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = fill(mlflow_server.uri, tmp_path, names=_FEW)
    check_killed_anywhere(subject, mlflow_server.database, KILLS // 10, monkeypatch)


@pytest.mark.timeout(600)
def test_killed_anywhere_in_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = database_subject(tmp_path, _FEW)
    check_killed_anywhere(subject, tmp_path / "mlflow.db", KILLS - KILLS // 10 - KILLS // 6, monkeypatch)


def test_a_write_between_the_look_and_the_delete_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = database_subject(tmp_path)
    hide = DatabaseSite.hide

    def write_first(site: DatabaseSite, address: Any) -> None:
        if address.id == subject.runs["metrics"]:
            subject.client.log_metric(address.id, "loss", 0.25, step=7)
        hide(site, address)

    monkeypatch.setattr(DatabaseSite, "hide", write_first)
    done = subject.retire(yes=True)
    states = {entry["name"]: (entry["state"], entry.get("reason")) for entry in done.details["objects"]}  # type: ignore[attr-defined]
    assert states["plain"] == ("deleted", None)
    reason = "it is not as the archive holds it: metrics; that was seen behind its delete, and it was brought back"
    assert states["metrics"] == ("left", reason)
    assert {name for name, stage in subject.stages().items() if stage == "deleted"} == {
        "plain",
        "assessed",
        "changed",
        "replaced",
    }
