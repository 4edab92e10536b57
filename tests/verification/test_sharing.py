"""What is cut into pieces for workers, how these are called, and what is said where one of them fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.flow.report import Quiet
from mlflow_archive.format.manifest import Member
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.archive_at import archive_at
from mlflow_archive.verification.checks import examine, verify
from mlflow_archive.verification.report import Level, VerifyReport
from mlflow_archive.verification.sharing_out import CheckTask, SharedChecks, shared_checks, try_archive
from mlflow_archive.workers import kept
from mlflow_archive.workers.crew import WorkError
from mlflow_archive.workers.pools import Pool
from tests.support.damage import copied
from tests.support.workers import SendingPool
from tests.verification.test_collected import BASE, DELTA

GIB = 1024 * 1024 * 1024
ID = "af58df7ffc4520b9e611392647ca18c26d1b9a6791915e50e9f4a05bf2e8b09f"


class Steps(Quiet):
    """Keeps what is done, and what is said."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def advance(self, unit: str, amount: int) -> None:
        assert unit == "bytes"
        self.done.append(amount)


def members(*sizes: int) -> list[Member]:
    return [Member(path=f"m{n}", kind="pack", export=1, size=size, sha256="") for n, size in enumerate(sizes)]


def paths(archive: Archive, items: Sequence[Any]) -> tuple[str, list[str]]:
    """What a worker does: say which archive it has, and which items."""
    return archive.id, [getattr(item, "path", item) for item in items]


def fails(archive: Archive, items: Sequence[Any]) -> object:
    raise ValueError(f"no {items[0]}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return copied(BASE, tmp_path / "a.mlfa")


def shared_by(path: Path, workers: int, progress: Quiet | None = None) -> tuple[SharedChecks, Pool, str]:
    at, pool = archive_at(path, None, ID), SendingPool(workers)
    return SharedChecks(at, pool, progress or Quiet()), pool, ID


@pytest.mark.parametrize(
    ("items", "sizes"),
    [
        ([], []),
        (["d"] * 3, [1, 1, 1]),
        (["d"] * 16, [2] * 8),
        (["d"] * 33, [3] * 11),
        (["d"] * 16 * 1024, [1024] * 16),
        (members(*[1] * 16), [1] * 16),
        (members(*[1] * 32), [2] * 16),
        (members(*[16 * GIB] * 2), [1, 1]),
        (members(*[GIB // 2] * 40), [2] * 20),
        (members(20, 1, 1, 1, 1), [1, 1, 1, 1, 1]),
    ],
)
def test_there_are_eight_pieces_for_each_worker_none_of_them_too_large(
    path: Path, items: list[Any], sizes: list[int]
) -> None:
    shared, pool, _ = shared_by(path, 2)
    with closing(pool), closing(shared):
        pieces = list(shared._pieces(items))
    assert [len(piece) for piece in pieces] == sizes
    assert [item for piece in pieces for item in piece] == items


def test_what_workers_find_comes_in_the_order_of_the_items_and_the_bytes_of_each_piece_are_told(path: Path) -> None:
    steps = Steps()
    shared, pool, archive_id = shared_by(path, 2, steps)
    items = members(7, 5, 3, 0)
    with closing(pool), closing(shared):
        found = list(shared.run(paths, items))
        assert found == [(archive_id, [f"m{number}"]) for number in range(3)] + [(archive_id, ["m3"])]
        assert sorted(steps.done) == [0, 3, 5, 7]
        steps.done.clear()
        assert list(shared.run(paths, items, weighed=False)) == found
        assert list(shared.run(paths, ["d", "e"])) == [(archive_id, ["d"]), (archive_id, ["e"])]
        assert steps.done == [0] * 6
        assert list(shared.run(paths, [])) == []
    assert not kept._opened_in


def test_a_piece_that_fails_is_named_with_what_to_do_next(path: Path) -> None:
    shared, pool, _ = shared_by(path, 1)
    with closing(pool), closing(shared):
        with pytest.raises(WorkError) as caught:
            list(shared.run(fails, ["d", "e"]))
        assert str(caught.value) == "the check of d failed 3 times: ValueError: no d. Run it again"


class Mortal(SendingPool):
    """A pool whose first worker dies."""

    died = False

    def submit(self, function: Callable[[Any], Any], work: object) -> Future[Any]:
        if isinstance(work, CheckTask) and not self.died:
            self.died = True
            (dead := Future[Any]()).set_exception(EOFError())
            return dead
        return super().submit(function, work)

    def deaths(self, error: BaseException) -> int:
        return isinstance(error, EOFError)


def test_of_a_worker_that_dies_somebody_is_told_and_all_is_checked(path: Path) -> None:
    steps, at = Steps(), archive_at(path, None, ID)
    with closing(Mortal(1)) as pool, closing(SharedChecks(at, pool, steps)) as shared:
        assert [items for _, items in shared.run(paths, ["d", "e"])] == [["d"], ["e"]]
    assert steps.notes == ["a worker died; the check of d is given out again"]


def test_a_task_is_called_by_what_it_checks(path: Path) -> None:
    at = archive_at(path, None, "0" * 64)
    names = {
        repr(CheckTask(token="", at=at, number=0, do=paths, items=tuple(items)))
        for items in (members(1), members(1, 2, 3), ["digest"], ["digest", "other"])
    }
    assert names == {
        "the check of m0",
        "the check of m0 and 2 more",
        "the check of digest",
        "the check of digest and 1 more",
    }


def test_a_worker_says_why_it_cannot_open_the_archive(path: Path, tmp_path: Path) -> None:
    right = ID
    assert try_archive(archive_at(path, None, right)) == ""
    assert try_archive(archive_at(path, None, "0" * 64)) == f"{path} is archive {right} there, and not {'0' * 64}"
    none = tmp_path / "none.mlfa"
    assert try_archive(archive_at(none, None, right)) == f"E001: {none} does not exist"


def test_workers_read_a_delta_beside_its_base_where_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    pools: list[SendingPool] = []

    def pool_of(processes: int, dask: str | None) -> Pool:
        pools.append(SendingPool(processes))
        return pools[-1]

    monkeypatch.setattr("mlflow_archive.verification.sharing_out.pool_of", pool_of)
    for base in (None, BASE):
        report = verify(DELTA, base=base, processes=2)
        assert report == verify(DELTA, base=base)
        assert (report.elsewhere is None) == (base is not None)
    assert len(pools) == 2
    for pool in pools:
        with pytest.raises(RuntimeError, match="shutdown"):
            pool.submit(str, "")
    assert not kept._opened_in


def test_workers_do_all_that_takes_long(path: Path) -> None:
    done: list[str] = []

    class Noted(SendingPool):
        """A pool that keeps what it is to do."""

        def submit(self, function: Callable[[Any], Any], work: object) -> Future[Any]:
            done.extend([work.do.__name__] if isinstance(work, CheckTask) else [])
            return super().submit(function, work)

    with open_archive(path) as archive, closing(Noted(1)) as pool:
        report = VerifyReport(level=Level.FULL, archive_id=archive.id)
        with closing(SharedChecks(archive_at(path, None, archive.id), pool, Quiet())) as shared:
            examine(archive, report, shared=shared)
    assert sorted(set(done)) == ["check_members", "check_packs", "check_parts"]


def test_where_no_workers_are_wanted_none_are_asked(path: Path) -> None:
    with open_archive(path) as archive, shared_checks(archive, path, None, 0, None, Quiet()) as shared:
        assert shared is None
