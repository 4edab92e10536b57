"""What comes with a time window, or without what is deleted: nothing of the runs that are left out, from any source."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.source import Source
from mlflow_archive.kinds import LOGGED_MODEL, REGISTERED_MODEL
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import ReplayOptions
from mlflow_archive.sinks.replay.locate import locate_replay
from mlflow_archive.sources.locate import locate_source
from tests.sources.mlruns_objects import one_model, registered, version
from tests.support.exim import run_body, write_document, write_exim
from tests.support.exim_objects import logged_model, registered_model
from tests.support.exim_objects import version as exim_version
from tests.support.mlflow_server import running_server
from tests.support.mlruns import Experiment, Run, Store, write_meta, write_store
from tests.support.reading import read_source
from tests.support.restoring import export, restore

OLD, NEW = "a" * 32, "b" * 32
OF_OLD, OF_NEW, USED, LONELY = (f"m-{letter * 32}" for letter in "acde")
RUNS = (
    Run(run_id=OLD, name="old", start_time=1_000_000, deleted=True),
    Run(run_id=NEW, name="new", start_time=2_000_000),
)
STORE = Store(
    experiments=(
        Experiment(experiment_id="1", name="one", runs=RUNS),
        Experiment(experiment_id="2", name="of a prompt"),
    )
)
MAKERS = {OF_OLD: OLD, OF_NEW: NEW, USED: OLD, LONELY: None}
WINDOWS = (Selection(since_ms=1_500_000), Selection(since_ms=1_500_000, until_ms=3_000_000), Selection(deleted=False))
PROMPT_TAGS = {"mlflow.prompt.is_prompt": "true", "_mlflow_experiment_ids": ",2,"}


def write_mlruns(root: Path) -> Path:
    write_store(STORE, root)
    for model_id, run_id in MAKERS.items():
        points = {f"metrics/{model_id[2]}": f"5 0.5 0 {run_id}\n"} if run_id else {}
        one_model(root, model_id, {"artifacts/MLmodel": model_id, **points}, source_run_id=run_id, name=model_id)
    sources = {"source_type": "RUN_INPUT", "source_id": USED, "destination_type": "RUN", "destination_id": NEW}
    write_meta(root / "1" / NEW / "inputs" / USED, {**sources, "source_type": "MODEL", "tags": {}})
    versions = registered(root, "reg")
    times = {"creation_timestamp": 1, "last_updated_timestamp": 2}
    version(versions, 1, source=f"models:/{OF_OLD}", run_id=OLD, **times)
    version(versions, 2, source=f"models:/{OF_NEW}", run_id=NEW, **times)
    registered(root, "hello", {f"tags/{key}": value for key, value in PROMPT_TAGS.items()})
    return root


def write_exim_folder(root: Path) -> Path:
    write_exim(STORE, root)
    one = root / "experiments" / "1"
    for model_id, run_id in MAKERS.items():
        folder = one / "logged_models" / model_id
        write_document(folder / "logged_model.json", logged_model(model_id, run_id or "", metrics=None))
        (folder / "artifacts").mkdir()
        (folder / "artifacts" / "MLmodel").write_text(model_id)
    body = {**run_body(RUNS[1], "1"), "inputs": {"dataset_inputs": [], "model_inputs": [{"model_id": USED}]}}
    write_document(one / "runs" / NEW / "run.json", body)
    pairs = ((1, OF_OLD, OLD), (2, OF_NEW, NEW))
    versions = (exim_version(n, _source=f"models:/{m}", run_id=r, model_id=m) for n, m, r in pairs)
    write_document(root / "models" / "reg" / "model.json", registered_model(*versions))
    for number, model_id, _ in pairs:
        (root / "models" / "reg" / "version_models" / str(number)).mkdir(parents=True)
        (root / "models" / "reg" / "version_models" / str(number) / "MLmodel").write_text(model_id)
    prompt = registered_model(name="hello", tags=PROMPT_TAGS)
    write_document(root / "models" / "hello" / "model.json", prompt)
    return root


@pytest.fixture(scope="module")
def mlruns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mlruns(tmp_path_factory.mktemp("left-out") / "mlruns")


@pytest.fixture(scope="module")
def archive(mlruns: Path) -> Path:
    return export(str(mlruns), mlruns.parent / "whole.mlfa")


@pytest.fixture(scope="module")
def database(archive: Path) -> str:
    uri = f"sqlite:///{archive.parent / 'mlflow.db'}"
    restore(archive, uri, artifact_root=str(archive.parent / "artifacts"))
    return uri


@pytest.fixture(scope="module", params=["mlruns", "exim", "sqlite", "server", "archive"])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Source]]:
    if request.param == "mlruns":
        mlruns = request.getfixturevalue("mlruns")
        yield lambda: locate_source(str(mlruns))
    elif request.param == "exim":
        folder = write_exim_folder(tmp_path_factory.mktemp("left-out-exim") / "exported")
        yield lambda: locate_source(f"exim:{folder}")
    elif request.param == "archive":
        with open_archive(request.getfixturevalue("archive")) as opened:
            yield lambda: ArchiveSource(opened)
    else:
        database = request.getfixturevalue("database")
        if request.param == "sqlite":
            yield lambda: locate_source(database)
            return
        with running_server(tmp_path_factory.mktemp("left-out-server"), backend=database) as server:
            yield lambda: locate_source(server.uri)


@pytest.mark.parametrize("window", WINDOWS, ids=["since", "since and until", "no deleted"])
@pytest.mark.parametrize("kinds", [(), (LOGGED_MODEL,)], ids=["all kinds", "only logged models"])
def test_logged_models_of_runs_that_are_left_out(
    subject: Callable[[], Source], window: Selection, kinds: tuple[str, ...]
) -> None:
    selection = Selection(since_ms=window.since_ms, until_ms=window.until_ms, deleted=window.deleted, kinds=kinds)
    found = read_source(subject(), selection)
    assert {row["run_id"] for row in found.tables["runs"]} == (set() if kinds else {NEW})
    assert {row["model_id"] for row in found.tables["logged_models"]} == {OF_NEW, USED, LONELY}
    assert {file.owner_id for file in found.artifacts if file.owner_kind == LOGGED_MODEL} == {OF_NEW, USED, LONELY}


def test_a_version_has_its_files_though_its_logged_model_is_left_out(subject: Callable[[], Source]) -> None:
    if isinstance(subject(), ArchiveSource):
        pytest.skip("an archive has the files with the logged model")
    found = read_source(subject(), Selection(deleted=False))
    files = [(file.path, file.owner_id) for file in found.artifacts if file.owner_kind == REGISTERED_MODEL]
    assert (files, found.gaps()) == ([("1/MLmodel", "reg")], set())


def test_a_prompt_keeps_the_experiments_it_belongs_to(subject: Callable[[], Source]) -> None:
    found = read_source(subject(), Selection(models=("hello",)))
    assert [row["name"] for row in found.tables["registered_models"]] == ["hello"]
    assert {row["name"] for row in found.tables["experiments"]} == {"of a prompt"}


@pytest.mark.parametrize("window", WINDOWS, ids=["since", "since and until", "no deleted"])
def test_an_import_of_it_refuses_nothing_and_counts_links(database: str, window: Selection, tmp_path: Path) -> None:
    path = export(database, tmp_path / "a.mlfa", window)
    with open_archive(path) as opened:
        options = ReplayOptions(artifact_root=str(tmp_path / "artifacts"))
        report = copy(ArchiveSource(opened), locate_replay(f"sqlite:///{tmp_path / 't.db'}", opened, options=options))
    assert report.gaps == []
    (note,) = (note for note in json.loads(json.dumps(report.details["notes"])) if note.startswith("links"))
    assert note.startswith("links to what neither came nor was there are left out: 1 of logged models to the runs")
    assert "1 of metric points of logged models to their runs" in note
