"""What sources that select must do beside the contract: name what is not selected, and keep runs with gaps apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import Known, nothing_known
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Quiet
from mlflow_archive.flow.source import Source
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.kinds import RUN
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import ReplayOptions, ReplaySink, open_target
from mlflow_archive.sources.exim import EximSource
from mlflow_archive.sources.mlruns import MlrunsSource
from mlflow_archive.sources.rest import RestSource
from mlflow_archive.writer.export import ArchiveSink
from tests.support.exim import write_exim
from tests.support.mlflow_server import MlflowServer
from tests.support.mlruns import Experiment, Point, Run, Store, write_store
from tests.support.reading import Read, read_source

GAPPY = "3"


def run_id(name: str) -> str:
    return f"{int(name):032x}"


def world() -> Store:
    """Return experiments ``one``, ``two`` (empty) and ``gone`` (deleted); run 3 declares a model that is not there."""
    lost = json.dumps([{"run_id": run_id(GAPPY), "artifact_path": "lost", "flavors": {}}])
    runs = (
        made("0", artifacts={"model/deep/big.bin": b"x" * 100, "model/é 5.txt": b"12345", "empty": b""}),
        made("1", metrics=(Point(key="m", value=0.5),)),
        made("2"),
        made(GAPPY, tags={"mlflow.log-model.history": lost}, artifacts={"other": b"x"}),
        made("4", deleted=True, deleted_time=9),
    )
    return Store(
        experiments=(
            Experiment(experiment_id="1", name="one", tags={"team": "ü"}, runs=runs),
            Experiment(experiment_id="2", name="two"),
            Experiment(experiment_id="3", name="gone", deleted=True, runs=(made("9"),)),
        )
    )


def made(name: str, **fields: Any) -> Run:
    return Run(
        **{"run_id": run_id(name), "name": name, "start_time": int(name) * 1000, "params": {"p": name}, **fields}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A source of the world; ``make`` gives a new one each time.

    ``runs`` and ``experiments`` map names to the ids they have there; ``prefix`` is before names of experiments.
    """

    make: Callable[[], Source]
    runs: Mapping[str, str]
    experiments: Mapping[str, str]
    prefix: str = ""

    def there(self, selection: Selection) -> Selection:
        """Return a selection by names of the world (``id of`` one of them) as one of this source."""
        wanted = selection.experiments or (() if selection.runs else ("*",))
        experiments = (
            self.experiments[name.removeprefix("id of ")] if name.startswith("id of ") else self.prefix + name
            for name in wanted
        )
        runs = (self.runs.get(name, name) for name in selection.runs)
        return replace(selection, experiments=tuple(experiments), runs=tuple(runs))

    def read(self, known: Known = nothing_known, **selection: Any) -> Read:
        return read_source(self.make(), self.there(Selection(**selection)), known)


def runs_in(found: Read) -> str:
    return "".join(sorted(row["run_name"] for row in found.tables["runs"]))


def experiments_in(subject: Subject, found: Read) -> list[str]:
    return sorted({row["name"].removeprefix(subject.prefix) for row in found.tables["experiments"]})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("selection") / "mlruns"
    write_store(world(), root)
    return root


@pytest.fixture(scope="module")
def of_store(store: Path) -> Subject:
    return Subject(
        make=lambda: MlrunsSource(store),
        runs={run.name or "": run.run_id for _, run in world().runs()},
        experiments={each.name: each.experiment_id for each in world().experiments},
    )


@pytest.fixture(scope="module")
def of_exim(of_store: Subject, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    root = write_exim(world(), tmp_path_factory.mktemp("selection-exim"))
    return replace(of_store, make=lambda: EximSource(root))


@pytest.fixture(scope="module")
def of_archive(store: Path, of_store: Subject) -> Iterator[Subject]:
    path = store.parent / "archive.mlfa"
    copy(MlrunsSource(store), ArchiveSink(path, tool="test 1", clock_ms=lambda: 1))
    with open_archive(path) as archive:
        yield replace(of_store, make=lambda: ArchiveSource(archive))


@pytest.fixture(scope="module")
def of_server(of_archive: Subject, shared_server: MlflowServer) -> Subject:
    """A real server, asked with credentials in its URI; ids are those it gave when the world was imported."""
    prefix = f"selection-{uuid4().hex[:8]}/"
    options = ReplayOptions(experiment_prefix=prefix, source_tags=False)
    report = copy(of_archive.make(), ReplaySink(open_target(shared_server.uri), options=options))
    assert report.gaps == []
    runs, experiments = report.details["runs"], report.details["experiments"]
    assert isinstance(runs, dict)
    assert isinstance(experiments, dict)
    return Subject(
        make=lambda: RestSource(TrackingSession(shared_server.uri.replace("://", "://ada:s3cret@"))),
        runs={name: runs[each] for name, each in of_archive.runs.items()},
        experiments={name: experiments[each] for name, each in of_archive.experiments.items()},
        prefix=prefix,
    )


@pytest.fixture(params=["of_store", "of_exim", "of_archive", "of_server"])
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.getfixturevalue(request.param)
    return found


def test_facts_hold_no_credentials(subject: Subject) -> None:
    with closing(subject.make()) as source:
        facts = source.facts()
    assert facts.uri
    assert not [secret for secret in ("ada", "s3cret") if secret in repr(facts)]


@pytest.mark.parametrize(
    ("selection", "runs", "experiments"),
    [
        pytest.param({}, "012349", ["gone", "one", "two"], id="all"),
        pytest.param({"experiments": ("one",)}, "01234", ["one"], id="name"),
        pytest.param({"experiments": ("id of gone",)}, "9", ["gone"], id="id"),
        pytest.param({"experiments": ("o*", "g?ne")}, "012349", ["gone", "one"], id="globs"),
        pytest.param({"experiments": ("two",)}, "", ["two"], id="without runs"),
        pytest.param({"runs": ("1", "9")}, "19", ["gone", "one"], id="runs"),
        pytest.param({"runs": ("9",)}, "9", ["gone"], id="run"),
        pytest.param({"runs": ("9",), "experiments": ("gone",)}, "9", ["gone"], id="run of the experiment"),
        pytest.param({"deleted": False}, "0123", ["one", "two"], id="not deleted"),
        pytest.param({"since_ms": 1000}, "12349", ["gone", "one", "two"], id="since is inclusive"),
        pytest.param({"until_ms": 2000}, "01", ["gone", "one", "two"], id="until is exclusive"),
        pytest.param({"since_ms": 1000, "until_ms": 3000, "experiments": ("one",)}, "12", ["one"], id="window"),
    ],
)
def test_selection(subject: Subject, selection: dict[str, Any], runs: str, experiments: list[str]) -> None:
    found = subject.read(**selection)
    assert (runs_in(found), experiments_in(subject, found)) == (runs, experiments)
    assert {row["run_id"] for row in found.tables["params"]} == {subject.runs[name] for name in runs}


@pytest.mark.parametrize(
    ("selection", "paths"),
    [
        pytest.param({"artifact_globs": ("model/*",)}, {"model/deep/big.bin", "model/é 5.txt"}, id="glob"),
        pytest.param({"max_artifact_size": 5}, {"model/é 5.txt", "empty"}, id="size"),
        pytest.param({"artifact_globs": ("mod*",), "max_artifact_size": 4}, set(), id="glob and size"),
        pytest.param({"artifacts": False}, set(), id="none"),
    ],
)
def test_selection_of_artifacts(subject: Subject, selection: dict[str, Any], paths: set[str]) -> None:
    found = subject.read(**selection)
    assert set(found.paths(subject.runs["0"])) == paths
    assert runs_in(found) == "012349"


@pytest.mark.parametrize(
    "selection",
    [
        pytest.param(Selection(experiments=("one", "no such"), on_missing="fail"), id="experiment"),
        pytest.param(Selection(experiments=("no such*",)), id="glob"),
        pytest.param(Selection(experiments=("gone",), deleted=False), id="deleted experiment"),
        pytest.param(Selection(runs=("1", "f" * 32), on_missing="fail"), id="run"),
        pytest.param(Selection(runs=("9",), experiments=("one",)), id="run elsewhere"),
        pytest.param(Selection(runs=("4",), deleted=False), id="deleted run"),
        pytest.param(Selection(runs=("0",), since_ms=1), id="run before the window"),
    ],
)
def test_what_is_named_but_not_there_is_refused_before_the_first_shard(subject: Subject, selection: Selection) -> None:
    """Selection: one of ``experiments`` and of ``runs`` must match, each with ``fail``, or it raises SelectionError."""
    with closing(subject.make()) as source:
        source.facts()
        with pytest.raises(SelectionError):
            next(source.plan(subject.there(selection), Quiet()))


@pytest.mark.parametrize(
    ("selection", "runs", "missing"),
    [
        pytest.param({"runs": ("1", "f" * 32, "2")}, "12", ("run", "f" * 32), id="run"),
        pytest.param({"runs": ("1", "4"), "deleted": False}, "1", ("run", "4"), id="deleted run"),
        pytest.param({"experiments": ("one", "no such*")}, "01234", ("experiment", "no such*"), id="experiment"),
    ],
)
def test_what_is_not_there_of_several_is_a_gap(
    subject: Subject, selection: dict[str, Any], runs: str, missing: tuple[str, str]
) -> None:
    """Selection: an archive takes no unknown name; any other source goes on with what is there."""
    if isinstance(subject.make(), ArchiveSource):
        with pytest.raises(SelectionError):
            subject.read(**selection)
        return
    kind, name = missing
    name = subject.runs.get(name, name) if kind == "run" else subject.prefix + name
    result = subject.read(**selection)
    assert runs_in(result) == runs
    gap_rows = result.rows("gaps", code="G501")
    assert [(row["owner_kind"], row["owner_id"], row["path"]) for row in gap_rows] == [(kind, name, "")]


def test_a_run_with_gaps_has_no_fingerprint_and_always_comes_again(subject: Subject) -> None:
    found = subject.read()
    assert {(row["owner_id"], row["path"]) for row in found.tables["gaps"]} == {(subject.runs[GAPPY], "lost")}
    known = {row["owner_id"]: row["fingerprint"] for row in found.rows("fingerprints", owner_kind=RUN)}
    assert set(known) == set(subject.runs.values()) - {subject.runs[GAPPY]}
    again = subject.read(known=lambda kind, each: known.get(each) if kind == RUN else None)
    assert runs_in(again) == GAPPY
    for table in ("params", "tags", "metrics"):
        assert {row["run_id"] for row in again.tables[table]} <= {subject.runs[GAPPY]}
    assert {file.owner_id for file in again.artifacts} == {subject.runs[GAPPY]}
    assert experiments_in(subject, again) == ["gone", "one", "two"]
