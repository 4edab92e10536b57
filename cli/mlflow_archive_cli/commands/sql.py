"""``mlflow-archive sql``: a query over all tables of an archive."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq

from mlflow_archive.api.sql import SqlSession
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.inspection.rows import plain_rows
from mlflow_archive_cli.output import output, whole_file
from mlflow_archive_cli.parameters import ARCHIVE, output_file
from mlflow_archive_cli.selecting import csv_option, json_option


@click.command("sql")
@click.argument("archive", type=ARCHIVE)
@click.argument("query")
@json_option
@csv_option
@click.option("--parquet", type=output_file, metavar="FILE", help="Write the answer to this Parquet file.")
def command(archive: Path, query: str, as_json: bool, as_csv: bool, parquet: Path | None) -> None:
    """Answer a SQL QUERY over ARCHIVE; - reads it from stdin.

    Every table is there under its name (spec/tables.md), and latest_metrics besides. The dialect is DuckDB's, and the
    command needs it: pip install 'mlflow-archive[sql]'. A query reaches nothing but the archive.

    \b
    Example:
      mlflow-archive sql backup.mlfa "select status, count(*) as runs from runs group by status"
    """
    out = output(as_json=as_json, as_csv=as_csv)
    statement = sys.stdin.read() if query == "-" else query
    if not statement.strip():
        raise click.UsageError("the query is empty")
    with open_archive(archive) as opened, SqlSession(opened) as session:
        answer = _with_plain_types(session.query(statement))
    if parquet is not None:
        with whole_file(parquet) as part:
            pq.write_table(answer, part)
        return
    numbers = [
        field.name
        for field in answer.schema
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type) or pa.types.is_decimal(field.type)
    ]
    if not answer.num_columns:
        return
    rows = plain_rows(_in_milliseconds(answer))
    maps = [field.name for field in answer.schema if pa.types.is_map(field.type)]
    for row in rows:
        row.update({name: dict(row[name]) for name in maps if row[name] is not None})
    out.rows(answer.column_names, rows, right=numbers)


def _with_plain_types(rows: pa.Table) -> pa.Table:
    """Return rows with a name for each column and intervals as text, which neither Parquet nor JSON has."""
    names: list[str] = []
    for name in rows.column_names:
        names.append(name if name not in names else next(n for i in count(1) if (n := f"{name}_{i}") not in names))
    rows = rows.rename_columns(names)
    for index, field in enumerate(rows.schema):
        if field.type == pa.month_day_nano_interval():
            values = [None if value is None else _interval(*value) for value in rows[field.name].to_pylist()]
            rows = rows.set_column(index, field.name, pa.array(values, pa.string()))
    return rows


def _interval(months: int, days: int, nanoseconds: int) -> str:
    """Return a span of time: ``1 months 3 days 02:00:01.500000``."""
    rest, micros = divmod(abs(nanoseconds) // 1000, 1_000_000)
    clock = f"{'-' if nanoseconds < 0 else ''}{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    parts = [f"{months} months"] * bool(months) + [f"{days} days"] * bool(days)
    return " ".join([*parts, clock + (f".{micros:06d}" if micros else "")])


def _in_milliseconds(rows: pa.Table) -> pa.Table:
    """Return rows with all times in the unit of the archive; DuckDB computes with microseconds."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            values = rows[field.name].cast(pa.timestamp("ms", field.type.tz), safe=False)
            rows = rows.set_column(index, field.name, values)
    return rows
