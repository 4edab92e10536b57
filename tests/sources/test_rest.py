"""The REST source against a real server: every value, and what a busy or broken server does to it."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from mlflow import MlflowClient
from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import ArtifactUnreadableError, Chunk, nothing_known
from mlflow_archive.flow.copy import chunks_of
from mlflow_archive.flow.report import Quiet
from mlflow_archive.format import gaps
from mlflow_archive.http.retry import RetryPolicy
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.rest import RestSource
from mlflow_archive.sources.rest.runs import paging
from tests.support.bad_network import bad_network
from tests.support.mlflow_server import MlflowServer, running_server

QUICK = RetryPolicy(first_delay=0.001, longest_delay=0.002)
BIG = bytes(range(256)) * 20_000


class Read:
    """Everything a source yields, by table; artifact bytes, or the code of what went wrong, by (run, path)."""

    def __init__(self, uri: str, selection: Selection, known: Any = nothing_known) -> None:
        self.chunks: list[Chunk] = []
        with closing(RestSource(TrackingSession(uri, retry=QUICK))) as source:
            self.facts = source.facts()
            for shard in source.plan(selection, Quiet()):
                self.chunks += chunks_of(source, shard, known)
            files = [file for chunk in self.chunks for file in chunk.artifacts]
            self.bytes = {(file.owner_id, file.path): _content(file) for file in files}

    def rows(self, name: str) -> list[dict[str, Any]]:
        tables = [chunk.tables[name] for chunk in self.chunks if name in chunk.tables]
        return list(pa.concat_tables(tables).to_pylist()) if tables else []

    def run_ids(self) -> list[str]:
        return [row["run_id"] for row in self.rows("runs")]


def _content(file: Any) -> bytes | str:
    try:
        with file.open() as stream:
            data: bytes = stream.read()
            return data
    except ArtifactUnreadableError as exc:
        return exc.code


def _ms(value: Any) -> int | None:
    return None if value is None else round(value.timestamp() * 1000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server whose database these tests write to behind its back."""
    with running_server(tmp_path_factory.mktemp("rest")) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: MlflowServer) -> MlflowClient:
    return MlflowClient(server.uri)


def _sql(server: MlflowServer, *statements: str) -> None:
    with closing(sqlite3.connect(server.database, timeout=30)) as database, database:
        for statement in statements:
            database.execute(statement)


@pytest.fixture(scope="module")
def odd(server: MlflowServer, client: MlflowClient) -> tuple[str, str]:
    """(experiment, run) with odd values of every kind."""
    experiment = client.create_experiment("odd ✓ /x", tags={"a b": "ü", "long": "x" * 5000})
    run = client.create_run(experiment, start_time=1_700_000_000_123, run_name="näme", tags={"mlflow.user": "me"})
    run_id = run.info.run_id
    values = [0.1, math.nan, math.inf, -math.inf, -0.0, 1e-320, 3.0]
    metrics = [Metric("m/ü x", v, 1_700_000_000_000 + n, n - 3) for n, v in enumerate(values)]
    metrics += [Metric("rep", v, 5, 7) for v in (1.0, 2.0, math.nan, 0.0)]
    tags = [RunTag("big", "é" * 7999), RunTag("empty", "")]
    client.log_batch(run_id, metrics, [Param("p", "1\n2"), Param("e", "")], tags)
    source = HTTPDatasetSource("https://x/y.csv")
    entity = MetaDataset(source, name="data", digest="d1")._to_mlflow_entity()
    client.log_inputs(run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", "train")])])
    history = '[{"artifact_path": "model", "run_id": "x"}, {"artifact_path": "elsewhere", "model_id": "m-1"}]'
    client.set_tag(run_id, "mlflow.log-model.history", history)
    root = server.artifacts / experiment / run_id / "artifacts"
    for name, data in ARTIFACTS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    client.set_terminated(run_id, "FAILED", 1_700_000_100_456)
    client.delete_run(run_id)
    client.delete_experiment(experiment)
    return experiment, run_id


ARTIFACTS = {
    "plain.txt": b"hello",
    "empty": b"",
    "a b/c d.txt": b"spaces",
    "q?x.txt": b"question",
    "ünï/✓.bin": b"unicode",
    "big.bin": BIG,
    "50%.txt": b"percent",
}


def test_every_value_is_what_the_server_answers(
    server: MlflowServer, client: MlflowClient, odd: tuple[str, str]
) -> None:
    experiment_id, run_id = odd
    read = Read(server.uri, Selection(experiments=(experiment_id,)))
    experiment = client.get_experiment(experiment_id)
    [row] = read.rows("experiments")
    assert (row["name"], row["lifecycle_stage"]) == (experiment.name, "deleted")
    assert (_ms(row["creation_time"]), row["artifact_location"]) == (
        experiment.creation_time,
        experiment.artifact_location,
    )
    assert {r["key"]: r["value"] for r in read.rows("experiment_tags")} == experiment.tags

    run = client.get_run(run_id)
    [row] = read.rows("runs")
    for name in ("run_name", "user_id", "status", "lifecycle_stage", "artifact_uri", "experiment_id"):
        assert row[name] == getattr(run.info, name), name
    assert (_ms(row["start_time"]), _ms(row["end_time"])) == (1_700_000_000_123, 1_700_000_100_456)
    assert row["run_uuid"] == run_id
    assert {r["key"]: r["value"] for r in read.rows("params")} == run.data.params
    assert {r["key"]: r["value"] for r in read.rows("tags")} == run.data.tags

    for key in ("m/ü x", "rep"):
        expected = [(m.step, m.timestamp, repr(m.value)) for m in client.get_metric_history(run_id, key)]
        found = [(r["step"], _ms(r["timestamp"]), repr(r["value"])) for r in read.rows("metrics") if r["key"] == key]
        assert sorted(found) == sorted(expected)
        assert len(found) == (7 if key == "m/ü x" else 4)

    [dataset] = read.rows("datasets")
    original = run.inputs.dataset_inputs[0].dataset
    for name in ("name", "digest", "source_type", "source", "schema", "profile"):
        assert dataset[name] == getattr(original, name), name
    assert [(r["key"], r["value"]) for r in read.rows("dataset_input_tags")] == [("mlflow.data.context", "train")]

    assert read.bytes == {(run_id, name): data for name, data in ARTIFACTS.items()}
    assert [(r["path"], r["code"]) for r in read.rows("gaps")] == [("model", gaps.ARTIFACT_MISSING)]
    assert read.rows("fingerprints") == []
    assert (read.facts.kind, read.facts.uri) == ("rest", server.uri)


def test_names_the_server_takes_for_others_are_gaps(server: MlflowServer, client: MlflowClient) -> None:
    experiment = client.create_experiment("bad names")
    run_id = client.create_run(experiment).info.run_id
    root = server.artifacts / experiment / run_id / "artifacts"
    (root / "d%41").mkdir(parents=True)
    for name in ("a%41b.txt", "aAb.txt", "a#b.txt", "d%41/x"):
        (root / name).write_bytes(b"same!")
    read = Read(server.uri, Selection(experiments=("bad names",)))
    assert read.bytes[run_id, "aAb.txt"] == b"same!"
    assert read.bytes[run_id, "a%41b.txt"] == read.bytes[run_id, "a#b.txt"] == gaps.ARTIFACT_UNREADABLE
    assert [(r["path"], r["code"]) for r in read.rows("gaps")] == [("d%41", gaps.ARTIFACT_LISTING)]
    source = RestSource(
        TrackingSession(server.uri, retry=QUICK), artifact_map=[("mlflow-artifacts:", str(server.artifacts))]
    )
    with closing(source):
        shards = source.plan(Selection(runs=(run_id,)), Quiet())
        chunks = [chunk for shard in shards for chunk in chunks_of(source, shard, nothing_known)]
        found = {file.path: _content(file) for chunk in chunks for file in chunk.artifacts}
    assert found == dict.fromkeys(("a%41b.txt", "aAb.txt", "a#b.txt", "d%41/x"), b"same!")


def test_unchanged_runs_are_left_out(server: MlflowServer, client: MlflowClient) -> None:
    experiment = client.create_experiment("again")
    runs = [client.create_run(experiment).info.run_id for _ in range(3)]
    selection = Selection(experiments=("again",))
    prints = {r["owner_id"]: r["fingerprint"] for r in Read(server.uri, selection).rows("fingerprints")}
    assert set(prints) == set(runs)
    client.set_tag(runs[1], "new", "1")
    assert Read(server.uri, selection, lambda kind, run: prints.get(run)).run_ids() == [runs[1]]


def test_long_histories_are_whole(server: MlflowServer, client: MlflowClient) -> None:
    """One key of more points than an answer holds, among runs that share the key."""
    experiment = client.create_experiment("long")
    runs = [client.create_run(experiment).info.run_id for _ in range(4)]
    sizes = dict(zip(runs, (15_000, 60_001, 15_000, 3), strict=True))
    with closing(sqlite3.connect(server.database, timeout=30)) as database, database:
        for run_id, size in sizes.items():
            points = [("k", n / 7, 1000 + n // 3, n, run_id, 0) for n in range(size)]
            columns = "(key, value, timestamp, step, run_uuid, is_nan)"
            database.executemany(f"INSERT INTO metrics {columns} VALUES (?,?,?,?,?,?)", points)  # noqa: S608
            database.execute(f"INSERT INTO latest_metrics {columns} VALUES (?,?,?,?,?,?)", points[-1])  # noqa: S608
    read = Read(server.uri, Selection(experiments=("long",), artifacts=False))
    found: dict[str, list[int]] = {run_id: [] for run_id in runs}
    for row in read.rows("metrics"):
        found[row["run_id"]].append(row["step"])
    assert {run_id: sorted(steps) for run_id, steps in found.items()} == {
        run_id: list(range(size)) for run_id, size in sizes.items()
    }
    assert read.rows("gaps") == []


def test_a_latest_point_without_history_is_kept_and_told(server: MlflowServer, client: MlflowClient) -> None:
    experiment = client.create_experiment("lost history")
    run_id = client.create_run(experiment).info.run_id
    client.log_metric(run_id, "k", 4.5, timestamp=77, step=9)
    _sql(server, f"DELETE FROM metrics WHERE run_uuid = '{run_id}'")  # noqa: S608
    read = Read(server.uri, Selection(experiments=("lost history",)))
    assert [(r["step"], _ms(r["timestamp"]), r["value"]) for r in read.rows("metrics")] == [(9, 77, 4.5)]
    assert [(r["owner_id"], r["path"], r["code"]) for r in read.rows("gaps")] == [(run_id, "k", gaps.METRIC_UNREADABLE)]
    assert read.rows("fingerprints") == []


@pytest.mark.parametrize("shared_start", [False, True])
def test_paging_while_runs_come_and_go(
    server: MlflowServer, client: MlflowClient, monkeypatch: pytest.MonkeyPatch, shared_start: bool
) -> None:
    """Runs that are there all the time come exactly once, also when many share one start time."""
    name = f"busy {shared_start}"
    experiment = client.create_experiment(name)
    monkeypatch.setattr(paging, "PAGE_RUNS", 10)
    start = 1_600_000_000_000
    runs = [client.create_run(experiment, start_time=start + (0 if shared_start else n)) for n in range(60)]
    ids = sorted(run.info.run_id for run in runs) if shared_start else [run.info.run_id for run in runs]
    doomed = ids[2:8]
    stays = [run_id for run_id in ids if run_id not in doomed]
    seen: list[str] = []
    with closing(RestSource(TrackingSession(server.uri, retry=QUICK))) as source:
        for number, shard in enumerate(source.plan(Selection(experiments=(name,), artifacts=False), Quiet())):
            for chunk in chunks_of(source, shard, nothing_known):
                seen += chunk.tables["runs"]["run_id"].to_pylist() if "runs" in chunk.tables else []
            if number == 2:
                names = ",".join(f"'{run_id}'" for run_id in doomed)
                _sql(
                    server, f"DELETE FROM tags WHERE run_uuid IN ({names})",  # noqa: S608
                    f"DELETE FROM runs WHERE run_uuid IN ({names})",  # noqa: S608
                )  # fmt: skip
            client.create_run(experiment, start_time=start + (0 if shared_start else 10 * number))
    assert len(seen) == len(set(seen))
    assert [run_id for run_id in stays if run_id not in seen] == []


def test_a_writer_at_work(server: MlflowServer, client: MlflowClient) -> None:
    experiment = client.create_experiment("writer")
    before = [client.create_run(experiment).info.run_id for _ in range(20)]
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            client.log_metric(client.create_run(experiment).info.run_id, "k", 1.0)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = Read(server.uri, Selection(experiments=("writer",))).run_ids()
    finally:
        stop.set()
        writer.join()
    assert len(found) == len(set(found))
    assert set(before) <= set(found)


@pytest.fixture(scope="module")
def broken(server: MlflowServer, client: MlflowClient) -> Iterator[tuple[str, list[str], list[str]]]:
    """(experiment, good runs, runs the server cannot convert); MLflow reads one row ahead and converts that too."""
    experiment = client.create_experiment("broken")
    ids = [client.create_run(experiment, start_time=1000 + n // 3).info.run_id for n in range(12)]
    ids += [client.create_run(experiment, start_time=-5).info.run_id]
    without_user, without_start = [ids[4], ids[6]], ids[10:11]
    _sql(
        server,
        *(f"UPDATE runs SET user_id = NULL WHERE run_uuid = '{run_id}'" for run_id in without_user),  # noqa: S608
        *(f"UPDATE runs SET start_time = NULL WHERE run_uuid = '{run_id}'" for run_id in without_start),  # noqa: S608
    )
    bad = without_user + without_start
    yield experiment, [run_id for run_id in ids if run_id not in bad], bad
    _sql(server, f"UPDATE runs SET user_id = '', start_time = 1 WHERE experiment_id = {experiment}")  # noqa: S608


def test_runs_the_server_cannot_answer_are_gaps(
    server: MlflowServer,
    client: MlflowClient,
    broken: tuple[str, list[str], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No good run is hidden by a bad one beside it, and each bad one has its own gap."""
    experiment, good, bad = broken
    monkeypatch.setattr(paging, "PAGE_RUNS", 2)
    neighbour = client.create_experiment("beside the broken")
    beside = [client.create_run(neighbour, start_time=1000 + n).info.run_id for n in range(5)]
    read = Read(server.uri, Selection(experiments=(experiment, neighbour), artifacts=False))
    assert sorted(read.run_ids()) == sorted(good + beside)
    places = {"with start time 1001 ms": bad[:1], "with start time 1002 ms": bad[1:2], "without start time": bad[2:]}
    expected = [f"the run whose id begins with {run_id[:8]} {when}" for when, ids in places.items() for run_id in ids]
    lost = read.rows("gaps")
    assert sorted(row["path"] for row in lost) == sorted(expected)
    assert {(r["owner_kind"], r["owner_id"], r["code"]) for r in lost} == {
        ("experiment", experiment, gaps.RUN_UNREADABLE)
    }


def test_a_bad_network_changes_nothing(server: MlflowServer, odd: tuple[str, str]) -> None:
    experiment, run_id = odd
    selection = Selection(experiments=(experiment,))
    good = Read(server.uri, selection)
    with bad_network(server.uri) as network:
        network.faults = {
            "runs/search": ["503", "drop"],
            "get-history": ["429", "cut"],
            "big.bin": ["cut", "drop", "cut"],
            "artifacts?path": ["504"],
            "plain.txt": ["short", "short"],
        }
        bad = Read(network.uri, selection)
        assert not any(faults for faults in network.faults.values())
    for name in ("runs", "params", "tags", "metrics", "datasets", "gaps"):
        assert repr(bad.rows(name)) == repr(good.rows(name))
    assert bad.bytes == good.bytes
    with bad_network(server.uri) as network:
        network.faults = {"plain.txt": ["short"] * 99}
        bad = Read(network.uri, selection)
        assert len(network.faults["plain.txt"]) == 96, "three times the same is no accident"
    assert bad.bytes.pop((run_id, "plain.txt")) == gaps.ARTIFACT_SIZE
    good.bytes.pop((run_id, "plain.txt"))
    assert bad.bytes == good.bytes


def test_a_server_without_bulk_histories(server: MlflowServer, odd: tuple[str, str]) -> None:
    selection = Selection(experiments=(odd[0],), artifacts=False)
    good = Read(server.uri, selection).rows("metrics")
    with bad_network(server.uri) as network:
        network.faults = {"get-history-bulk": ["400"] * 9}
        assert sorted(map(repr, Read(network.uri, selection).rows("metrics"))) == sorted(map(repr, good))


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (
            Selection(experiments=("nothing like it",)),
            "no experiment of .* matches 'nothing like it'; there are .*'Default'",
        ),
        (
            Selection(runs=("0" * 32,)),
            "no run in the selected experiments of .* matches '0000[0-9]*'; there are [0-9a-f]{32}",
        ),
        (Selection(filter_string="metrics.x >"), "does not understand the filter"),
        (Selection(experiments=("odd*",), deleted=False), "deleted ones are left out"),
    ],
)
def test_a_selection_that_matches_nothing(
    server: MlflowServer, odd: tuple[str, str], selection: Selection, message: str
) -> None:
    with pytest.raises(SelectionError, match=message):
        Read(server.uri, selection)


def test_selections(server: MlflowServer, client: MlflowClient) -> None:
    experiment = client.create_experiment("pick")
    ids = [client.create_run(experiment, start_time=1000 + n).info.run_id for n in range(5)]
    client.set_tag(ids[1], "t", "1")
    client.set_tag(ids[2], "t", "1")
    client.delete_run(ids[2])

    def pick(**options: Any) -> list[str]:
        return Read(server.uri, Selection(experiments=("pi?k",), **options)).run_ids()

    assert pick() == ids
    assert pick(since_ms=1001, until_ms=1003) == ids[1:3]
    assert pick(filter_string="tags.t = '1'") == ids[1:3]
    assert pick(filter_string="tags.t = '1'", since_ms=1002) == [ids[2]]
    assert pick(deleted=False) == [ids[0], ids[1], ids[3], ids[4]]
    assert pick(runs=(ids[3],)) == [ids[3]]


def test_files_of_this_machine_are_read_in_place(server: MlflowServer, client: MlflowClient, tmp_path: Path) -> None:
    experiment = client.create_experiment("local", artifact_location=(tmp_path / "store").as_uri())
    run_id = client.create_run(experiment).info.run_id
    folder = tmp_path / "store" / run_id / "artifacts" / "sub"
    folder.mkdir(parents=True)
    (folder / "f#%41").write_bytes(b"1")
    (folder / "round").symlink_to(folder.parent)
    read = Read(server.uri, Selection(experiments=("local",)))
    assert read.bytes == {(run_id, "sub/f#%41"): b"1"}
    assert [r["code"] for r in read.rows("gaps")] == [gaps.ARTIFACT_UNREADABLE]
