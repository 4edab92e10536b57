#!/usr/bin/env bash
# Parquet statistics leave NaN out, as the format asks; engines then skip row groups in which only NaN matches.
#
# Seen with pyarrow 25.0.1 (writer and dataset), DuckDB 2.0.1 and DataFusion 55.0.0, on a file with 0.0, 1.0 and NaN:
#   DuckDB      isnan(value)         0 rows, 1 from memory;   value > 1   0 rows, 1 from memory
#   DataFusion  value > 1            0 rows, 1 from memory
#   PyArrow     ~(value <= 1)        0 rows, 1 from memory
# Without statistics of the column all of them give 1 row. Expected: the same rows from a file as from memory.
# What follows for a writer: no statistics for columns of type double.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyarrow==25.0.1 duckdb==2.0.1 datafusion==55.0.0
cat > show.py <<'P'
import datafusion
import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

rows = pa.table({"value": [0.0, 1.0, float("nan")]})
pq.write_table(rows, "with.parquet")
pq.write_table(rows, "without.parquet", write_statistics=False)


def counts(path):
    in_duckdb = {q: duckdb.sql(f"select count(*) from '{path}' where {q}").fetchall()[0][0] for q in ("isnan(value)", "value > 1")}
    context = datafusion.SessionContext()
    context.register_parquet("rows", path)
    in_datafusion = context.sql("select value from rows where value > 1.0").to_pydict()["value"]
    in_pyarrow = ds.dataset(path).to_table(filter=~(ds.field("value") <= 1.0)).num_rows
    return {**{f"DuckDB {q}": n for q, n in in_duckdb.items()}, "DataFusion value > 1": len(in_datafusion), "PyArrow ~(value <= 1)": in_pyarrow}


seen = {path: counts(path) for path in ("with.parquet", "without.parquet")}
for path, found in seen.items():
    print(path, found)
assert set(seen["with.parquet"].values()) == {0}, "no engine skips NaN any more"
assert set(seen["without.parquet"].values()) == {1}
P
venv/bin/python show.py
echo "as seen before"
