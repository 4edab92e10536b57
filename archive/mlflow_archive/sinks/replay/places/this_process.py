"""A name for this process that others on the same machine can check: whether it is still at work."""

from __future__ import annotations

import hashlib
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Final

_PROCESSES: Final = Path("/proc")
_ENDED: Final = ("Z", "X")
"""States of a process that has ended and was not collected yet."""


def process_name() -> str:
    """Return ``MACHINE PID START``: a digest that names the machine, the process id there, and when it started."""
    now = _state_of(os.getpid())
    return f"{_machine()} {os.getpid()} {'' if now is None else now[1]}"


def has_ended(name: str) -> bool:
    """Return whether the process of a name is surely gone; of one on another machine nothing is known here."""
    machine, _, rest = name.partition(" ")
    pid, _, start = rest.partition(" ")
    if machine != _machine() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    now = _state_of(int(pid))
    return now is not None and (now[0] in _ENDED or now[1] != start)


def _machine() -> str:
    """Return a digest of what processes share that see each other's ids: a machine since it started, or a container."""
    parts = [platform.node()]
    with suppress(OSError):  # only Linux has these
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"))
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _state_of(pid: int) -> tuple[str, str] | None:
    """Return the state of a process and when it started, in ticks; None where the system does not show that."""
    try:
        text = (_PROCESSES / str(pid) / "stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name of the program comes before, and may hold anything
    return fields[0], fields[19]
