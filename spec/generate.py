"""The two pages of the specification that are made from code: tables.md and mlflow.md.

``make spec`` writes them; tests compare them with what the code says. What stands in a page above its first section is
written by hand and kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from mlflow_archive.kinds import BY_ROW, TABLES, Column, Table
from mlflow_archive.mlflow_database.mapping import DERIVED, LEFT_OUT, MAPS, TableMap

if TYPE_CHECKING:
    from sqlalchemy import Engine

SPEC = Path(__file__).resolve().parent
LATER = SPEC / "mlflow-3.18.sql"
"""What a later MLflow than the installed one adds."""


def pages() -> dict[Path, str]:
    """Return the generated pages as Markdown."""
    sections_of = {"tables.md": _tables(), "mlflow.md": _mlflow()}
    return {SPEC / name: "\n".join([_head(SPEC / name), *sections]) for name, sections in sections_of.items()}


def _head(page: Path) -> str:
    """Return what is written by hand."""
    return page.read_text("utf-8").partition("\n## ")[0]


def _tables() -> list[str]:
    return [_described(table) for table in TABLES.values()]


def _described(table: Table) -> str:
    entity = {None: "none", BY_ROW: "`*` (the kind in `owner_kind`)"}.get(table.entity, f"`{table.entity}`")
    unique = "" if table.unique else " (not unique)"
    key = f"{_quoted(table.key)}{unique}"
    lines = [
        f"## `{table.name}`\n",
        f"{table.description}\n",
        f"Entity: {entity} · Owner: {_quoted(table.owner)} · Key: {key} · Sort: {_quoted(table.sort)}\n",
        "| column | type | null | unit | MLflow origin | meaning |",
        "|---|---|---|---|---|---|",
        *(_column(column) for column in table.columns),
    ]
    return "\n".join(lines) + "\n"


def _column(column: Column) -> str:
    null = "yes" if column.nullable else "no"
    kind = str(column.type).replace("tz=", "")
    return f"| `{column.name}` | {kind} | {null} | {_unit(column)} | {column.origin} | {column.description} |"


def _unit(column: Column) -> str:
    if pa.types.is_timestamp(column.type):
        return "ms since the epoch, UTC"
    if not pa.types.is_integer(column.type):
        return ""
    units = {"_ms": "ms", "_unix_nano": "ns since the epoch", "size": "bytes", "offset": "bytes"}
    return next((unit for part, unit in units.items() if part in column.name), "")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _mlflow() -> list[str]:
    by_table: dict[str, list[TableMap]] = {}
    for table_map in MAPS.values():
        by_table.setdefault(table_map.stored_in, []).append(table_map)
    sections = []
    for name, columns in sorted(head_columns().items()):
        if name in DERIVED:
            text = f"Not carried, as it follows from other tables: {DERIVED[name]}\n"
        elif name in LEFT_OUT:
            text = f"Not carried: {LEFT_OUT[name]}\n"
        else:
            text = _mapped(by_table[name], columns)
        sections.append(f"## {name}\n\n{text}")
    return sections


def _mapped(maps: list[TableMap], columns: list[str]) -> str:
    lines = [f"{_which(rows)}\n" for rows in maps if rows.where]
    lines += ["| MLflow's column | in the archive |", "|---|---|"]
    lines += [f"| `{column}` | {_place(maps, column)} |" for column in columns]
    return "\n".join(lines) + "\n"


def _which(rows: TableMap) -> str:
    where = " and ".join(f"`{column}` = `{value}`" for column, value in rows.where.items())
    return f"Rows with {where} are the table `{rows.table}`."


def _place(maps: list[TableMap], column: str) -> str:
    places, reasons = [], []
    for rows in maps:
        places += [f"`{rows.table}.{name}`" for name, place in rows.fields.items() if place == column]
        if column in rows.where:
            reasons.append(f"tells which rows are `{rows.table}`")
        if column == rows.nan_flag:
            places.append(f"`{rows.table}.value` is NaN")
        if column in rows.not_carried:
            reasons.append(rows.not_carried[column])
        joined = [join.table for join in rows.joins if column in join.on.values()]
        reasons += [f"leads to `{table}`, whose columns `{rows.table}` has instead" for table in joined]
        if column in rows.blanked:
            reasons.append("never carried: a secret; a restore leaves it blank")
    return ", ".join(dict.fromkeys(places)) or "; ".join(dict.fromkeys(reasons)) or _constant(maps, column)


def _constant(maps: list[TableMap], column: str) -> str:
    for rows in maps:
        if column in rows.defaults:
            return f"always {rows.defaults[column]!r} here"
    return "not carried"


def head_columns() -> dict[str, list[str]]:
    """Return table to columns of MLflow's newest schema: as the migrations of the installed one and LATER make it."""
    import sqlalchemy  # noqa: PLC0415
    from mlflow.store.db.utils import _initialize_tables  # noqa: PLC0415 - takes seconds

    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
    _initialize_tables(engine)
    add_later(engine)
    inspector = sqlalchemy.inspect(engine)
    columns = {name: [column["name"] for column in inspector.get_columns(name)] for name in inspector.get_table_names()}
    engine.dispose()
    return columns


def add_later(engine: Engine) -> None:
    """Bring a database with the tables of the installed MLflow to the newest schema, where that is a later one."""
    import sqlalchemy  # noqa: PLC0415

    with engine.begin() as connection:
        if not sqlalchemy.inspect(connection).has_table("skills"):
            for statement in LATER.read_text("utf-8").split(";\n"):
                if statement.strip():
                    connection.exec_driver_sql(statement)


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
