"""Pools of workers behind one interface, that of ``concurrent.futures``."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import Any, Final, Protocol

from mlflow_archive.errors import MlflowArchiveError, SelectionError
from mlflow_archive.optional import needing, start_arrow_alone

_DEATHS_OF_ONE_TASK: Final = 4
"""After so many workers that died with a task Dask gives it up: its ``allowed-failures`` of 3, and one more."""


class Pool(Protocol):
    """Workers that do what they are given; used by one thread.

    ``size`` is how many there are. ``sends`` says whether work goes to other processes: then function and work are
    pickled, and so is what comes back. ``elsewhere`` says whether these may be on other machines.
    """

    size: int
    sends: bool
    elsewhere: bool

    def submit(self, function: Callable[[Any], Any], work: object) -> Future[Any]:
        """Have a worker call a function; equal calls are calls of their own."""

    def everywhere(self, function: Callable[[Any], str], work: object) -> list[str]:
        """Return what each worker says that may be on another machine."""

    def deaths(self, error: BaseException) -> int:
        """Return how many workers died, as this outcome of a piece of work tells; 0 for an error of the work."""

    def renew(self) -> bool:
        """Go on after a death; say whether it ended all that was under way."""

    def close(self) -> None:
        """Let go of the workers. What runs may go on for a while."""


class ThreadPool:
    """Threads of this process."""

    sends = False
    elsewhere = False

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=name)

    def submit(self, function: Callable[[Any], Any], work: object) -> Future[Any]:
        return self._executor.submit(function, work)

    def everywhere(self, function: Callable[[Any], str], work: object) -> list[str]:
        return []

    def deaths(self, error: BaseException) -> int:
        return 0

    def renew(self) -> bool:
        return False

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)


class ProcessPool:
    """Processes of this machine, each a new interpreter: threads of drivers and of clients do not survive a fork.

    Where one of them dies the whole pool ends, with all that was under way, and a new one takes its place.
    """

    sends = True
    elsewhere = False

    def __init__(self, size: int) -> None:
        self.size = size
        self._executor: Executor = self._new()

    def _new(self) -> Executor:
        from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415 - seldom, and slow to import
        from multiprocessing import get_context  # noqa: PLC0415

        return ProcessPoolExecutor(self.size, mp_context=get_context("spawn"), initializer=start_arrow_alone)

    def submit(self, function: Callable[[Any], Any], work: object) -> Future[Any]:
        try:
            return self._executor.submit(function, work)
        except BrokenExecutor as error:  # it died of what was given before; nobody has begun with this
            ended: Future[Any] = Future()
            ended.set_exception(error)
            return ended

    def everywhere(self, function: Callable[[Any], str], work: object) -> list[str]:
        return []

    def deaths(self, error: BaseException) -> int:
        return int(isinstance(error, BrokenExecutor))

    def renew(self) -> bool:
        self._executor.shutdown(cancel_futures=True)
        self._executor = self._new()
        return True

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)


class DaskPool:
    """The workers of a Dask cluster. It gives out again by itself what a dead worker had, to four of them."""

    sends = True
    elsewhere = True

    def __init__(self, address: str, wait_seconds: int = 30) -> None:
        with needing("dask", "working on a Dask cluster"):
            from distributed import Client  # noqa: PLC0415
        try:
            self._client = Client(address, set_as_default=False, timeout=wait_seconds)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise MlflowArchiveError(f"no Dask scheduler answers at {address}: {error}") from error
        self.size = max(1, sum(self._client.nthreads().values()))  # type: ignore[no-untyped-call]
        # Equal calls run once else; what an error means is said by who gives out the work, so Dask does not retry.
        self._executor: Executor = self._client.get_executor(pure=False, retries=0)  # type: ignore[no-untyped-call]

    def submit(self, function: Callable[[Any], Any], work: object) -> Future[Any]:
        return self._executor.submit(function, work)

    def everywhere(self, function: Callable[[Any], str], work: object) -> list[str]:
        from distributed.comm.core import CommClosedError  # noqa: PLC0415

        answers = self._client.run(function, work, on_error="return")
        return [str(answer) for answer in answers.values() if not isinstance(answer, CommClosedError)]  # it died

    def deaths(self, error: BaseException) -> int:
        from distributed import KilledWorker  # noqa: PLC0415

        return _DEATHS_OF_ONE_TASK if isinstance(error, KilledWorker) else 0

    def renew(self) -> bool:
        return False

    def close(self) -> None:
        self._executor.shutdown(wait=False)  # which cancels what has not begun
        self._client.close()  # type: ignore[no-untyped-call]


def first_refusal(pool: Pool, attempt: Callable[[Any], str], work: object) -> str | None:
    """Return why a worker that may be on another machine cannot do its work, None where all can.

    ``attempt`` is done by each, and says why it cannot, or nothing.
    """
    return min(filter(None, pool.everywhere(attempt, work)), default=None)


def wants_workers(processes: int, dask: str | None) -> bool:
    """Return whether work is to be given to others. Raises SelectionError where both kinds are wanted."""
    if processes and dask is not None:
        raise SelectionError("--processes is for this machine, --dask for a cluster: give one")
    return bool(processes) or dask is not None


def pool_of(processes: int, dask: str | None) -> Pool:
    """Return so many processes, or the workers of the Dask cluster whose scheduler has that address."""
    return ProcessPool(processes) if dask is None else DaskPool(dask)
