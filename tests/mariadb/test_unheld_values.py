"""Values that MariaDB cannot hold, by import and by restore."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.sinks.restore import RestoreRefusedError
from mlflow_archive.writer.export import ArchiveSink
from tests.mariadb.conftest import MariaServer
from tests.sinks import test_unheld_values as elsewhere
from tests.sinks.test_restore_pieces import run_sql
from tests.support.chunks import ChunkSource, chunk, experiment
from tests.support.restoring import restore


def test_all_of_it_arrives(mariadb: MariaServer, tmp_path: Path) -> None:
    elsewhere.test_all_of_it_arrives_and_a_second_import_changes_nothing(mariadb.new_database(), tmp_path)


def test_the_receipt_has_what_it_was(mariadb: MariaServer, tmp_path: Path) -> None:
    elsewhere.test_the_receipt_has_what_it_was(mariadb.new_database(), tmp_path)


LONG: Final = "ü" * 50_000
"""MariaDB counts bytes, of which a column TEXT holds 65,535."""
TRACE: Final = "tr-" + "1" * 32


def long_texts(value: str) -> ChunkSource:
    """Return a trace and a logged model with texts that are too long; ``value`` is that of an assessment."""
    at = {"experiment_id": "7"}
    judged: dict[str, Any] = {"trace_id": TRACE, "assessment_id": "a-1", "name": "a", "assessment_type": "feedback"}
    judged |= {"value": value, "source_type": "HUMAN", "rationale": LONG, "valid": True}
    judged |= {"created_timestamp": 1, "last_updated_timestamp": 1}
    model: dict[str, Any] = {**at, "model_id": "m-1", "name": "m", "status": "READY", "lifecycle_stage": "active"}
    model |= {"artifact_location": "s3://bucket/m-1", "creation_timestamp": 1, "last_updated_timestamp": 1}
    param = {"model_id": "m-1", **at, "key": "p", "value": LONG}
    trace = {"trace_id": TRACE, **at, "request_time": 1, "state": "OK"}
    return ChunkSource(
        (0, [chunk(experiments=[experiment("7", "e")])]),
        (1, [chunk(logged_models=[model], logged_model_params=[param]), chunk(traces=[trace], assessments=[judged])]),
    )


def test_a_restore_cuts_texts_and_tells_of_json_that_no_column_holds(mariadb: MariaServer, tmp_path: Path) -> None:
    uri = mariadb.new_database()
    for name, content in (("fits", "1"), ("does not", json.dumps({"a": LONG}, ensure_ascii=False))):
        copy(long_texts(content), ArchiveSink(tmp_path / name, tool="t 1", clock_ms=lambda: 0))
    with pytest.raises(RestoreRefusedError) as caught:
        restore(tmp_path / "does not", uri)
    assert [(o.table, o.column, o.problem.partition(" (")[0]) for o in caught.value.obstacles] == [
        ("assessments", "value", "takes more than 65535 bytes")
    ]
    assert restore(tmp_path / "fits", uri).counts["shortened_texts"] == 2
    [(rationale,)] = run_sql(uri, "SELECT rationale FROM assessments")
    assert 65_000 < len(rationale.encode()) <= 65_535
    assert rationale.startswith("ü" * 30_000)
    assert run_sql(uri, "SELECT param_value FROM logged_model_params") == [(rationale,)]
