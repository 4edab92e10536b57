"""Imports of one source take turns; one that has ended in whatever way keeps nobody waiting."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import ServerError
from mlflow_archive.sinks.replay import Target, open_target
from mlflow_archive.sinks.replay.places import turn as turns
from mlflow_archive.sinks.replay.places.experiments import INCOMPLETE, STATE, tags_of_experiment
from mlflow_archive.sinks.replay.places.turn import KEY, Claim, Turn, claims_of, has_ended, process_name
from tests.support.databases import empty_database

SOURCE = "http://source"
ELSEWHERE = "another-machine 1 1"
ME = Claim(name="me", number=2, sources=frozenset({"a"}))


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    shutil.copyfile(empty_database(), tmp_path / "mlflow.db")
    opened = open_target(f"sqlite:///{tmp_path / 'mlflow.db'}", artifact_root=str(tmp_path / "artifacts"))
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(turns, "BEAT_SECONDS", 0.1)


def claims_in(target: Target) -> Mapping[str, Claim]:
    return claims_of(tags_of_experiment(target.api, "0"))


def claim(target: Target, claim: Claim) -> None:
    target.set_experiment_tag("0", claim.key, claim.text)


def turn_in(target: Target, *sources: str, tell: Callable[[str], None] = lambda sentence: None) -> Turn:
    return Turn(target, sources or (SOURCE,), tell=tell)


@contextmanager
def taking(turn: Turn) -> Iterator[Future[None]]:
    """Take a turn in another thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(turn.take)


def test_the_second_waits_and_says_so(target: Target) -> None:
    first, sentences = turn_in(target), list[str]()
    second = turn_in(target, tell=sentences.append)
    first.take()
    with taking(second) as future:
        with pytest.raises(TimeoutError):
            future.result(1)
        first.give_back()
        future.result(20)
    assert len(sentences) == 1
    assert "another import of the same source" in sentences[0]
    second.give_back()
    assert not claims_in(target)


def test_those_of_other_sources_do_not_wait(target: Target) -> None:
    first, second, third = turn_in(target, "a", "b"), turn_in(target, "c"), turn_in(target, "x", "b")
    first.take()
    second.take()
    with taking(third) as future:
        with pytest.raises(TimeoutError):
            future.result(0.5)
        first.give_back()
        future.result(20)
    second.give_back()
    third.give_back()


def test_one_at_a_time_of_many(target: Target) -> None:
    inside, most = [0], [0]

    def work(_: int) -> None:
        turn = turn_in(target)
        turn.take()
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.05)
        inside[0] -= 1
        turn.give_back()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert most == [1]
    assert not claims_in(target)


@cache
def ended_process() -> str:
    """Return the name of a process that has ended."""
    code = "from mlflow_archive.sinks.replay.places.turn import process_name; print(process_name())"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("number", [None, 1])
def test_a_killed_one_of_this_machine_keeps_nobody_waiting(target: Target, number: int | None) -> None:
    claim(target, Claim(name="dead", number=number, process=ended_process()))
    turn = turn_in(target)
    begin = time.monotonic()
    turn.take()
    assert time.monotonic() - begin < 10
    assert len(claims_in(target)) == 1
    turn.give_back()
    assert not claims_in(target)


def test_one_of_another_machine_is_dead_when_it_is_silent(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SILENT_SECONDS", 1.0)
    other = Claim(name="other", number=1, process=ELSEWHERE)
    turn = turn_in(target)
    claim(target, other)
    with taking(turn) as future:
        for beat in range(4):
            claim(target, replace(other, beat=beat))
            with pytest.raises(TimeoutError):
                future.result(0.5)
        future.result(20)
    turn.give_back()
    assert not claims_in(target)


def test_one_that_was_taken_for_dead_stops(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = turn_in(target), turn_in(target)
    first.take()
    first.check()
    monkeypatch.setattr(turns, "has_ended", lambda process: True)
    second.take()
    first._thread.join(20)
    with pytest.raises(ServerError, match="took this one for dead"):
        first.check()
    first.leave()
    assert len(claims_in(target)) == 1
    second.check()
    second.give_back()
    assert not claims_in(target)


class _Api:
    """The API of a target, but for what is refused."""

    def __init__(self, api: Any, refuse: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._api, self._refuse = api, refuse

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        self._refuse(path, body)
        return self._api.post(path, body)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)


@dataclass
class _Refusing:
    target: Any
    refuse: Callable[[str, Mapping[str, Any]], None]

    @property
    def api(self) -> Any:
        return _Api(self.target.api, self.refuse)

    def in_workspace(self, name: str | None) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


def test_the_tag_is_on_an_experiment_that_may_be_tagged(target: Target) -> None:
    experiment_id = target.create_experiment("mine", {})
    restored = target.create_experiment("about to be deleted", {STATE: INCOMPLETE})

    def refuse(path: str, body: Mapping[str, Any]) -> None:
        if body.get("experiment_id") == "0":
            raise ServerError("not yours", status=403, error_code="PERMISSION_DENIED")

    turn = Turn(_Refusing(target, refuse), [SOURCE], tell=lambda sentence: None)
    turn.take()
    tags = {place: tags_of_experiment(target.api, place) for place in ("0", experiment_id, restored)}
    assert [place for place, own in tags.items() if claims_of(own)] == [experiment_id]
    turn.give_back()
    assert not any(claims_of(tags_of_experiment(target.api, place)) for place in tags)


def test_where_no_experiment_may_be_seen_there_is_no_turn(target: Target) -> None:
    def refuse(path: str, body: Mapping[str, Any]) -> None:
        raise ServerError("not yours", status=403, error_code="PERMISSION_DENIED")

    turn = Turn(_Refusing(target, refuse), [SOURCE], tell=lambda sentence: None, workspace="team")
    turn.take()
    turn.give_back()
    assert not claims_in(target)


def test_where_tags_cannot_be_deleted_nothing_is_left(target: Target) -> None:
    """MLflow before 3.2 has no request for it."""

    def refuse(path: str, body: Mapping[str, Any]) -> None:
        if path.endswith("delete-experiment-tag"):
            raise ServerError("no such request", status=404)

    for _ in range(2):
        turn = Turn(_Refusing(target, refuse), [SOURCE], tell=lambda sentence: None)
        turn.take()
        turn.check()
        turn.give_back()
    assert not claims_in(target)


def test_a_target_that_answers_no_more_keeps_nobody(target: Target) -> None:
    sentences: list[str] = []
    fails = [False]

    def refuse(path: str, body: Mapping[str, Any]) -> None:
        if fails[0]:
            raise ServerError("nobody answers")

    turn = Turn(_Refusing(target, refuse), [SOURCE], tell=sentences.append)
    turn.take()
    fails[0] = True
    turn.leave()
    assert sentences == ["the next import has to find out that this one has ended: nobody answers"]


@pytest.mark.parametrize(
    ("other", "ahead"),
    [
        (replace(ME, name="other", number=1), True),
        (replace(ME, name="other", number=3), False),
        (replace(ME, name="me a", number=2), False),
        (replace(ME, name="a", number=2), True),
        (replace(ME, name="other", number=None), True),
        (replace(ME, name="other", number=1, sources=frozenset({"b"})), False),
        (replace(ME, name="other", number=1, sources=frozenset({"b", "a"})), True),
        (replace(ME, name="other", number=1, sources=frozenset({"any"})), True),
    ],
)
def test_who_is_ahead(other: Claim, ahead: bool) -> None:
    assert other.is_ahead_of(ME) is ahead


def test_a_claim_is_read_as_it_was_written() -> None:
    written = Claim(
        name="n", number=7, beat=3, process="m 1 2", sources=frozenset({"b", "a"}), ended=frozenset({"dead"})
    )
    assert claims_of({written.key: written.text, "mlflow.note.content": "x"}) == {"n": written}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"number": "x"}', "null"])
def test_what_is_no_claim_chooses(text: str) -> None:
    claim = claims_of({KEY + "n": text})["n"]
    assert claim.number is None
    assert claim.is_ahead_of(ME)


def test_a_claim_of_very_many_sources_fits_a_tag() -> None:
    claim = Claim(name="n", number=1, sources=frozenset(map(str, range(5000))))
    assert len(claim.text) < 5000
    assert Claim.parse("n", claim.text).is_ahead_of(ME)


def test_which_processes_have_ended() -> None:
    machine, pid, start = process_name().split(" ")
    assert not has_ended(process_name())
    assert has_ended(ended_process())
    assert not has_ended(f"{ELSEWHERE}")
    assert not has_ended("")
    assert not has_ended(f"{machine} {10**30} {start}")
    if start:
        assert has_ended(f"{machine} {pid} {int(start) - 1}"), "another process has its id now"
