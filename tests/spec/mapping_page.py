"""spec/mlflow.md: every table and column of MLflow's database, and where it is in an archive or why it is not.

``python -m tests.spec.mapping_page`` writes the page; a test compares it with the map that the code uses.
"""

from __future__ import annotations

from pathlib import Path

from mlflow_archive.mlflow_database.mapping import DERIVED, LEFT_OUT, MAPS, TableMap

PAGE = Path(__file__).resolve().parents[2] / "spec" / "mlflow.md"
_INTRODUCTION = """# MLflow's tables in an archive

Every table and column of the database of MLflow 3.17, and the table and column of an archive that holds it, or why none
does. The map is the one that exports read and restores write by. Columns that only some schema revisions have are null
where they are missing; what the REST API hides, [tables.md](tables.md) tells. The page is made from the code
(`python -m tests.spec.mapping_page`).
"""


def page() -> str:
    """Return the page as Markdown."""
    by_table: dict[str, list[TableMap]] = {}
    for each in MAPS.values():
        by_table.setdefault(each.stored_in, []).append(each)
    parts = [_INTRODUCTION]
    for name, columns in sorted(head_columns().items()):
        parts.append(f"## {name}\n")
        if name in DERIVED:
            parts.append(f"Not carried, as it follows from other tables: {DERIVED[name]}\n")
        elif name in LEFT_OUT:
            parts.append(f"Not carried: {LEFT_OUT[name]}\n")
        else:
            parts.append(_table(by_table[name], columns))
    return "\n".join(parts)


def _table(maps: list[TableMap], columns: list[str]) -> str:
    lines = [f"{_which(each)}\n" for each in maps if each.where]
    lines += ["| MLflow's column | in the archive |", "|---|---|"]
    lines += [f"| `{column}` | {_place(maps, column)} |" for column in columns]
    return "\n".join(lines) + "\n"


def _which(each: TableMap) -> str:
    where = " and ".join(f"`{column}` = `{value}`" for column, value in each.where.items())
    return f"Rows with {where} are the table `{each.table}`."


def _place(maps: list[TableMap], column: str) -> str:
    found, reasons = [], []
    for each in maps:
        found += [f"`{each.table}.{name}`" for name, place in each.fields.items() if place == column]
        if column in each.where:
            reasons.append(f"tells which rows are `{each.table}`")
        if column == each.nan_flag:
            found.append(f"`{each.table}.value` is NaN")
        if column in each.not_carried:
            reasons.append(each.not_carried[column])
        joined = [join.table for join in each.joins if column in join.on.values()]
        reasons += [f"leads to `{other}`, whose columns `{each.table}` has instead" for other in joined]
        if column in each.blanked:
            reasons.append("never carried: a secret; a restore leaves it blank")
    return ", ".join(dict.fromkeys(found)) or "; ".join(dict.fromkeys(reasons)) or _constant(maps, column)


def _constant(maps: list[TableMap], column: str) -> str:
    for each in maps:
        if column in each.defaults:
            return f"always {each.defaults[column]!r} here"
    return "not carried"


def head_columns() -> dict[str, list[str]]:
    """Return table to columns of the installed MLflow's schema, as its migrations make it."""
    import sqlalchemy  # noqa: PLC0415
    from mlflow.store.db.utils import _initialize_tables  # noqa: PLC0415 - takes seconds

    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
    _initialize_tables(engine)
    inspector = sqlalchemy.inspect(engine)
    found = {name: [each["name"] for each in inspector.get_columns(name)] for name in inspector.get_table_names()}
    engine.dispose()
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
