"""Leave out of an append what is already in the archive although it has no fingerprint.

An entity with gaps is read again by every append, as what was missing may have come back. Where it has not, the
rows are those that the archive holds, and writing them once more would only make it grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import BY_ROW, TABLES, Table
from mlflow_archive.reader.archive import Archive
from mlflow_archive.writer.coded import sort_rows


def without_unchanged(
    tables: Mapping[str, pa.Table], entities: Iterable[tuple[str, str]], base: Archive
) -> dict[str, pa.Table]:
    """Return the tables of a chunk without those (kind, id) entities whose rows ``base`` holds just so.

    The tables must hold all rows of these entities.
    """
    remaining = dict(tables)
    for kind, entity_id in entities:
        owned = [table for table in TABLES.values() if table.entity in (kind, BY_ROW) and table.name != "fingerprints"]
        if all(_same(remaining.get(table.name), table, kind, entity_id, base) for table in owned):
            for table in owned:
                if table.name in remaining:
                    remaining[table.name] = remaining[table.name].filter(
                        pc.invert(_owned(remaining[table.name], table, kind, entity_id))
                    )
    return remaining


def _owned(rows: pa.Table, table: Table, kind: str, entity_id: str) -> pa.ChunkedArray:
    mask = pc.equal(rows[table.owner[0]], entity_id)
    return pc.and_(mask, pc.equal(rows["owner_kind"], kind)) if table.entity == BY_ROW else mask


def _same(rows: pa.Table | None, table: Table, kind: str, entity_id: str, base: Archive) -> bool:
    new = table.schema.empty_table() if rows is None else rows.filter(_owned(rows, table, kind, entity_id))
    old = base.table(table.name, owners=[entity_id])
    old = old.filter(_owned(old, table, kind, entity_id))
    return new.num_rows == old.num_rows and _content(new, table) == _content(old, table)


def _content(rows: pa.Table, table: Table) -> str:
    """Return sorted rows as text: NaN is not equal to itself. Times are numbers, as Python ends at the year 9999."""
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in sort_rows(rows, table).columns
    ]
    return repr([column.to_pylist() for column in columns])
