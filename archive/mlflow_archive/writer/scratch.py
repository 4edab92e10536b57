"""What the writer must remember and may forget: which blobs are stored, which entities are known.

Kept in a temporary SQLite file, so that memory does not grow with the archive. Nothing depends on it after a crash;
it is rebuilt from packs and fingerprints. The file has no name, so that a kill leaves nothing behind.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from mlflow_archive.errors import TargetError
from mlflow_archive.format.fingerprint import Fingerprint
from mlflow_archive.format.index import entity_key
from mlflow_archive.storage.private_folder import PREFIX, making_folder


class Scratch:
    """Sets of digests and a map of fingerprints; safe to use from several threads."""

    def __init__(self) -> None:
        with making_folder(), tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
            self._database = sqlite3.connect(Path(folder, "scratch.db"), check_same_thread=False)
        self._lock = Lock()
        self._closed = False
        self._known_kinds: set[str] = set()
        self._database.executescript(
            """
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;
            CREATE TABLE blobs (digest BLOB PRIMARY KEY) WITHOUT ROWID;
            CREATE TABLE places (digest TEXT PRIMARY KEY, parcel TEXT) WITHOUT ROWID;
            CREATE TABLE used (digest TEXT PRIMARY KEY) WITHOUT ROWID;
            CREATE TABLE known (kind TEXT, id TEXT, fingerprint TEXT, contents TEXT, segment INTEGER,
                PRIMARY KEY (kind, id)) WITHOUT ROWID;
            """
        )

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Hold the lock; a database that cannot go on is a full temporary folder, and says so."""
        with self._lock:
            try:
                yield
            except sqlite3.OperationalError as error:
                message = (
                    f"the temporary folder {tempfile.gettempdir()} cannot be written ({error}). Free some space "
                    "there, or set TMPDIR to another folder, and run the same command again; it continues"
                )
                raise TargetError(message) from error

    def add_blobs(self, digests: Iterable[bytes]) -> None:
        """Remember blobs that are stored in packs."""
        with self._using():
            self._database.executemany("INSERT OR IGNORE INTO blobs VALUES (?)", ((digest,) for digest in digests))

    def has_blob(self, digest: bytes) -> bool:
        """Return whether a blob is stored in a pack, of this export or an earlier one."""
        with self._using():
            row = self._database.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone()
        return row is not None

    def add_used(self, digests: Iterable[str]) -> None:
        """Remember digests (hex) that a row of ``artifacts`` names."""
        with self._using():
            self._database.executemany("INSERT OR IGNORE INTO used VALUES (?)", ((digest,) for digest in digests))

    def add_places(self, rows: Iterable[tuple[str, str]]) -> None:
        """Remember in which parcel of a worker a blob (hex) lies; of several the first counts."""
        with self._using():
            self._database.executemany("INSERT OR IGNORE INTO places VALUES (?, ?)", rows)

    def place_of(self, digest: str) -> str | None:
        """Return the parcel in which a blob (hex) lies, as far as that was said."""
        with self._using():
            row = self._database.execute("SELECT parcel FROM places WHERE digest = ?", (digest,)).fetchone()
        return row[0] if row else None

    def is_used(self, digest: str) -> bool:
        """Return whether a row of ``artifacts`` names a digest (hex)."""
        with self._using():
            return self._database.execute("SELECT 1 FROM used WHERE digest = ?", (digest,)).fetchone() is not None

    def used_and_not_stored(self) -> str | None:
        """Return a digest (hex) that a row of ``artifacts`` names, and whose blob is in no pack; None for none."""
        with self._using():
            query = "SELECT digest FROM used WHERE digest NOT IN (SELECT lower(hex(digest)) FROM blobs) LIMIT 1"
            row = self._database.execute(query).fetchone()
        return None if row is None else str(row[0])

    def add_known(self, rows: Iterable[tuple[str, str, Fingerprint]], *, segment: int = 0) -> None:
        """Remember (kind, id, fingerprint), staged in a segment (0: in the archive); later ones win.

        Those of an index have no kind, and what stands for the entity as id.
        """
        with self._using():
            statement = "INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?, ?)"
            self._database.executemany(statement, self._values(rows, segment))

    def _values(self, rows: Iterable[tuple[str, str, Fingerprint]], segment: int) -> Iterator[tuple[object, ...]]:
        for kind, owner_id, value in rows:
            self._known_kinds.add(kind)
            yield kind, owner_id, str(value), value.contents, segment

    def known(self, kind: str, entity_id: str) -> Fingerprint | None:
        """Return the fingerprint of an entity that is in the archive or staged."""
        row = self._known(kind, entity_id) if kind in self._known_kinds else None
        if row is None and "" in self._known_kinds:  # an index knows it by what stands for it
            row = self._known("", entity_key(kind, entity_id).hex())
        return Fingerprint(*row) if row else None

    def _known(self, kind: str, known_id: str) -> tuple[str, str | None] | None:
        with self._using():
            query = "SELECT fingerprint, contents FROM known WHERE kind = ? AND id = ?"
            row: tuple[str, str | None] | None = self._database.execute(query, (kind, known_id)).fetchone()
            return row

    def forget_staged(self, kind: str, entity_id: str) -> None:
        """Drop an entity that was staged by an interrupted export, if it was."""
        with self._using():
            query = "DELETE FROM known WHERE kind = ? AND id = ? AND segment > 0"
            self._database.execute(query, (kind, entity_id))

    def staged_ids(self, kind: str, segment: int) -> list[str]:
        """Return the ids of the entities whose rows in that staged segment still count, sorted."""
        with self._using():
            query = "SELECT id FROM known WHERE kind = ? AND segment = ? ORDER BY id"
            return [row[0] for row in self._database.execute(query, (kind, segment))]

    def close(self) -> None:
        """Remove everything; a second call does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._database.close()
