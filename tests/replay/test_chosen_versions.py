"""Some versions of a registered model into a store: numbers stay, what is left out is told, the import is proved."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.copy import copy
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.export import ArchiveSink
from tests.contracts.selection_world import write_mlruns
from tests.replay.conftest import Place
from tests.replay.looking import aliases, versions
from tests.replay.small import registered, version
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, run

FIRST, THIRD = "1" * 32, "3" * 32


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Return an archive of a model with versions of runs, a deleted one, and aliases."""
    runs = chunk(
        [artifact(run_id, "model/MLmodel", f"run_id: {run_id}\n".encode()) for run_id in (FIRST, THIRD)],
        runs=[run(FIRST, "5"), run(THIRD, "5")],
    )
    registry = chunk(
        registered_models=[registered("model")],
        registered_model_aliases=[
            registered("model", alias="best", version=3),
            registered("model", alias="first", version=1),
        ],
        model_versions=[
            version("model", 1, source=f"runs:/{FIRST}/model", run_id=FIRST, current_stage="Production"),
            version("model", 2, current_stage="Deleted_Internal", source="REDACTED-SOURCE-PATH"),
            version("model", 3, source=f"runs:/{THIRD}/model", run_id=THIRD),
            version("model", 4, current_stage="Deleted_Internal", source="REDACTED-SOURCE-PATH"),
        ],
        model_version_tags=[{**version("model", number), "key": "n", "value": f"{number}"} for number in (1, 3)],
    )
    path = tmp_path / "three.mlfa"
    source = ChunkSource((0, [chunk(experiments=[experiment("5", "main")])]), (1, [runs]), (2, [registry]))
    copy(source, ArchiveSink(path, tool="test 1", clock_ms=lambda: 0))
    return path


def test_the_newest_version_with_what_it_stands_on(three: Path, tmp_path: Path) -> None:
    root = tmp_path / "files"
    # A store of its own: copies of the experiment that others made would be told by the proof.
    own_place = Place(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", folder=root, artifact_root=str(root), prefix="p")
    options = ma.ImportOptions(
        artifact_root=own_place.artifact_root,
        experiment_prefix=f"{own_place.prefix}/",
        model_prefix=f"{own_place.prefix}-",
    )
    for outcome in ("created", "skipped"):
        selection = Selection(models=("model",), latest_versions=1)
        report = ma.import_archive(three, own_place.uri, options=options, selection=selection)
        assert report.gaps == []
        assert report.details[outcome] == 1
        assert report.details["outcomes"]["model_version"][outcome] == 1  # type: ignore[index]
        assert report.details["selection"] == {"models": ["model"], "latest_versions": 1}
    assert report.details["changed"] == {"aliases_without_their_version": 1}
    assert report.details["notes"] == [
        "links to what neither came nor was there are left out: 1 of aliases to versions"
    ]
    [number] = versions(own_place, "model")
    assert number == 3
    assert aliases(own_place.client.get_registered_model(own_place.name("model"))) == {"best": 3}
    assert list(report.details["runs"]) == [THIRD]  # type: ignore[call-overload]
    proof = ma.diff(three, own_place.uri, imported=True, receipt=report)
    assert proof.changes == ()
    assert (proof.objects["run"], proof.rows["model_versions"], proof.proved) == (1, 1, True)


def test_some_versions_are_not_added_to_an_archive_that_holds_others(tmp_path: Path) -> None:
    """The rows of a registered model are those of the newest export: the versions of others would be hidden."""
    store, path = write_mlruns(tmp_path / "mlruns"), tmp_path / "a.mlfa"
    newest = Selection(latest_versions=1, artifacts=False)
    ma.export(path, str(store), selection=newest)
    with ma.open(path) as opened:
        assert opened.exports[0]["selection"] == {"artifacts": False, "latest_versions": 1}
    before = path.read_bytes()
    for options in (ma.ExportOptions(append=True), ma.ExportOptions(append=True, dry_run=True)):
        with pytest.raises(SelectionError, match="the versions that it has would be hidden"):
            ma.export(path, str(store), options=options, selection=newest)
    assert path.read_bytes() == before
    ma.export(path, str(store), options=ma.ExportOptions(append=True), selection=Selection(artifacts=False))
    with ma.open(path) as opened:
        numbers = [row["version"] for row in opened.model_versions.to_table().to_pylist() if row["name"] == "reg"]
    assert numbers == [1, 2, 3]
