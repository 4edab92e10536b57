"""Texts with NUL characters, which some databases do not hold, PostgreSQL among them.

Where they go to such a database, each NUL becomes ``SYMBOL FOR NULL`` (U+2400), which looks as it is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import TABLES

NUL: Final = "\x00"
SHOWN: Final = "\u2400"


@dataclass(frozen=True, slots=True, kw_only=True)
class NulText:
    """A text that held NUL: its table, its column, and what it was.

    ``key`` is as much of the key of its row as is text, so that all points of a metric are one entry.
    """

    table: str
    key: Mapping[str, Any]
    column: str
    original: str

    def to_json(self) -> dict[str, Any]:
        """Return it as receipts list it."""
        return {"table": self.table, "key": dict(self.key), "column": self.column, "original": self.original}


def columns_with_nul(rows: pa.Table) -> list[str]:
    """Return the columns of which a text holds NUL."""
    texts = [field.name for field in rows.schema if field.type == pa.string()]
    return [name for name in texts if pc.any(pc.match_substring(rows[name], NUL)).as_py()]


def without_nul(table: str, rows: pa.Table) -> tuple[pa.Table, list[NulText]]:
    """Return rows of a table of the archive with each NUL made visible, and the texts that this changed."""
    changed: list[NulText] = []
    names = [name for name in TABLES[table].key if name in rows.column_names and rows[name].type == pa.string()]
    for column in columns_with_nul(rows):
        hit = rows.filter(pc.match_substring(rows[column], NUL))
        texts = dict.fromkeys(zip(*(hit[name].to_pylist() for name in (*names, column)), strict=True))
        changed += [
            NulText(table=table, key=dict(zip(names, key, strict=True)), column=column, original=original)
            for *key, original in texts
        ]
        values = pc.replace_substring(rows[column], NUL, SHOWN)
        rows = rows.set_column(rows.column_names.index(column), rows.schema.field(column), values)
    return rows, changed
