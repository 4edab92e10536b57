"""One process at a time with a receipt: two that delete by one list would each overwrite what the other notes in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow_archive.errors import TargetError


@contextmanager
def turn_with(receipt: Path | None) -> Iterator[None]:
    """Hold a lock on the file ``NAME.lock`` beside a receipt, which is removed at the end; None needs none.

    Beside it, as the receipt itself is another file after each save. Raises TargetError while another process holds
    it, or where it cannot be made. A kill ends the lock. Where a file system has no locks, nobody is kept out.
    """
    if receipt is None:
        yield
        return
    place = receipt.absolute().with_name(f"{receipt.name}.lock")
    try:
        descriptor = _locked(place)
    except BlockingIOError as error:
        raise TargetError(f"{receipt}: another process is at work with this receipt; wait until it is done") from error
    except OSError as error:
        raise TargetError(f"{place} cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        place.unlink(missing_ok=True)  # before the lock ends, so that it is never that of the next process
        os.close(descriptor)


def _locked(place: Path) -> int:
    """Return the descriptor of a file that is locked. Raises OSError."""
    while True:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:
            return descriptor
        try:
            if os.path.samestat(os.fstat(descriptor), place.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)  # whoever had it before has removed it meanwhile
