"""The source contract, run by each source: a file store, a server, an archive of both forms, and one in memory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from mlflow_archive.copy import copy
from mlflow_archive.pipeline import Quiet, Selection
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.sinks.replay import ReplayOptions, ReplaySink, open_target
from mlflow_archive.sources.mlruns import MlrunsSource
from mlflow_archive.sources.rest import RestSource
from mlflow_archive.tracking.session import TrackingSession
from mlflow_archive.writer.export import ArchiveSink
from tests.contracts.source_contract import Held, SelectingSourceContract, SourceContract, Subject
from tests.support.memory_source import START_MS, MemoryOptions, MemorySource, artifact_bytes, run_id
from tests.support.mlflow_server import MlflowServer
from tests.support.mlruns import PARENT_TAG, Dataset, DatasetInput, Experiment, Point, Run, Store, write_store
from tests.support.reading import read_source

GAPPY = "3"
BIG = bytes(range(256)) * 20_000
DATASET = Dataset(name="iris", digest="ab12", source='{"uri": "x"}', schema='{"a": 1}')


def world() -> Store:
    """Return experiments ``one``, ``two`` (empty) and ``gone`` (deleted); run 3 declares a model that is not there."""
    lost = json.dumps([{"run_id": _id("3"), "artifact_path": "lost", "flavors": {}}])
    runs = (
        _run(
            "0",
            artifacts={"model/deep/big.bin": BIG, "model/é %41#?.txt": b"12345", "empty": b""},
            metrics=(
                *(Point(key="m/loss", value=value, step=step) for step, value in enumerate([0.1, math.nan, -1.5], -1)),
                *(Point(key="again", value=value, step=7, timestamp=5) for value in (1.0, 2.0)),
            ),
        ),
        _run("1", tags={PARENT_TAG: _id("2")}, inputs=(DatasetInput(dataset=DATASET, tags={"context": "train"}),)),
        _run("2", params={"p": "two\nlines", "e": "", "ü/ç d": "x" * 3000}),
        _run(GAPPY, tags={"mlflow.log-model.history": lost}, artifacts={"other": b"x"}),
        _run("4", deleted=True, deleted_time=9),
    )
    return Store(
        experiments=(
            Experiment(experiment_id="1", name="one", tags={"team": "ü"}, runs=runs),
            Experiment(experiment_id="2", name="two"),
            Experiment(experiment_id="3", name="gone", deleted=True, runs=(_run("9"),)),
        )
    )


def _id(name: str) -> str:
    return f"{int(name):032x}"


def _run(name: str, **fields: object) -> Run:
    basic = Run(run_id=_id(name), name=f"run {name}", start_time=int(name) * 1000, params={"p": name})
    return replace(basic, **fields)  # type: ignore[arg-type]


def _held() -> dict[str, Held]:
    return {
        str(int(run.run_id, 16)): Held(
            params=run.params, metrics=run.metrics, artifacts=run.artifacts, inputs=run.inputs
        )
        for _, run in world().runs()
    }


def _subject(store: Path) -> Subject:
    return Subject(
        make=lambda: MlrunsSource(store),
        runs={str(int(run.run_id, 16)): run.run_id for _, run in world().runs()},
        experiments={each.name: each.experiment_id for each in world().experiments},
        held=_held(),
        with_gaps=frozenset({GAPPY}),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources") / "mlruns"
    write_store(world(), root)
    return root


class TestMlruns(SelectingSourceContract):
    @pytest.fixture
    def subject(self, store: Path) -> Subject:
        return _subject(store)

    @pytest.fixture(autouse=True)
    def _is_left_alone(self, store: Path) -> Iterator[None]:
        def state() -> dict[Path, tuple[int, int]]:
            return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in store.rglob("*")}

        before = state()
        yield
        assert state() == before


class TestMlrunsInSmallChunks(SourceContract):
    """A chunk may end within a history."""

    @pytest.fixture
    def subject(self, store: Path) -> Subject:
        return replace(_subject(store), make=lambda: MlrunsSource(store, points_per_chunk=1))


class TestArchive(SelectingSourceContract):
    @pytest.fixture(scope="class", params=["archive", "archive.mlfa"])
    def subject(
        self, request: pytest.FixtureRequest, store: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Subject]:
        path = tmp_path_factory.mktemp("archive") / request.param
        copy(MlrunsSource(store), ArchiveSink(path, tool="test 1", clock_ms=lambda: 1))
        with open_archive(path) as archive:
            yield replace(_subject(store), make=lambda: ArchiveSource(archive))

    def test_parents_are_in_an_earlier_stage_than_their_children(self, subject: Subject) -> None:
        source = subject.make()
        stage_of = {
            each: shard.stage
            for shard in source.plan(Selection(), Quiet())
            if isinstance(shard.payload, list)
            for each in shard.payload
            if shard.stage
        }
        assert stage_of[subject.runs["2"]] < stage_of[subject.runs["1"]]
        assert min(stage_of.values()) == 1


class TestRest(SelectingSourceContract):
    """A real server that holds the world because it was imported; ids are the server's."""

    @pytest.fixture(scope="class")
    def subject(
        self, store: Path, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Subject]:
        prefix = f"contract-{uuid4().hex[:8]}/"
        options = ReplayOptions(experiment_prefix=prefix, source_tags=False)
        path = tmp_path_factory.mktemp("rest") / "archive"
        copy(MlrunsSource(store), ArchiveSink(path, tool="test 1", clock_ms=lambda: 1))
        with open_archive(path) as archive:
            report = copy(ArchiveSource(archive), ReplaySink(open_target(mlflow_server.uri), options=options))
        assert report.gaps == []
        to = report.details["runs"]
        assert isinstance(to, dict)
        experiments = report.details["experiments"]
        assert isinstance(experiments, dict)
        named = _subject(store)
        yield replace(
            named,
            make=lambda: RestSource(TrackingSession(mlflow_server.uri.replace("://", "://ada:s3cret@"))),
            runs={name: to[each] for name, each in named.runs.items()},
            experiments={name: experiments[each] for name, each in named.experiments.items()},
            prefix=prefix,
            secrets=("ada", "s3cret"),
        )


class TestMemory(SourceContract):
    """The source of other tests; it does not select."""

    @pytest.fixture
    def subject(self) -> Subject:
        options = MemoryOptions(runs=7, points=150, long=frozenset({2, 5}))
        return Subject(
            make=lambda: MemorySource(options),
            runs={str(number): run_id(number) for number in range(options.runs)},
            experiments={"digits": "1", "Größe": "2"},
            held={str(number): _of_memory(options, number) for number in range(options.runs)},
        )


def _of_memory(options: MemoryOptions, number: int) -> Held:
    read = read_source(MemorySource(options))
    points = tuple(
        Point(key=row["key"], value=row["value"], timestamp=row["timestamp"], step=row["step"])
        for row in read.rows("metrics", run_id=run_id(number))
    )
    assert len(points) == options.points
    assert points[0].timestamp == START_MS + number
    paths = [f"model/file {index}.bin" for index in range(len(options.sizes))]
    files = {
        path: artifact_bytes(f"{number}/{path}/False", size) for path, size in zip(paths, options.sizes, strict=True)
    }
    inputs = (DatasetInput(dataset=Dataset(name="iris", digest="d1")),)
    return Held(params={"lr": str(number / 7)}, metrics=points, artifacts=files, inputs=inputs)
