"""Look into an archive as Python users do; run by the interpreter of another environment."""

from __future__ import annotations

import sys

import duckdb
import fsspec
import pandas as pd

import mlflow_archive as ma

if __name__ == "__main__":
    path = sys.argv[1]
    with ma.open(path) as archive:
        runs = archive.runs.to_pandas()
        assert len(runs) == len(archive.search_runs(deleted=True)) > 0
        assert archive.sql("select count(*) as n from runs").to_pylist() == [{"n": len(runs)}]
        archive.attach(duckdb.connect())
        artifact = next(row for row in archive.artifacts.to_table().to_pylist() if row["size"])
    place = f"mlfa://{artifact['owner_kind']}/{artifact['owner_id']}/{artifact['path']}"
    with fsspec.open(place, archive=path) as file:
        assert len(file.read()) == artifact["size"]
    assert str(runs["start_time"].dtype) == "datetime64[ms, UTC]"
    assert isinstance(runs, pd.DataFrame)
