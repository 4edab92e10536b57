"""Answers of queries as files, by the ending of their name: Parquet, or tables of a DuckDB or SQLite database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Final

import click
import pyarrow as pa
import pyarrow.parquet as pq

from mlflow_archive.reader.inspection.rows import in_milliseconds, plain_rows
from mlflow_archive_cli.output import flat, plain, whole_file

_TABLE: Final = "answer"


def write_answers(path: Path, answers: Sequence[pa.Table]) -> None:
    """Write answers to a file; of a database each is a table: ``answer``, ``answer_2``, …. Raises UsageError."""
    write = WRITERS[path.suffix.lower()]
    with whole_file(path) as part:
        write(part, answers)


def check_ending(path: Path) -> None:
    """Raise UsageError for a name whose ending says no kind of file."""
    if path.suffix.lower() not in WRITERS:
        raise click.UsageError(f"{path} is no file that can be written; give a name that ends in {', '.join(WRITERS)}")


def _names(answers: Sequence[pa.Table]) -> list[str]:
    return [_TABLE if number == 1 else f"{_TABLE}_{number}" for number in range(1, len(answers) + 1)]


def _parquet(path: Path, answers: Sequence[pa.Table]) -> None:
    if len(answers) != 1:
        raise click.UsageError(f"there are {len(answers)} answers, and a Parquet file holds one; give a .duckdb")
    pq.write_table(answers[0], path)


def _duckdb(path: Path, answers: Sequence[pa.Table]) -> None:
    import duckdb  # noqa: PLC0415 - optional; a query was answered with it

    with duckdb.connect(path) as connection:
        for name, answer in zip(_names(answers), answers, strict=True):
            connection.from_arrow(answer).create(name)


def _sqlite(path: Path, answers: Sequence[pa.Table]) -> None:
    """Write tables whose values are as ``--json`` gives them: SQLite has no times, and makes NaN NULL."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for name, answer in zip(_names(answers), answers, strict=True):
            columns = ", ".join(_quoted(column) for column in answer.column_names)
            connection.execute(f"CREATE TABLE {name} ({columns})")
            marks = ", ".join("?" * answer.num_columns)
            for batch in in_milliseconds(answer).to_batches(max_chunksize=10_000):
                rows = plain_rows(pa.Table.from_batches([batch]))
                values = [[plain(flat(value)) for value in row.values()] for row in rows]
                connection.executemany(f"INSERT INTO {name} VALUES ({marks})", values)  # noqa: S608 - names of ours


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


WRITERS: Final[Mapping[str, Callable[[Path, Sequence[pa.Table]], None]]] = MappingProxyType(
    {".parquet": _parquet, ".duckdb": _duckdb, ".sqlite": _sqlite, ".db": _sqlite}
)
"""By ending, what writes such a file."""
