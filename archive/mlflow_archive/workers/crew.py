"""Give work out to a pool, some pieces at a time, until each is done or cannot be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from mlflow_archive.errors import MlflowArchiveError
from mlflow_archive.workers.pools import Pool

TRIES: Final = 3
"""How often a piece is done whose work itself fails."""
SUSPECTED: Final = 5
"""After so many deaths that a piece was near it is done with nothing else under way, so that the next tells of it."""
MOST_DEATHS: Final = 4
"""A piece that so many workers die of in a row, with nothing else under way, is what kills them."""

_Work = TypeVar("_Work")
_Done = TypeVar("_Done")


class WorkError(MlflowArchiveError):
    """A piece of work could not be done, however often it was given out; the exit code is that of its cause."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class FailedWork:
    """What a worker sends where the work fails: not every exception can be sent. ``kind`` is its class."""

    kind: str
    reason: str
    exit_code: int


@dataclass(slots=True)
class _Piece(Generic[_Work]):
    work: _Work
    failures: int = 0
    deaths: int = 0
    deaths_alone: int = 0


@dataclass(frozen=True, slots=True)
class _Call:
    """A function that is sent to a worker and never raises there what cannot be sent back."""

    do: Callable[[Any], Any]

    def __call__(self, work: object) -> object:
        try:
            return self.do(work)
        except Exception as error:
            return FailedWork(type(error).__name__, str(error), getattr(error, "exit_code", 1))


def first_and_more(names: Sequence[str]) -> str:
    """Return what messages call a piece of work on several things, one at least.

    >>> first_and_more(["run a"]), first_and_more(["run a", "run b", "run c"])
    ('run a', 'run a and 2 more')
    """
    first, *following = names
    return f"{first} and {len(following)} more" if following else first


class Crew(Generic[_Work, _Done]):
    """Has a pool ``do`` what it is given; ``take`` gets what comes of it, in any order, each once, in this thread.

    ``ahead`` pieces are under way at most. In threads of this process an error of the work is raised at once. In others
    a piece is tried :data:`TRIES` times, and given out again without limit where a worker dies, but for one that is
    what they die of: it ends as WorkError, which calls the piece what ``str``
    does and says what to do next as ``after``. ``tell`` hears of deaths.
    """

    def __init__(
        self,
        pool: Pool,
        do: Callable[[_Work], _Done],
        take: Callable[[_Done], None],
        *,
        ahead: int,
        tell: Callable[[str], object] = str,
        after: str = "What was done before is kept: the same command goes on",
    ) -> None:
        self._pool, self._take, self._ahead, self._tell = pool, take, ahead, tell
        self._after = after
        self._do: Callable[[Any], Any] = _Call(do) if pool.sends else do
        self._running: dict[Future[Any], _Piece[_Work]] = {}
        self._suspects: list[_Piece[_Work]] = []
        self._died = False

    def give(self, work: _Work) -> None:
        """Give a piece out, and wait until there is room for the next."""
        self._start(_Piece(work))
        self._settle(self._ahead - 1)

    def wait(self) -> None:
        """Wait until all pieces are done."""
        self._settle(0)
        while self._suspects:
            self._start(self._suspects.pop())
            self._settle(0, alone=True)

    def stop(self) -> None:
        """Give up what has not begun; what has goes on, and nobody takes what comes of it."""
        for future in self._running:
            future.cancel()

    def end(self) -> None:
        """Wait until nothing is under way, and take nothing of it: for work that may be writing until it ends."""
        wait(self._running)

    def _start(self, piece: _Piece[_Work]) -> None:
        self._running[self._pool.submit(self._do, piece.work)] = piece

    def _settle(self, leave: int, *, alone: bool = False) -> None:
        """Wait until at most ``leave`` pieces are under way."""
        while len(self._running) > leave:
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            again = [piece for future in done if (piece := self._end(future, alone=alone)) is not None]
            if self._died and self._pool.renew():
                ended, _ = wait(self._running)
                again += [piece for future in ended if (piece := self._end(future, alone=alone)) is not None]
            self._died = False
            for piece in again:
                if piece.deaths < SUSPECTED and not alone:
                    self._start(piece)
                else:
                    self._suspects.append(piece)

    def _end(self, future: Future[Any], *, alone: bool) -> _Piece[_Work] | None:
        """Take what came of a piece; return it where it is to be done again."""
        piece = self._running.pop(future)
        error = future.exception()
        if error is not None and (deaths := self._pool.deaths(error)):
            self._count(piece, deaths, alone=alone)
            return piece
        if error is not None:
            raise error
        done = future.result()
        if not isinstance(done, FailedWork):
            self._take(done)
            return None
        piece.failures += 1
        if piece.failures < TRIES:
            return piece
        message = f"{piece.work} failed {TRIES} times: {done.kind}: {done.reason}"
        raise WorkError(f"{message}. {self._after}", done.exit_code)

    def _count(self, piece: _Piece[_Work], deaths: int, *, alone: bool) -> None:
        if not piece.deaths:
            self._tell(f"a worker died; {piece.work} is given out again")
        self._died = True
        piece.deaths += deaths
        piece.deaths_alone += deaths if alone else 0
        if piece.deaths_alone >= MOST_DEATHS:
            message = f"{piece.work} kills the workers that it is given to, one after another"
            raise WorkError(
                f"{message}: {piece.deaths} died. Their memory may be too small for it, or a library crashes. "
                f"{self._after}",
                1,
            )
