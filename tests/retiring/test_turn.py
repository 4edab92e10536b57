"""Two processes never work with one receipt at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import TargetError
from mlflow_archive.retiring.turn import turn_with
from tests.retiring.subjects import database_subject


def test_the_second_says_so(tmp_path: Path) -> None:
    subject = database_subject(tmp_path, ("plain",))
    with turn_with(subject.receipt):
        subject.receipt.write_text('{"command": "retire"}')
        sentence = r"receipt\.json: another process is at work with this receipt"
        with pytest.raises(TargetError, match=sentence):
            subject.retire(yes=True)
        with pytest.raises(TargetError, match=sentence):
            ma.undo(subject.receipt)
        subject.receipt.unlink()
    assert subject.stages() == {"plain": "active"}
    subject.retire(yes=True)
    assert ma.undo(subject.receipt).counts == {"runs_brought_back": 1}
    assert not subject.receipt.with_name("receipt.json.lock").exists()


def test_a_lock_that_a_kill_left_is_taken(tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    if not (pid := os.fork()):
        with turn_with(receipt):
            os._exit(0)
    os.waitpid(pid, 0)
    assert receipt.with_name("receipt.json.lock").exists()
    with turn_with(receipt), turn_with(None):
        pass
    assert list(tmp_path.iterdir()) == []


def test_where_no_lock_can_be_made(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="cannot be written: No such file"), turn_with(tmp_path / "gone" / "r.json"):
        pass
