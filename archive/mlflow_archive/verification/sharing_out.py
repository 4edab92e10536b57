"""Checks whose pieces are given out to workers, each of which opens the archive itself."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from mlflow_archive.errors import ArchiveError, MlflowArchiveError
from mlflow_archive.flow.report import Progress
from mlflow_archive.format.location import ArchivePath
from mlflow_archive.format.manifest import Member
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.archive_at import ArchiveAt, archive_at
from mlflow_archive.workers.crew import Crew
from mlflow_archive.workers.kept import close_kept, keeping
from mlflow_archive.workers.pools import Pool, pool_of, wants_workers

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
        return self.name

    @property
    def name(self) -> str:
        """What messages call it."""
        first, *following = [getattr(item, "path", str(item)) for item in self.items]
        return f"the check of {first}" + (f" and {len(following)} more" if following else "")


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
        if refused := sorted({answer for answer in pool.everywhere(try_archive, at) if answer}):
            raise ArchiveError(f"a worker cannot open the archive, which all of them need: {refused[0]}")

    def run(
        self, do: Callable[[Archive, Sequence[_Item]], _Found], items: Sequence[_Item], *, told: bool = True
    ) -> Iterable[_Found]:
        """Have a function of a module called with all items, some at a time; return what it did, in their order.

        Progress is told of the bytes of members, unless it is not to be. Raises WorkError.
        """
        found: dict[int, _Found] = {}
        weights: dict[int, int] = {}

        def take(outcome: tuple[int, _Found]) -> None:
            number, found[number] = outcome
            self._progress.advance("bytes", weights.pop(number))

        crew: Crew[CheckTask, tuple[int, _Found]] = Crew(
            self._pool,
            check,
            take,
            ahead=2 * self._pool.size,
            name=lambda task: task.name,
            tell=self._progress.note,
            after="Run it again",
        )
        try:
            for number, piece in enumerate(self._pieces(items)):
                weights[number] = sum(map(_size, piece)) if told else 0
                crew.give(CheckTask(token=self._token, at=self._at, number=number, do=do, items=tuple(piece)))
            crew.wait()
        except BaseException:
            crew.stop()
            raise
        return (found.pop(number) for number in sorted(found))

    def _pieces(self, items: Sequence[_Item]) -> Iterator[list[_Item]]:
        parts = _PIECES * self._pool.size
        most = min(_MOST_BYTES, sum(map(_size, items)) // parts)
        return in_pieces(items, most, min(_MOST_ITEMS, len(items) // parts + 1))

    def close(self) -> None:
        """Have the workers close the archive."""
        self._pool.everywhere(close_kept, self._token)


def in_pieces(items: Iterable[_Item], most_bytes: int, most_items: int) -> Iterator[list[_Item]]:
    """Yield items in order, some together: so many at most, and no more bytes unless it is one by itself."""
    piece: list[_Item] = []
    together = 0
    for item in items:
        if piece and (len(piece) == most_items or together + _size(item) > most_bytes):
            yield piece
            piece, together = [], 0
        piece.append(item)
        together += _size(item)
    if piece:
        yield piece


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
