"""Texts that the target's columns cannot hold: made so that they can, with what they were in the report.

What names something else stays as it is, and is an obstacle: keys, and addresses, of which a part would be another one.
So does JSON in a column that is measured in bytes: MLflow could not read a part of it, nor the list that it stands in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.format.json_text import parse_json
from mlflow_archive.format.nul_characters import without_nul
from mlflow_archive.format.source_tags import shorten
from mlflow_archive.kinds import TABLES
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.sinks.restore.database import RestoreDatabase, TargetColumn
from mlflow_archive.sinks.restore.inverting import stored_columns

_ADDRESSES: Final = frozenset({"url"})
_CHECKED: Final = frozenset({"status", "source_type", "lifecycle_stage"})
"""Columns of which MLflow's schema or code knows all values."""


class HeldRows:
    """Fits rows of an archive to the columns of an open database. Usable by several threads."""

    def __init__(self, database: RestoreDatabase) -> None:
        self._database = database
        self._lock = Lock()
        self._rewritten: list[dict[str, Any]] = []
        self._counts: dict[str, int] = {}

    def fit(self, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        """Return the tables of a chunk with texts that the target can hold; SQLite holds any."""
        if self._database.dialect == "sqlite":
            return dict(tables)
        return {name: self._fitted(name, rows) if name in MAPS else rows for name, rows in tables.items()}

    def add_to(self, counts: dict[str, int], details: dict[str, Any]) -> None:
        """Add what was changed to a report."""
        counts.update(self._counts)
        details["rewritten"] = self._rewritten

    def _fitted(self, name: str, rows: pa.Table) -> pa.Table:
        if self._database.dialect == "postgresql":
            rows, changed = without_nul(name, rows)
            self._note("texts_with_nul", [text.to_json() for text in changed])
        for column, stored_as in self._limited(name):
            if column in rows.column_names:
                rows = self._shortened(name, rows, column, stored_as)
        return rows

    def _limited(self, name: str) -> Iterator[tuple[str, TargetColumn]]:
        """Yield the columns of a table whose texts may be cut, and the target's, which say how long they may be."""
        target = self._database.schema.get(MAPS[name].stored_in, {})
        locations = {column.name for column in TABLES[name].columns if column.location}
        kept_whole = {*TABLES[name].key, *locations, *_ADDRESSES, *_CHECKED}
        for stored, column in stored_columns(MAPS[name]).items():
            stored_as = target.get(stored)
            is_text = TABLES[name].schema.field(column).type == pa.string()
            if stored_as is not None and stored_as.kind == "text" and is_text and column not in kept_whole:
                yield column, stored_as

    def _shortened(self, name: str, rows: pa.Table, column: str, stored_as: TargetColumn) -> pa.Table:
        by_bytes = stored_as.length is None
        limit = stored_as.most_bytes if by_bytes else stored_as.length
        measure, cut = (pc.binary_length, _in_bytes) if by_bytes else (pc.utf8_length, shorten)
        if limit is None or not pc.any(pc.greater(measure(rows[column]), limit)).as_py():
            return rows
        texts = [None if text is None else cut(text, limit) for text in rows[column].to_pylist()]
        values = pa.array(texts, pa.string())
        long = pc.not_equal(rows[column], values)
        if not pc.any(long).as_py():
            return rows
        keys = [part for part in TABLES[name].key if part in rows.column_names and rows[part].type == pa.string()]
        self._note(
            "shortened_texts",
            [
                {"table": name, "key": {part: row[part] for part in keys}, "column": column, "original": row[column]}
                for row in rows.filter(long).select([*keys, column]).to_pylist()
            ],
        )
        return rows.set_column(rows.column_names.index(column), rows.schema.field(column), values)

    def _note(self, change: str, entries: list[dict[str, Any]]) -> None:
        if entries:
            with self._lock:
                self._counts[change] = self._counts.get(change, 0) + len(entries)
                self._rewritten += entries


def _in_bytes(text: str, limit: int) -> str:
    """Return a text, or what ``shorten`` makes of it where it takes more bytes than the limit and is no JSON."""
    size = len(text.encode())
    if size <= limit or _is_json(text):
        return text
    short, characters = text, len(text)
    while size > limit:
        characters = characters * limit // size
        short = shorten(text, characters)
        size = len(short.encode())
    return short


def _is_json(text: str) -> bool:
    try:
        parse_json(text)
    except ValueError:
        return False
    return True
