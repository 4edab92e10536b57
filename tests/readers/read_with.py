"""Print what a program reads in the tables of an archive; run by the interpreter of an environment that has it.

    python read_with.py polars FOLDER

As JSON: how many rows each table has, and all points of ``metrics`` as texts, values as their bits.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Rows = Iterable[dict[str, Any]]


def with_pyarrow(archive: Path, table: str) -> Rows:
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows: Rows = pq.read_table(archive / "tables" / table, page_checksum_verification=True).to_pylist()
    return rows


def with_pandas(archive: Path, table: str) -> Rows:
    import pandas as pd  # noqa: PLC0415

    place = f"zip://tables/{table}::{archive}" if archive.is_file() else archive / "tables" / table
    rows: Rows = pd.read_parquet(place, engine="pyarrow").to_dict("records")
    return rows


def with_fastparquet(archive: Path, table: str) -> Rows:
    import fastparquet  # noqa: PLC0415

    files = [str(path) for path in sorted((archive / "tables" / table).iterdir())]
    rows: Rows = fastparquet.ParquetFile(files).to_pandas().to_dict("records")
    return rows


def with_polars(archive: Path, table: str) -> Rows:
    import polars as pl  # noqa: PLC0415

    return pl.read_parquet(archive / "tables" / table / "*.parquet").to_dicts()


def with_duckdb(archive: Path, table: str) -> Rows:
    import duckdb  # noqa: PLC0415

    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    files = archive / "tables" / table / "*.parquet"
    rows: Rows = connection.read_parquet(str(files)).to_arrow_table().to_pylist()
    return rows


def with_datafusion(archive: Path, table: str) -> Rows:
    from datafusion import SessionContext  # noqa: PLC0415

    rows: Rows = SessionContext().read_parquet(str(archive / "tables" / table)).to_pylist()
    return rows


READERS: dict[str, Callable[[Path, str], Rows]] = {
    "pyarrow": with_pyarrow,
    "pandas": with_pandas,
    "fastparquet": with_fastparquet,
    "polars": with_polars,
    "duckdb": with_duckdb,
    "datafusion": with_datafusion,
}


def point(row: dict[str, Any]) -> str:
    """Return a row of ``metrics`` as a text; NaN is NaN, whatever its bits."""
    value = row["value"]
    bits = "nan" if math.isnan(value) else struct.pack(">d", value).hex()
    milliseconds = round(row["timestamp"].timestamp() * 1000)
    return f"{row['run_id']} {row['key']} {row['step']} {milliseconds} {bits}"


def main(reader: str, archive: Path, tables: list[str]) -> None:
    read = READERS[reader]
    counts = {table: len(list(read(archive, table))) for table in tables}
    json.dump({"counts": counts, "points": sorted(map(point, read(archive, "metrics")))}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
