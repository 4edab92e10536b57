"""``mlflow-archive sql``: a query over all tables of an archive."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq

from mlflow_archive.library.sql import SqlSession
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.rows import plain_rows
from mlflow_archive_cli.output import output
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
    with open_archive(archive) as opened, SqlSession(opened) as session:
        found = session.query(sys.stdin.read() if query == "-" else query)
    if parquet is not None:
        pq.write_table(found, parquet)
        return
    numbers = [
        field.name for field in found.schema if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
    ]
    if found.num_columns:
        out.rows(found.column_names, plain_rows(_in_milliseconds(found)), right=numbers)


def _in_milliseconds(rows: pa.Table) -> pa.Table:
    """Return rows with all times in the unit of the archive; DuckDB computes with microseconds."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            values = rows[field.name].cast(pa.timestamp("ms", field.type.tz), safe=False)
            rows = rows.set_column(index, field.name, values)
    return rows
