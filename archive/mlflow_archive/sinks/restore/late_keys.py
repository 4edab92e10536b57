"""Primary keys of tables of a new SQLite file that are made when all rows are there, by sorting.

SQLite has no way to add a primary key: a table is made without it, gets a unique index of the same columns, and then
its text and the index's name in SQLite's own list become those of the key. Such an index is the same, byte for byte,
as the one that a key makes (SQLite's file format, "Representation of the sqlite_schema table"). Row by row the key of
5 million points took more time than all else of a restore: they come by run, and it begins with the metric's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mlflow_archive.mlflow_database.adbc import ArrowConnection

_KEY: Final = re.compile(r",\s*(?:CONSTRAINT\s+\w+\s+)?PRIMARY KEY\s*\(([^()]*)\)(?=\s*[,)])", re.IGNORECASE)
_PREFIX: Final = "mlflow_archive_key_of_"


@dataclass(slots=True, kw_only=True)
class _LateKey:
    """The table's own statement, the columns of the key as they stand in it, the name of the key's index."""

    statement: str
    columns: str
    index: str
    made: bool = False


class LateKeys:
    """Takes the keys off some tables of a file that nobody else knows yet. Methods raise ArrowError."""

    def __init__(self, connection: ArrowConnection) -> None:
        self._connection = connection
        self._keys: dict[str, _LateKey] = {}

    def take_off(self, table: str, listed: Sequence[tuple[str, str, str]]) -> None:
        """Make a table without rows anew without its key; leave it if it has another form, or more than a key.

        ``listed`` are type, name and text of what SQLite lists of it, of indexes those of keys alone.
        """
        if sorted(kind for kind, *_ in listed) != ["index", "table"]:
            return
        (_, index, _), (_, _, statement) = sorted(listed)
        matches = list(_KEY.finditer(statement))
        if len(matches) != 1:
            return
        self._connection.run(f'DROP TABLE "{table}"')
        self._connection.run(statement[: matches[0].start()] + statement[matches[0].end() :])
        self._keys[table] = _LateKey(statement=statement, columns=matches[0][1], index=index)

    def make(self, table: str) -> None:
        """Make the key of a table, if that is not done yet: from then on it refuses what is there already."""
        key = self._keys.get(table)
        if key is not None and not key.made:
            self._connection.run(f'CREATE UNIQUE INDEX "{_PREFIX}{table}" ON "{table}" ({key.columns})')
            key.made = True

    def settle(self) -> None:
        """Make the keys that are missing, and list all as the keys that they are; the file is to be opened anew."""
        for table in self._keys:
            self.make(table)
        list(self._connection.batches("PRAGMA writable_schema = ON"))
        for table, key in self._keys.items():
            names = (key.index, f"{_PREFIX}{table}")
            self._connection.run(
                "UPDATE sqlite_master SET name = ?, sql = NULL WHERE type = 'index' AND name = ?", names
            )
            self._connection.run("UPDATE sqlite_master SET sql = ? WHERE name = ?", (key.statement, table))
