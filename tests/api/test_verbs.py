"""The verbs from Python, on a real store: export, search as MLflow does, replay, restore, verify."""

from __future__ import annotations

import dataclasses
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pytest

import mlflow_archive as ma
from mlflow_archive_cli.main import commands
from tests.support.corpora import FILE_STORES, store_path
from tests.support.tracking_uri import tracking_to

SPELLINGS = {
    "artifact_glob": "artifact_globs",
    "keep_artifact_uris": "artifact_root",
    "no_artifacts": "artifacts",
    "no_deleted": "deleted",
    "no_source_tags": "source_tags",
    "only": "kinds",
    "rename_evaluation_dataset_file": "rename_evaluation_dataset",
    "rename_experiment_file": "rename_experiment",
    "rename_model_file": "rename_model",
    "since": "since_ms",
    "target": "to",
    "spans_as_files": "spans_in_table",
    "until": "until_ms",
    "uri": "archive",
    "with_children": "children",
    "with_parents": "parents",
    "without": "kinds",
}
"""Options of the command whose name in Python is another."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verbs") / "a.mlfa"
    told: list[tuple[str, int, int]] = []
    store = store_path(*FILE_STORES[0])
    report = ma.export(path, str(store), progress=lambda *what: told.append(what))
    assert report.counts["runs"] == 19
    assert ("runs", 19, 19) in told
    return path


def test_verify(exported: Path) -> None:
    assert ma.verify(exported).ok


def test_search_runs_has_the_shape_of_mlflows(exported: Path, tmp_path: Path) -> None:
    """The same frame as mlflow.search_runs on the restored store: columns, dtypes, rows and their order."""
    import mlflow  # noqa: PLC0415

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    report = ma.restore(exported, uri, ma.RestoreOptions(artifact_root=None))
    assert report.complete
    with ma.open(exported) as archive, tracking_to(uri):
        ids = [row["experiment_id"] for row in archive.experiments.to_table().to_pylist()]
        for arguments in (
            {},
            {"filter_string": "params.child = 'yes'"},
            {"order_by": ["metrics.foo DESC"], "max_results": 5},
            {"order_by": ["attributes.start_time ASC"]},
        ):
            theirs = mlflow.search_runs(ids, **arguments)
            ours = archive.search_runs(ids, **arguments)
            assert sorted(ours.columns) == sorted(theirs.columns)
            pd.testing.assert_frame_equal(ours[list(theirs.columns)], theirs, check_like=False)


def test_replay(exported: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    options = ma.ImportOptions(artifact_root=str(tmp_path / "artifacts"), experiment_prefix="old/")
    planned = ma.import_archive(exported, uri, options=replace(options, dry_run=True))
    assert planned.details["created"] == 19
    done = ma.import_archive(exported, uri, options=options)
    assert (done.complete, done.details["created"]) == (True, 19)


def test_replay_renames(exported: Path, tmp_path: Path) -> None:
    """Renames of the call stand in for those of the options, of which the prefix goes on to count."""
    from mlflow import MlflowClient  # noqa: PLC0415

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    selection = ma.Selection(experiments=("example1",))
    options = ma.ImportOptions(
        artifact_root=str(tmp_path / "artifacts"), experiment_prefix="old/", rename_experiment={"example1": "not this"}
    )
    report = ma.import_archive(
        exported, uri, options=options, rename_experiment={"example1": "this"}, selection=selection
    )
    assert report.complete
    names = {experiment.name for experiment in MlflowClient(uri).search_experiments()}
    assert names == {"Default", "old/this"}


def test_export_of_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.mlfa"
    report = ma.export(path, str(store_path(*FILE_STORES[0])), options=ma.ExportOptions(dry_run=True))
    assert (report.counts["runs"], report.details["dry_run"]) == (19, True)
    assert list(tmp_path.iterdir()) == []


def test_the_compression_level_of_an_export(tmp_path: Path) -> None:
    sizes = []
    for level in (1, 19):
        path = tmp_path / f"{level}.mlfa"
        assert ma.export(path, str(store_path(*FILE_STORES[0])), options=ma.ExportOptions(level=level)).complete
        sizes.append(path.stat().st_size)
    assert sizes[0] > sizes[1]


def parameters_of(verb: str) -> set[str]:
    """Return what the command takes, but for what it only prints."""
    command = commands.get_command(click.Context(commands), verb)
    assert command is not None
    names = {str(parameter.name) for parameter in command.params}
    return names - {"form", "quiet", "report", "receipt"}


@pytest.mark.parametrize(
    ("verb", "function", "records"),
    [
        ("export", ma.export, (ma.ExportOptions,)),
        ("import", ma.import_archive, (ma.ImportOptions,)),
        ("copy", ma.copy, (ma.ImportOptions, ma.ExportOptions)),
        ("restore", ma.restore, (ma.RestoreOptions,)),
    ],
)
def test_python_takes_what_the_command_takes(
    verb: str, function: Callable[..., Any], records: tuple[type, ...]
) -> None:
    """Each option of the command is a parameter of the function, or a field of its records."""
    fields = {field.name for record in (*records, ma.Selection) for field in dataclasses.fields(record)}
    taken = fields | set(inspect.signature(function).parameters)
    missing = {name for name in parameters_of(verb) if SPELLINGS.get(name, name) not in taken}
    assert missing == set()


def test_replay_of_a_selection(exported: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with ma.open(exported) as archive:
        run_id = archive.runs.head(1)["run_id"][0].as_py()
    options = ma.ImportOptions(artifact_root=str(tmp_path / "artifacts"))
    done = ma.import_archive(exported, uri, options=options, selection=ma.Selection(runs=(run_id,)))
    assert list(done.details["runs"]) == [run_id]  # type: ignore[call-overload]


def test_diff(exported: Path, tmp_path: Path) -> None:
    store = store_path(*FILE_STORES[0])
    same = ma.diff(exported, str(store))
    assert (same.same, same.changes, same.counts) == (True, (), {"added": 0, "removed": 0, "changed": 0})
    with ma.open(exported) as archive:
        run_id = archive.runs.head(1)["run_id"][0].as_py()
    one = tmp_path / "one.mlfa"
    ma.export(one, str(store), selection=ma.Selection(runs=(run_id,)))
    found = ma.diff(one, exported, artifacts=False)
    assert not found.same
    assert found.counts["added"] >= 18
    assert {each.kind for each in found.changes} >= {"run"}
    assert found.to_json()["counts"] == found.counts


def test_serve_ends_at_an_interrupt(exported: Path, tmp_path: Path) -> None:
    code = """
import os, signal, sys, urllib.request
import mlflow_archive as ma
def ready(url):
    print(url)
    os.kill(os.getpid(), signal.SIGINT)
ma.serve(sys.argv[1], ready=ready)
print("after")
"""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-c", code, str(exported)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True)
    url, after = ran.stdout.splitlines()
    assert url.startswith("http://127.0.0.1:")
    assert after == "after"
