"""Promise 1, kill: SIGKILL at random moments of a real process; the archive is the commit before or the new one."""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.report import Level
from tests.support.cuts import every
from tests.support.memory_source import MemoryOptions, MemorySource, archive_id, content_of, export, interrupted_export

BEFORE = MemoryOptions(runs=4, runs_per_shard=2)
AFTER = MemoryOptions(runs=12, runs_per_shard=2, changed=frozenset({1}), long=frozenset({5}), pause_seconds=0.01)
MOMENTS = 26 // every(2)


def _export(path: Path, append: bool, started: Event) -> None:
    started.set()
    export(path, AFTER, append=append, seal_seconds=0)


def _start(path: Path, append: bool) -> multiprocessing.process.BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.memory_source"])
    started = context.Event()
    process = context.Process(target=_export, args=(path, append, started))
    process.start()
    assert started.wait(30)
    return process


@pytest.mark.parametrize(("name", "append"), [("a", False), ("a.mlfa", False), ("a", True), ("a.mlfa", True)])
def test_killed_at_random_moments(tmp_path: Path, name: str, append: bool) -> None:
    undisturbed = tmp_path / "undisturbed" / name
    if append:
        export(undisturbed, BEFORE)
    process = _start(undisturbed, append)
    began = time.monotonic()
    process.join()
    duration = time.monotonic() - began
    expected, moments = content_of(undisturbed), random.Random(f"{name}{append}")  # noqa: S311 - moments that repeat
    unfinished = continued = 0
    for number in range(8 if append else MOMENTS):
        path = tmp_path / str(number) / name
        old = None
        if append:
            export(path, BEFORE)
            old = archive_id(path)
        process = _start(path, append)
        time.sleep(moments.uniform(0, duration))
        process.kill()
        process.join()
        found = archive_id(path)
        if found is not None:
            assert verify(path, Level.STORED if found == old else Level.FULL).ok
        source = MemorySource(AFTER)
        if found == old:
            unfinished += 1
        try:
            export(path, append=append, source=source, seal_seconds=0)
        except TargetError as error:
            assert "is an archive already" in str(error)  # noqa: PT017 - most moments give no error
            assert found not in (None, old)
        continued += len(source.given) < (11 if append else 12)
        assert content_of(path) == expected
        assert verify(path).problems == []
        assert not list(path.parent.rglob("staging/*"))
    assert unfinished > 3  # else the moments are not in the middle of the export
    assert continued > 0


def test_what_was_sealed_is_not_read_again(tmp_path: Path) -> None:
    class Dying(MemorySource):
        def read(self, shard, known):  # type: ignore[no-untyped-def]
            if isinstance(shard.payload, range) and shard.payload.start >= 6:
                message = "the cable was pulled"
                raise ConnectionError(message)
            yield from super().read(shard, known)

    path = tmp_path / "a"
    with pytest.raises(ConnectionError):
        export(path, source=Dying(MemoryOptions()), jobs=1, seal_seconds=0)
    again = MemorySource(MemoryOptions())
    export(path, source=again)
    assert len(again.given) == 6
    export(tmp_path / "b", MemoryOptions())
    assert content_of(path) == content_of(tmp_path / "b")


def test_a_run_that_changes_between_several_tries_comes_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for changed in (frozenset[int](), frozenset({1, 2}), frozenset({1})):
        options = MemoryOptions(runs=6, changed=changed)
        interrupted_export(path, options)
    final = MemoryOptions(runs=6, changed=frozenset({1}))
    export(path, final)
    export(tmp_path / "b", final)
    assert content_of(path) == content_of(tmp_path / "b")
    assert verify(path).problems == []
