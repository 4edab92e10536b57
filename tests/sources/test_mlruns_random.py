"""Made-up file stores are read back as they were written."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings

from mlflow_archive.sources.mlruns import MlrunsSource
from tests.support.mlruns import RUN_NAME_TAG, Store, stores, write_store
from tests.support.reading import Read, bits, content, read_source


def expected(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Return what must be read, as sorted tuples."""
    runs = store.runs()
    return {
        "experiments": sorted(
            (e.experiment_id, e.name, "deleted" if e.deleted else "active") for e in store.experiments
        ),
        "experiment_tags": sorted((e.experiment_id, *tag) for e in store.experiments for tag in e.tags.items()),
        "runs": sorted(
            (
                run.run_id,
                experiment.experiment_id,
                run.name or run.tags.get(RUN_NAME_TAG) or "",
                run.user_id,
                run.status,
                run.start_time,
                -1 if run.end_time is None else run.end_time,
                "deleted" if run.deleted else "active",
                -1 if run.deleted_time is None else run.deleted_time,
            )
            for experiment, run in runs
        ),
        "params": sorted((run.run_id, *each) for _, run in runs for each in run.params.items()),
        "tags": sorted((run.run_id, *each) for _, run in runs for each in run.tags.items()),
        "metrics": sorted(
            (run.run_id, p.key, p.step, p.timestamp, bits(p.value), *(p.dataset or ("", "")))
            for _, run in runs
            for p in run.metrics
        ),
        "datasets": sorted(
            {
                (e.experiment_id, d.name, d.digest, d.source_type, d.source, d.schema or "", d.profile or "")
                for e, run in runs
                for d in (each.dataset for each in run.inputs)
            }
        ),
        "dataset_inputs": sorted((run.run_id, i.dataset.name, i.dataset.digest) for _, run in runs for i in run.inputs),
        "dataset_input_tags": sorted(
            (run.run_id, i.dataset.name, i.dataset.digest, *tag)
            for _, run in runs
            for i in run.inputs
            for tag in i.tags.items()
        ),
        "artifacts": sorted((run.run_id, *each) for _, run in runs for each in run.artifacts.items()),
        "gaps": [],
    }


def actual(found: Read) -> dict[str, list[tuple[Any, ...]]]:
    def columns(table: str, names: str) -> list[tuple[Any, ...]]:
        return sorted(tuple(row[name] for name in names.split()) for row in found.rows(table))

    return {
        "experiments": columns("experiments", "experiment_id name lifecycle_stage"),
        "experiment_tags": columns("experiment_tags", "experiment_id key value"),
        "runs": sorted(
            (
                row["run_id"],
                row["experiment_id"],
                row["run_name"] or "",
                row["user_id"],
                row["status"],
                row["start_time"],
                -1 if row["end_time"] is None else row["end_time"],
                row["lifecycle_stage"],
                -1 if row["deleted_time"] is None else row["deleted_time"],
            )
            for row in found.rows("runs")
        ),
        "params": columns("params", "run_id key value"),
        "tags": columns("tags", "run_id key value"),
        "metrics": sorted(
            (
                row["run_id"],
                row["key"],
                row["step"],
                row["timestamp"],
                bits(row["value"]),
                row["dataset_name"] or "",
                row["dataset_digest"] or "",
            )
            for row in found.rows("metrics")
        ),
        "datasets": sorted(
            (
                row["experiment_id"],
                row["name"],
                row["digest"],
                row["source_type"],
                row["source"],
                row["schema"] or "",
                row["profile"] or "",
            )
            for row in found.rows("datasets")
        ),
        "dataset_inputs": columns("dataset_inputs", "run_id dataset_name dataset_digest"),
        "dataset_input_tags": columns("dataset_input_tags", "run_id dataset_name dataset_digest key value"),
        "artifacts": sorted((file.owner_id, file.path, content(file)) for file in found.artifacts),
        "gaps": columns("gaps", "owner_id path code reason"),
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(store=stores())
def test_what_was_written_is_read(store: Store) -> None:
    """Every experiment, run, param, tag, point, dataset input and artifact byte comes back."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "mlruns")
        write_store(store, root)
        assert actual(read_source(MlrunsSource(root))) == expected(store)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(store=stores())
def test_small_chunks_hold_the_same(store: Store) -> None:
    """However the history is cut, the same rows come, and only a run's last chunk brings its fingerprint."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "mlruns")
        write_store(store, root)
        found = read_source(MlrunsSource(root, points_per_chunk=2))
        assert actual(found) == expected(store)
        assert sorted(row["fingerprint"] for row in found.rows("fingerprints")) == sorted(
            row["fingerprint"] for row in read_source(MlrunsSource(root)).rows("fingerprints")
        )
        for chunk in found.chunks:
            if not chunk.complete:
                assert "fingerprints" not in chunk.tables
                assert len(set(chunk.tables["metrics"].column("run_id").to_pylist())) == 1
                assert chunk.tables["metrics"].num_rows == 2
