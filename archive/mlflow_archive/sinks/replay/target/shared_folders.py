"""Whether the artifact folder that a server names is one of this machine, also where nobody has made it yet.

A path alone says nothing: a server in a container, or behind a tunnel to this machine, names paths of its own.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final
from urllib.parse import quote, urlsplit

from mlflow_archive.errors import ServerError
from mlflow_archive.http.refusals import check_answered
from mlflow_archive.http.session import TrackingSession

_API: Final = "/api/2.0/mlflow/"
_RUNS: Final = 2
"""Above a run's folder of artifacts: the run, the experiment; then comes the folder of all experiments."""


class SharedFolders:
    """Tells whether this process and a server see one folder; used by several threads."""

    def __init__(self, session: TrackingSession) -> None:
        self._session = session
        self._lock = Lock()
        self._answers: dict[Path, bool] = {}

    def is_shared(self, root: Path) -> bool:
        """Return whether the server sees what is written to the folder of artifacts of one of its objects.

        Where the folder of all experiments is there, it is taken for the server's. Else a server of this machine is
        asked whether it sees a file that is put there for a moment.
        """
        home = root.parents[min(_depth(root), len(root.parents) - 1)]
        with self._lock:
            if any(folder.exists() for folder in (root, *root.parents[: _depth(root) + 1])):
                return True
            if home not in self._answers:
                self._answers[home] = _is_of_this_machine(self._session.uri) and self._sees(root)
            return self._answers[home]

    def _sees(self, root: Path) -> bool:
        owner, name = root.parent.name, f".{secrets.token_hex(8)}.seen"
        if root.parents[1].name == "traces":
            return True  # of these no server shows a list
        path = f"logged-models/{quote(owner)}/artifacts/directories" if _depth(root) > _RUNS else "artifacts/list"
        try:
            with _made(root, name):
                answer = self._session.get(_API + path, None if _depth(root) > _RUNS else {"run_id": owner})
        except ServerError as exc:
            check_answered(exc)
            return False
        except OSError:
            return False
        return any(entry.get("path") == name for entry in answer.get("files", []))


def _depth(root: Path) -> int:
    """Return how many folders lie between an object's folder of artifacts and that of all experiments."""
    return _RUNS + (len(root.parents) > 1 and root.parents[1].name in ("models", "traces"))


@contextmanager
def _made(root: Path, name: str) -> Iterator[None]:
    """Make a folder with those above it and an empty file in it, and take back what was made."""
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
        yield
    finally:
        (root / name).unlink(missing_ok=True)
        for folder in made:
            if folder.exists():
                folder.rmdir()


def _is_of_this_machine(uri: str) -> bool:
    """Return whether the host of a URI has an address of this machine: one can listen there."""
    host = urlsplit(uri).hostname or ""
    try:
        addresses = {(family, where[0]) for family, *_, where in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return any(_can_listen(family, str(address)) for family, address in addresses)


def _can_listen(family: socket.AddressFamily, address: str) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
