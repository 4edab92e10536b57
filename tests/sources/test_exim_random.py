"""Made-up stores, written as mlflow-export-import writes them, are read back as they were."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from mlflow_archive.sources.exim import EximSource
from tests.sources.test_mlruns_random import actual, expected
from tests.support.exim import write_exim
from tests.support.mlruns import Store, stores
from tests.support.reading import read_source

Rows = dict[str, list[tuple[Any, ...]]]


def shown(rows: Rows) -> Rows:
    """Leave out when a run was deleted, which no API shows; each run of a dataset brings it."""
    return {**rows, "runs": sorted(row[:-1] for row in rows["runs"]), "datasets": sorted(set(rows["datasets"]))}


@pytest.mark.parametrize("runs_folder", ["runs", ""])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(store=stores())
def test_what_was_written_is_read(runs_folder: str, store: Store) -> None:
    """Every experiment, run, param, tag, point, dataset input and artifact byte comes back, in both layouts."""
    with tempfile.TemporaryDirectory() as folder:
        root = write_exim(store, Path(folder, "exported"), runs_folder=runs_folder)
        whole, cut = (read_source(EximSource(root, points_per_chunk=limit)) for limit in (200_000, 2))
        assert shown(actual(whole)) == shown(expected(store))
        assert shown(actual(cut)) == shown(actual(whole))
        prints = [sorted(map(repr, found.rows("fingerprints"))) for found in (whole, cut)]
        assert prints[0] == prints[1]
