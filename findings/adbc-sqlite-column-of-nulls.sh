#!/usr/bin/env bash
# ADBC's SQLite driver takes the type of a column from its first 1,024 values, and a declared type does not count:
# a column declared REAL that begins with 1,024 NULLs is taken for integers, and the first real ends the query.
#
# Seen with adbc-driver-sqlite 1.13.0: OSError "[SQLite] Type mismatch in column 0: expected INT64 but got DOUBLE"; with 1,023
# NULLs before it the same value is read. Expected: the declared type, or null until a value says more.
# What follows for a reader of databases of others: rows of SQLite are fetched by another way.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check adbc-driver-sqlite==1.13.0 adbc-driver-manager==1.13.0 pyarrow==25.0.1
cat > show.py <<'P'
import sqlite3

import adbc_driver_sqlite.dbapi


def last_value(nulls):
    name = f"{nulls}.db"
    database = sqlite3.connect(name)
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value REAL)")
    database.executemany("INSERT INTO t VALUES (?, ?)", [(i, None) for i in range(nulls)] + [(nulls, 0.5)])
    database.commit()
    with adbc_driver_sqlite.dbapi.connect(name) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT value FROM t ORDER BY id")
        try:
            return cursor.fetch_arrow_table()["value"].to_pylist()[-1]
        except OSError as error:
            return str(error)


seen = {nulls: last_value(nulls) for nulls in (1023, 1024)}
print(seen)
assert seen[1023] == 0.5
assert "expected INT64 but got DOUBLE" in str(seen[1024])
P
venv/bin/python show.py
echo "as seen before"
