"""``mlflow-archive sql``: a query over all tables of an archive."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

import click
import pyarrow as pa

from mlflow_archive.api.sql import SqlSession
from mlflow_archive.format.earlier import At
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.reader.inspection.rows import in_milliseconds, plain_rows
from mlflow_archive_cli.answers import check_ending, write_answers
from mlflow_archive_cli.opening import at_option, base_option, opened_archive
from mlflow_archive_cli.output import Output, output
from mlflow_archive_cli.parameters import ARCHIVE, output_file
from mlflow_archive_cli.selecting import csv_option, json_option


@click.command("sql")
@click.argument("archive", type=ARCHIVE)
@click.argument("query")
@base_option
@at_option
@json_option
@csv_option
@click.option(
    "--output",
    "--parquet",
    "target",
    type=output_file,
    metavar="FILE",
    help="Write the answer to this file: x.parquet, or the table answer of x.duckdb or x.sqlite.",
)
def command(
    archive: ArchivePlace,
    base: ArchivePlace | None,
    at: At | None,
    query: str,
    as_json: bool,
    as_csv: bool,
    target: Path | None,
) -> None:
    """Answer a SQL QUERY over ARCHIVE, or several with ; between them; - reads it from stdin.

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
    if target is not None:
        check_ending(target)
    with opened_archive(archive, base, at) as opened, SqlSession(opened) as session:
        answers = [_with_plain_types(answer) for answer in session.answers(statement)]
    if target is not None:
        write_answers(target, answers)
        return
    for number, answer in enumerate(answers):
        if number and not as_json:
            click.echo()
        _print(out, answer)


def _print(out: Output, answer: pa.Table) -> None:
    numbers = [
        field.name
        for field in answer.schema
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type) or pa.types.is_decimal(field.type)
    ]
    rows = plain_rows(in_milliseconds(answer))
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
