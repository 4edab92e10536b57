"""The packs of an export that are in the bucket before its commit: whole, and too young to be taken for left behind.

Whoever commits removes what no manifest names once it is a day old (spec/format.md, section 14). An export may take
longer, so what it has put is put anew before that, by copies that the store makes itself.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from threading import Lock
from typing import Final

from mlflow_archive.storage.remote.store import RemoteStore
from mlflow_archive.writer.packs import WrittenPack

LONGEST: Final = timedelta(hours=20)
"""How long a part or pack may have been there before its commit, so that nobody takes it for left behind."""

_RENEWED: Final = timedelta(hours=10)


class PacksThere:
    """The packs that this export has put, or found there, and when; safe to use from several threads."""

    def __init__(self, store: RemoteStore) -> None:
        self._store = store
        self._put_at: dict[str, float] = {}
        self._lock = Lock()

    def hold(self, packs: Sequence[WrittenPack]) -> bool:
        """Return whether packs of an interrupted export are there, young, and with the SHA-256 of what was put.

        Raises RemotePlaceError.
        """
        entries = {entry.name: entry for entry in self._store.entries("packs")} if packs else {}
        oldest = time.time() - LONGEST.total_seconds()
        for pack in packs:
            entry = entries.get(pack.name)
            if entry is None or entry.size != pack.size or entry.modified.timestamp() < oldest:
                return False
        if not all(self._sha256(pack) == pack.sha256 for pack in packs):
            return False
        self._put_at |= {pack.name: entries[pack.name].modified.timestamp() for pack in packs}
        return True

    def _sha256(self, pack: WrittenPack) -> str:
        digest = hashlib.sha256()
        for block in self._store.stream(pack.name, 0, pack.size).blocks:
            digest.update(block)
        return digest.hexdigest()

    def note(self, names: Iterable[str]) -> None:
        """Note packs that were just put, and renew what is old."""
        with self._lock:
            self._put_at |= dict.fromkeys(names, time.time())
        self.renew()

    def renew(self) -> None:
        """Put anew what has been there for long, and not too long: nobody reads it yet."""
        with self._lock:
            now = time.time()
            ages = {name: timedelta(seconds=now - at) for name, at in self._put_at.items()}
            for name in [name for name, age in ages.items() if _RENEWED <= age <= LONGEST]:
                copied = f"{name}.again"
                self._store.copy(name, copied)
                self._store.copy(copied, name)
                self._store.delete([copied])
                self._put_at[name] = time.time()
