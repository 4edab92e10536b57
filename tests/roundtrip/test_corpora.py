"""Real file stores through the archive: what was counted in them is in the archive, and nothing is lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.sources.mlruns import MlrunsSource
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveSink
from tests.support.corpora import FILE_STORES, store_facts, store_path
from tests.support.reading import Read, content, plain_rows, read_source

STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
STORES = [(corpus, store, ".mlfa" if number else "") for number, (corpus, store) in enumerate(FILE_STORES)]


@pytest.fixture(scope="module", params=STORES, ids=[f"{corpus}{suffix}" for corpus, _, suffix in STORES])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """(archive, corpus, store); the first is a directory, the others are single files."""
    corpus, store, suffix = request.param
    path = tmp_path_factory.mktemp("corpus") / f"archive{suffix}"
    sink = ArchiveSink(path, tool="test 1", clock_ms=lambda: 1_700_000_000_000)
    report = copy(MlrunsSource(store_path(corpus, store)), sink)
    assert report.complete
    assert path.is_file() == bool(suffix)
    return path, corpus, store


def test_a_full_check_is_clean(exported: tuple[Path, str, str]) -> None:
    report = verify(exported[0])
    assert (report.problems, report.lost) == ([], set())
    assert report.checked["rows"] > 0


def test_counts_are_those_of_the_facts(exported: tuple[Path, str, str]) -> None:
    """FACTS.json was counted by a reader that is neither MLflow's nor ours."""
    path, corpus, store = exported
    with open_archive(path) as archive:
        found = counts(archive, store_path(corpus, store))
    facts = store_facts(corpus, store)
    assert found == {name: facts.get(name, {} if name == "run_status" else 0) for name in found}


def counts(archive: Archive, root: Path) -> dict[str, Any]:
    rows = {name: plain_rows(archive.table(name)) for name in TABLES if name != "blobs"}
    runs = rows["runs"]
    stages = [row["lifecycle_stage"] for row in runs]
    # What lies below the run's folder; FACTS.json counts nothing else.
    of_runs = [row for row in rows["artifacts"] if row["owner_kind"] == "run"]
    below = [row for row in of_runs if is_below_run(root, row["owner_id"], row["path"])]
    beside = len(of_runs) - len(below)
    assert beside == (19 if "LostPet" in root.as_posix() else 0)
    assert rows["gaps"] == []
    return {
        "experiments": len(rows["experiments"]),
        "experiments_in_trash": sum(row["lifecycle_stage"] == "deleted" for row in rows["experiments"]),
        "experiment_tags": len(rows["experiment_tags"]),
        "runs": len(runs),
        "runs_active": stages.count("active"),
        "runs_deleted": stages.count("deleted"),
        "runs_without_end_time": sum(row["end_time"] is None for row in runs),
        "run_status": {
            str(number): count
            for number, status in enumerate(STATUSES, start=1)
            if (count := sum(row["status"] == status for row in runs))
        },
        "params": len(rows["params"]),
        "max_param_len": max(len(row["value"]) for row in rows["params"]),
        "tags": len(rows["tags"]),
        "nested_runs": sum(row["key"] == "mlflow.parentRunId" for row in rows["tags"]),
        "metric_points": len(rows["metrics"]),
        "metric_keys": len({(row["run_id"], row["key"]) for row in rows["metrics"]}),
        "artifact_files": len(below),
        "artifact_bytes": sum(row["size"] for row in below),
    }


def is_below_run(root: Path, run_id: str, path: str) -> bool:
    folders = [folder for part in ("*", ".trash/*") for folder in root.glob(f"{part}/{run_id}")]
    return any((folder / "artifacts" / path).is_file() for folder in folders)


def test_content_is_that_of_the_store(exported: tuple[Path, str, str]) -> None:
    """Every row and every byte, as the store gives them when it is read directly."""
    path, corpus, store = exported
    with open_archive(path) as archive:
        found = read_source(ArchiveSource(archive))
        assert plain(found) == plain(read_source(MlrunsSource(store_path(corpus, store))))


def plain(read: Read) -> dict[str, list[str]]:
    tables = {name: sorted(map(repr, rows)) for name, rows in read.tables.items()}
    files = [f"{file.owner_id} {file.path} {file.size} {content(file)!r}" for file in read.artifacts]
    # A store may give an experiment's row or a dataset with each shard that needs it.
    shared = {name: sorted(set(tables[name])) for name in ("experiments", "experiment_tags", "datasets")}
    return {**tables, **shared, "artifacts": sorted(files)}
