"""Tables that no version knows are scanned, too, and their columns of bytes are counted as not looked into."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

import mlflow_archive as ma
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.export import ArchiveSink
from tests.support.chunks import ChunkSource, chunk, experiment

KEY = "AKIA" + "A1B2C3D4" * 2


def test_a_find_in_a_table_that_is_not_known(tmp_path: Path) -> None:
    rows = pa.table({"name": ["x", KEY, None], "data": pa.array([b"x", None, b""], pa.binary()), "number": [1, 2, 3]})
    known = replace(chunk(experiments=[experiment("1", "churn")]), unknown_tables={"gizmos": rows})
    facts = SourceFacts(kind="database", uri="sqlite:///mlflow.db", mlflow_version="3.17.0")
    sink = ArchiveSink(tmp_path / "a", tool="t", clock_ms=lambda: 1)
    copy(ChunkSource((0, [known]), facts=facts), sink, Selection(unknown_tables=True))
    report = ma.scan(tmp_path / "a")
    assert [find.to_json() for find in report.finds] == [
        {
            "kind": "credential",
            "name": "AWS Access Key",
            "value": "AK… (20 characters)",
            "table": "unknown:gizmos",
            "column": "name",
        }
    ]
    assert (report.not_looked, report.looked) == ({"binary columns of unknown tables": 1}, {"values": 4 + 2})
    assert 'action = "pseudonym"' in report.rules()
