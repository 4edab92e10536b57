"""Checks whose pieces are given out to workers, each of which opens the archive itself."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from mlflow_archive.errors import ArchiveError, MlflowArchiveError
from mlflow_archive.flow.pieces import in_pieces
from mlflow_archive.flow.report import Progress
from mlflow_archive.format.location import ArchivePath
from mlflow_archive.format.manifest import Member
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.archive_at import ArchiveAt, archive_at
from mlflow_archive.workers.crew import Crew, first_and_more
from mlflow_archive.workers.kept import close_kept, keeping
from mlflow_archive.workers.pools import Pool, first_refusal, pool_of, wants_workers

_PIECES: Final = 8
"""Into so many pieces for each worker what is to be checked is cut, so that none waits long for another."""
_MOST_BYTES: Final = 1024 * 1024 * 1024
_MOST_ITEMS: Final = 1024

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CheckTask:
    """A check and what it is done to, members or digests; plain data."""

    token: str
    at: ArchiveAt
    number: int
    do: Callable[[Archive, Any], Any]
    items: tuple[Any, ...]

    def __repr__(self) -> str:
        """Return what messages call it."""
        return f"the check of {first_and_more([getattr(item, 'path', str(item)) for item in self.items])}"


def check(task: CheckTask) -> tuple[int, Any]:
    """Return the number of a task and what was found: what a worker does. The archive stays open for the next."""
    with keeping(task.token, task.at.open) as archive:
        return task.number, task.do(archive, task.items)


def try_archive(at: ArchiveAt) -> str:
    """Return why this worker cannot read the archive; nothing where it can."""
    try:
        with at.open():
            return ""
    except (MlflowArchiveError, OSError) as error:
        return str(error)


class SharedChecks:
    """Gives out the pieces of checks of one archive, and returns what was found in order."""

    def __init__(self, at: ArchiveAt, pool: Pool, progress: Progress) -> None:
        self._pool, self._progress = pool, progress
        self._at, self._token = at, secrets.token_hex()
        if refused := first_refusal(pool, try_archive, at):
            raise ArchiveError(f"a worker cannot open the archive, which all of them need: {refused}")

    def run(
        self, do: Callable[[Archive, Sequence[_Item]], _Found], items: Sequence[_Item], *, weighed: bool = True
    ) -> Iterable[_Found]:
        """Have a function of a module called with all items, some at a time; return what it did, in their order.

        Progress is told of the bytes of members, unless it is not to be. Raises WorkError.
        """
        findings: dict[int, _Found] = {}
        weights: dict[int, int] = {}

        def take(outcome: tuple[int, _Found]) -> None:
            number, findings[number] = outcome
            self._progress.advance("bytes", weights.pop(number))

        crew: Crew[CheckTask, tuple[int, _Found]] = Crew(
            self._pool,
            check,
            take,
            ahead=2 * self._pool.size,
            tell=self._progress.note,
            after="Run it again",
        )
        try:
            for number, piece in enumerate(self._pieces(items)):
                weights[number] = sum(map(_size, piece)) if weighed else 0
                crew.give(CheckTask(token=self._token, at=self._at, number=number, do=do, items=tuple(piece)))
            crew.wait()
        except BaseException:
            crew.stop()
            raise
        return (findings.pop(number) for number in sorted(findings))

    def _pieces(self, items: Sequence[_Item]) -> Iterator[list[_Item]]:
        parts = _PIECES * self._pool.size
        most_bytes = min(_MOST_BYTES, sum(map(_size, items)) // parts)
        return in_pieces(items, _size, most_bytes, min(_MOST_ITEMS, len(items) // parts + 1))

    def close(self) -> None:
        """Have the workers close the archive."""
        self._pool.everywhere(close_kept, self._token)


def _size(item: object) -> int:
    """The bytes of a member; of what is not weighed, none."""
    return item.size if isinstance(item, Member) else 0


@contextmanager
def shared_checks(
    archive: Archive, path: ArchivePath, base: ArchivePath | None, processes: int, dask: str | None, progress: Progress
) -> Iterator[SharedChecks | None]:
    """Give checks by so many processes, or by a Dask cluster, while the block runs; None where neither is wanted.

    Raises SelectionError where both are, ArchiveError where a worker cannot open the archive, MissingExtraError.
    """
    if not wants_workers(processes, dask):
        yield None
        return
    at = archive_at(path, base, archive.id)
    with closing(pool_of(processes, dask)) as pool, closing(SharedChecks(at, pool, progress)) as shared:
        yield shared
