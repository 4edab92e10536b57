"""A delta is imported into a target that has the rest: what only its base holds is named, or read from the base."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import ElsewhereError
from mlflow_archive.flow.report import Report
from tests.support.databases import empty_database, sqlite_rows
from tests.support.mlruns import Experiment, Run, Store, write_store

PARENT, CHILD = "a" * 32, "b" * 32


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with a base, a delta with a child of a run of the base, and a target that has the base."""
    runs = [
        Run(run_id=PARENT, name="parent", artifacts={"model.bin": b"weights"}),
        Run(
            run_id=CHILD, tags={"mlflow.parentRunId": PARENT}, artifacts={"same.bin": b"weights", "new.bin": b"others"}
        ),
    ]
    store = tmp_path / "mlruns"
    for folder, of_day in ((store, runs[:1]), (tmp_path / "later", runs)):
        write_store(Store(experiments=(Experiment(experiment_id="1", name="e", runs=tuple(of_day)),)), folder)
    ma.export(tmp_path / "base.mlfa", str(store))
    (tmp_path / "later" / "1" / CHILD).rename(store / "1" / CHILD)  # its parent stays as it is, down to the times
    for uri in (store / "1" / CHILD).glob("meta.yaml"):
        uri.write_text(uri.read_text("utf-8").replace(f"{tmp_path}/later", str(store)), "utf-8")
    ma.export(tmp_path / "delta.mlfa", str(store), options=ma.ExportOptions(base=tmp_path / "base.mlfa"))
    shutil.copyfile(empty_database(), tmp_path / "target.db")
    assert imported(tmp_path, "base.mlfa").complete
    return tmp_path


def imported(place: Path, name: str, base: Path | None = None) -> Report:
    options = ma.ImportOptions(artifact_root=str(place / "root"))
    return ma.import_archive(place / name, f"sqlite:///{place}/target.db", base=base, options=options)


def test_a_run_of_a_delta_finds_its_parent_in_the_target(place: Path) -> None:
    report = imported(place, "delta.mlfa")
    rows = dict(sqlite_rows(place / "target.db", "select name, run_uuid from runs"))
    parents = sqlite_rows(place / "target.db", "select value from tags where key = 'mlflow.parentRunId'")
    assert parents == [(rows["parent"],)]
    assert report.details["runs"].keys() == {CHILD}  # type: ignore[attr-defined]
    [refused] = report.gaps
    assert (refused.code, refused.owner_id, refused.path) == ("R106", CHILD, "same.bin")
    assert "lies in the base, archive " in refused.reason
    assert imported(place, "delta.mlfa", place / "base.mlfa").complete
    assert sorted(path.name for path in (place / "root").rglob("*.bin")) == ["model.bin", "new.bin", "same.bin"]


def test_a_restore_takes_no_delta_alone(place: Path) -> None:
    target = f"sqlite:///{place}/restored.db"
    shutil.copyfile(empty_database(), place / "restored.db")
    options = ma.RestoreOptions(artifact_root=str(place / "restored"))
    with pytest.raises(ElsewhereError, match=r"and a restore takes a whole one: .*mlflow-archive join"):
        ma.restore(place / "delta.mlfa", target, options)
    ma.restore(place / "delta.mlfa", target, options, base=place / "base.mlfa")
    assert sorted(sqlite_rows(place / "restored.db", "select run_uuid from runs")) == [(PARENT,), (CHILD,)]
