"""Small file stores as values: describe one, write it as MLflow's FileStore does, or let Hypothesis make one up.

>>> run = Run(run_id="a" * 32, params={"lr": "0.1"}, metrics=(Point(key="loss", value=0.5),))
>>> write_store(Store(experiments=(Experiment(experiment_id="1", name="x", runs=(run,)),)), Path("mlruns"))
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from hypothesis import strategies as st

RUN_NAME_TAG = "mlflow.runName"
PARENT_TAG = "mlflow.parentRunId"
RUN_ID = "0123456789abcdef0123456789abcdef"
STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One line of a metric file; ``dataset`` is (name, digest)."""

    key: str
    value: float
    timestamp: int = 1_700_000_000_000
    step: int = 0
    dataset: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    name: str
    digest: str
    source_type: str = "local"
    source: str = "{}"
    schema: str | None = None
    profile: str | None = None

    @property
    def folder(self) -> str:
        return _md5(self.name, self.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInput:
    dataset: Dataset
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run. ``name`` None leaves the field out, as MLflow before 1.29 did."""

    run_id: str
    name: str | None = None
    user_id: str = "someone"
    status: str = "FINISHED"
    start_time: int = 1_700_000_000_000
    end_time: int | None = 1_700_000_001_000
    deleted: bool = False
    deleted_time: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Point, ...] = ()
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    inputs: tuple[DatasetInput, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """An experiment; a deleted one is written to ``.trash``."""

    experiment_id: str
    name: str
    deleted: bool = False
    creation_time: int | None = 1_700_000_000_000
    last_update_time: int | None = 1_700_000_000_000
    tags: Mapping[str, str] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    experiments: tuple[Experiment, ...]

    def runs(self) -> list[tuple[Experiment, Run]]:
        """Return every run with its experiment."""
        return [(experiment, run) for experiment in self.experiments for run in experiment.runs]


def experiment_folder(root: Path, experiment: Experiment) -> Path:
    """Return where an experiment lies."""
    return (root / ".trash" if experiment.deleted else root) / experiment.experiment_id


def write_store(store: Store, root: Path) -> None:
    """Write a store into a folder, which is made if need be, byte for byte as MLflow 3 does."""
    root.mkdir(parents=True, exist_ok=True)
    (root / ".trash").mkdir(exist_ok=True)
    for experiment in store.experiments:
        folder = experiment_folder(root, experiment)
        location = (root / experiment.experiment_id).absolute().as_uri()
        document = {
            "artifact_location": location,
            "creation_time": experiment.creation_time,
            "experiment_id": experiment.experiment_id,
            "last_update_time": experiment.last_update_time,
            "lifecycle_stage": _stage(experiment.deleted),
            "name": experiment.name,
        }
        write_meta(folder, {name: value for name, value in document.items() if value is not None})
        _write_values(folder / "tags", experiment.tags)
        for run in experiment.runs:
            _write_run(folder, experiment.experiment_id, location, run)


def one_run(root: Path, **fields: Any) -> Path:
    """Write a store with one run in experiment 1; return the run's folder."""
    run = Run(**{"run_id": RUN_ID, "name": "a run", **fields})
    write_store(Store(experiments=(Experiment(experiment_id="1", name="one", runs=(run,)),)), root)
    return root / "1" / run.run_id


def write_meta(folder: Path, document: Mapping[str, Any]) -> None:
    """Write a meta.yaml with MLflow's settings."""
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.dump(dict(document), Dumper=yaml.CSafeDumper, default_flow_style=False, allow_unicode=True)
    (folder / "meta.yaml").write_bytes(text.encode("utf-8"))


def _write_run(experiment: Path, experiment_id: str, location: str, run: Run) -> None:
    folder = experiment / run.run_id
    document: dict[str, Any] = {
        "artifact_uri": f"{location}/{run.run_id}/artifacts",
        "deleted_time": run.deleted_time,
        "end_time": run.end_time,
        "entry_point_name": "",
        "experiment_id": experiment_id,
        "lifecycle_stage": _stage(run.deleted),
        "run_id": run.run_id,
        "run_uuid": run.run_id,
        "source_name": "",
        "source_type": 4,
        "source_version": "",
        "start_time": run.start_time,
        "status": STATUSES.index(run.status) + 1,
        "tags": [],
        "user_id": run.user_id,
    }
    write_meta(folder, document if run.name is None else {**document, "run_name": run.name})
    for name in ("metrics", "params", "artifacts"):
        (folder / name).mkdir(exist_ok=True)
    _write_values(folder / "params", run.params)
    _write_values(folder / "tags", run.tags)
    for point in run.metrics:
        dataset = "" if point.dataset is None else " {} {}".format(*point.dataset)
        path = folder / "metrics" / point.key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(f"{point.timestamp} {point.value} {point.step}{dataset}\n")
    for path_below, data in run.artifacts.items():
        path = folder / "artifacts" / path_below
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for each in run.inputs:
        _write_input(experiment, folder, each)


def _write_input(experiment: Path, run: Path, each: DatasetInput) -> None:
    dataset = each.dataset
    document = {
        "digest": dataset.digest,
        "name": dataset.name,
        "profile": dataset.profile,
        "schema": dataset.schema,
        "source": dataset.source,
        "source_type": dataset.source_type,
    }
    write_meta(experiment / "datasets" / dataset.folder, document)
    edge = {
        "destination_id": dataset.folder,
        "destination_type": "RUN",
        "source_id": dataset.folder,
        "source_type": "DATASET",
        "tags": dict(each.tags),
    }
    write_meta(run / "inputs" / _md5(dataset.folder, run.name), edge)


def _write_values(folder: Path, values: Mapping[str, str]) -> None:
    for key, value in values.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value.encode("utf-8"))


def _stage(deleted: bool) -> str:
    return "deleted" if deleted else "active"


def _md5(*texts: str) -> str:
    return hashlib.md5("".join(texts).encode("utf-8"), usedforsecurity=False).hexdigest()


# What MLflow lets one use as a key, and what it lets one write as a value, with everything that is awkward in either.
_KEY_LETTERS = "aZ09_-. :éßжλ漢"
_VALUE_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
_ODD_VALUES = st.sampled_from(
    [
        "",
        " ",
        "123",
        "0123",
        "1e5",
        "no",
        "null",
        "~",
        "2022-01-01",
        "a\nb\n",
        "a\r\nb",
        "\u2028",
        "x" * 6000,
        "#",
        "'\"",
    ]
)
_KEY_PART = st.text(_KEY_LETTERS, min_size=1, max_size=12).filter(
    # MLflow takes no key that begins with two dots, nor ``c:`` behind a proxy that reads it as the scheme of a URL.
    lambda part: part == part.strip() and part.strip(".") != "" and not part.startswith("..") and part[1:2] != ":"
)
_ODD_FILE_NAMES = ("a b.txt", "#1", "%41", "what?.bin", "ünï-漢.txt", "a&b=c", "100%", "semi;colon", "plus+", "MLmodel")
_FILE_PART = st.one_of(st.sampled_from(_ODD_FILE_NAMES), _KEY_PART)
_TIMES = st.integers(0, 4_000_000_000_000)


def values() -> st.SearchStrategy[str]:
    """Make param and tag values of up to 6000 characters."""
    return st.one_of(_VALUE_TEXT, _ODD_VALUES)


def _up_to(length: int) -> st.SearchStrategy[str]:
    return values().filter(lambda text: len(text) <= length)


def _paths(part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(part, min_size=1, max_size=3).map("/".join)


def _without_prefixes(found: Mapping[str, T]) -> dict[str, T]:
    """Keep the keys that can all be files: none lies below another."""
    kept: dict[str, T] = {}
    for key in sorted(found):
        if not any(key.startswith(other + "/") for other in kept):
            kept[key] = found[key]
    return kept


def _keyed(part: st.SearchStrategy[str], value: st.SearchStrategy[T], size: int) -> st.SearchStrategy[dict[str, T]]:
    return st.dictionaries(_paths(part), value, max_size=size).map(_without_prefixes)


def keyed_values(size: int = 3) -> st.SearchStrategy[dict[str, str]]:
    """Make params or tags."""
    return _keyed(_KEY_PART, values(), size)


def write_values(folder: Path, found: Mapping[str, str]) -> None:
    """Write params or tags into a folder, a file each."""
    _write_values(folder, found)


@st.composite
def _points(draw: st.DrawFn) -> tuple[Point, ...]:
    histories = draw(
        _keyed(
            _KEY_PART,
            st.lists(
                st.builds(
                    Point,
                    key=st.just(""),
                    value=st.floats(),
                    timestamp=_TIMES,
                    step=st.one_of(st.integers(-3, 3), st.integers(-(2**40), 2**40)),
                    dataset=st.none() | st.tuples(_KEY_PART, st.text("0123456789abcdef", min_size=8, max_size=8)),
                ),
                min_size=1,
                max_size=5,
            ),
            3,
        )
    )
    points: list[Point] = []
    for key, history in histories.items():
        again = draw(st.lists(st.sampled_from(history), max_size=2))
        points += [
            Point(key=key, value=p.value, timestamp=p.timestamp, step=p.step, dataset=p.dataset)
            for p in (*history, *again)
        ]
    return tuple(points)


@st.composite
def _runs(draw: st.DrawFn, run_id: str, parents: Iterable[str], datasets: tuple[Dataset, ...]) -> Run:
    name = draw(st.none() | _up_to(250).filter(bool))
    tags = draw(_keyed(_KEY_PART, values() | st.just("t" * 8000), 3))
    if name is not None:
        tags[RUN_NAME_TAG] = name
    if parent := draw(st.none() | st.sampled_from([None, *parents])):
        tags[PARENT_TAG] = parent
    inputs = draw(st.lists(st.sampled_from(datasets), unique=True, max_size=2)) if datasets else []
    deleted = draw(st.booleans())
    return Run(
        run_id=run_id,
        name=name,
        user_id=draw(_up_to(250)),
        status=draw(st.sampled_from(STATUSES)),
        start_time=draw(_TIMES),
        end_time=draw(st.none() | _TIMES),
        deleted=deleted,
        deleted_time=draw(_TIMES) if deleted else None,
        params=draw(_keyed(_KEY_PART, values(), 3)),
        tags=_without_prefixes(tags),
        metrics=draw(_points()),
        artifacts=draw(_keyed(_FILE_PART, st.binary(max_size=200), 4)),
        inputs=tuple(
            DatasetInput(dataset=each, tags=draw(st.dictionaries(_KEY_PART, _up_to(500), max_size=2)))
            for each in inputs
        ),
    )


_DATASETS = st.lists(
    st.builds(
        Dataset,
        name=_VALUE_TEXT.filter(bool),
        digest=st.text("0123456789abcdef", min_size=1, max_size=8),
        source_type=_KEY_PART,
        source=values(),
        schema=st.none() | values(),
        profile=st.none() | values(),
    ),
    unique_by=lambda dataset: dataset.folder,
    max_size=2,
).map(tuple)


@st.composite
def stores(draw: st.DrawFn, max_experiments: int = 3, max_runs: int = 4) -> Store:
    """Make stores with odd keys, values and file names, nested and deleted runs, repeated and special points.

    Within what MLflow takes: a server can hold every one of them. Names of experiments are unique, and a run's tag
    ``mlflow.runName`` is its name.
    """
    names = draw(st.lists(_up_to(250).filter(str.strip), min_size=1, max_size=max_experiments, unique=True))
    experiments: list[Experiment] = []
    seen: list[str] = []
    for number, name in enumerate(names):
        datasets = draw(_DATASETS)
        runs: list[Run] = []
        for _ in range(draw(st.integers(0, max_runs))):
            run_id = draw(st.uuids().map(lambda each: each.hex).filter(lambda each: each not in seen))
            runs.append(draw(_runs(run_id, tuple(seen), datasets)))
            seen.append(run_id)
        experiments.append(
            Experiment(
                experiment_id=str(number),
                name=name,
                deleted=number > 0 and draw(st.booleans()),
                creation_time=draw(st.none() | _TIMES),
                last_update_time=draw(st.none() | _TIMES),
                tags=draw(_keyed(_KEY_PART, _up_to(5000), 2)),
                runs=tuple(runs),
            )
        )
    return Store(experiments=tuple(experiments))
