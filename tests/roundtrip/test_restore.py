"""The law of restoring: export, restore, export again, and every row and every byte is the same."""

from __future__ import annotations

import math
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from tests.contracts.source_contract import CHILD, PARENT, example
from tests.support.corpora import DATABASES, store_path
from tests.support.databases import RUN, PostgresServer, engine_of, fill, make_database
from tests.support.mlflow_server import running_server
from tests.support.mlruns import Store, stores, write_store
from tests.support.restoring import content, export, restore

MakeUri = Callable[[], str]


@pytest.fixture
def uris(tmp_path: Path, postgres: PostgresServer) -> dict[str, MakeUri]:
    numbers = iter(range(100))
    return {"sqlite": lambda: f"sqlite:///{tmp_path / f'{next(numbers)}.db'}", "postgresql": postgres.new_database}


def bench_database(uri: str) -> str:
    """Fill a database at the head with rows of every table that a run may have."""
    make_database(uri)
    fill(uri)
    return uri


@pytest.mark.parametrize(
    ("first", "second"), [("sqlite", "sqlite"), ("sqlite", "postgresql"), ("postgresql", "sqlite")]
)
def test_every_row_comes_back(first: str, second: str, uris: dict[str, MakeUri], tmp_path: Path) -> None:
    archive = export(bench_database(uris[first]()), tmp_path / "a.mlfa", Selection(artifacts=False))
    target = uris[second]()
    restore(archive, target)
    again = export(target, tmp_path / "b.mlfa", Selection(artifacts=False))
    assert content(again) == content(archive)
    assert content(archive)["metrics"]


@pytest.mark.parametrize("second", ["sqlite", "postgresql"])
@pytest.mark.parametrize(("corpus", "store"), DATABASES)
def test_corpora(corpus: str, store: str, second: str, uris: dict[str, MakeUri], tmp_path: Path) -> None:
    path = tmp_path / "source.db"
    shutil.copyfile(store_path(corpus, store), path)
    archive = export(str(path), tmp_path / "a", Selection(artifacts=False))
    target = uris[second]()
    restore(archive, target)
    again = content(export(target, tmp_path / "b", Selection(artifacts=False)))
    before = content(archive)
    # Orphans stay behind, told in gaps; the workspace is new in the schema since.
    for name in set(TABLES) - {"gaps", "workspaces", "blobs", "fingerprints"}:
        assert again[name] == before[name], name


@pytest.mark.parametrize("first", ["sqlite", "postgresql"])
def test_artifacts_move_to_the_new_root(first: str, uris: dict[str, MakeUri], tmp_path: Path) -> None:
    write_store(example(""), tmp_path / "mlruns")
    original = export(str(tmp_path / "mlruns"), tmp_path / "o.mlfa")
    one, two = uris[first](), uris["sqlite"]()
    restore(original, one, artifact_root=str(tmp_path / "one"))
    archive = export(one, tmp_path / "a.mlfa")
    shutil.move(tmp_path / "one", tmp_path / "elsewhere")
    restore(archive, two, artifact_root=f"file:{tmp_path / 'two'}")
    again = export(two, tmp_path / "b.mlfa")
    assert content(again, moved=True) == content(archive, moved=True)
    assert content(archive)["artifacts"] == content(original)["artifacts"]
    assert sum(content(archive)["artifacts"].values()) == 3
    with open_archive(again) as opened:
        rows = opened.table("runs", columns=["run_id", "artifact_uri"]).to_pylist()
    assert {row["run_id"]: row["artifact_uri"] for row in rows}[
        PARENT
    ] == f"file:{tmp_path / 'two'}/1/{PARENT}/artifacts"


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(store=stores())
def test_any_store(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    """From the second export on nothing changes; the first, of a file store, may have what SQL cannot hold."""
    folder = tmp_path_factory.mktemp("any")
    write_store(store, folder / "mlruns")
    original = export(str(folder / "mlruns"), folder / "o", Selection(artifacts=False))
    restore(original, f"sqlite:///{folder / '1.db'}")
    archive = export(str(folder / "1.db"), folder / "a", Selection(artifacts=False))
    restore(archive, f"sqlite:///{folder / '2.db'}")
    again = export(str(folder / "2.db"), folder / "b", Selection(artifacts=False))
    assert content(again) == content(archive)
    before, after = content(original), content(archive)
    for name in ("params", "tags", "experiment_tags", "dataset_input_tags"):
        assert after[name] == before[name]
    runs = {dict(row)["run_id"]: dict(row) for row in before["runs"]}
    for row in map(dict, after["runs"]):
        for column in ("run_name", "end_time", "lifecycle_stage", "experiment_id"):
            assert row[column] == runs[row["run_id"]][column]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_real_server_shows_all_of_it(kind: str, uris: dict[str, MakeUri], tmp_path: Path) -> None:
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

    write_store(example(""), tmp_path / "mlruns")
    archive = export(str(tmp_path / "mlruns"), tmp_path / "a.mlfa")
    uri = uris[kind]()
    restore(archive, uri, artifact_root=str(tmp_path / "artifacts"))
    with running_server(tmp_path / "server", backend=uri.replace("postgresql://", "postgresql+psycopg2://")) as server:
        client = MlflowClient(server.uri)
        assert {e.name for e in client.search_experiments(view_type=3)} >= {"one", "two"}
        runs = {run.info.run_id: run for run in client.search_runs(["1", "2"], run_view_type=3)}
        assert len(runs) == 4
        assert runs[CHILD].data.tags["mlflow.parentRunId"] == PARENT
        assert runs[PARENT].info.start_time == 1_000_000
        assert math.isnan(runs[PARENT].data.metrics["m"])
        history = client.get_metric_history(PARENT, "m")
        assert {(point.step, str(point.value)) for point in history} == {(0, "nan"), (-1, "0.5")}
        folder = Path(client.download_artifacts(PARENT, "", str(tmp_path)))
        assert (folder / "a b.txt").read_bytes() == b"spaces"
        assert (folder / "deep/er/empty").read_bytes() == b""
        assert (folder / "big.bin").read_bytes() == b"x" * 5000
        made = client.create_experiment("new one")
        assert int(made) > 2
        client.create_run(made)
        assert urllib.request.urlopen(f"{server.uri}/health").status == 200  # noqa: S310 - our own server


def schema_of(uri: str) -> Any:
    """Return keys, indexes and constraints as PostgreSQL itself describes them."""
    engine = engine_of(uri)
    with engine.connect() as connection:
        found = [
            connection.exec_driver_sql(query).fetchall()
            for query in (
                (
                    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
                    "WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
                ),
                "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
            )
        ]
    engine.dispose()
    return found


def test_the_schema_is_exactly_that_of_mlflow(postgres: PostgresServer, tmp_path: Path) -> None:
    """Keys and indexes that are dropped for the load come back as they were."""
    plain, filled = postgres.new_database(), postgres.new_database()
    make_database(plain)
    source = f"sqlite:///{tmp_path / 's.db'}"
    restore(export(bench_database(source), tmp_path / "a", Selection(artifacts=False)), filled)
    assert schema_of(filled) == schema_of(plain)


def test_latest_metrics_are_rebuilt(tmp_path: Path) -> None:
    source = bench_database(f"sqlite:///{tmp_path / 's.db'}")
    restore(export(source, tmp_path / "a", Selection(artifacts=False)), f"sqlite:///{tmp_path / 't.db'}")
    query = "SELECT run_uuid, key, value, timestamp, step, is_nan FROM latest_metrics ORDER BY 1, 2"
    found = []
    for name in ("s.db", "t.db"):
        engine = engine_of(f"sqlite:///{tmp_path / name}")
        with engine.connect() as connection:
            found.append([tuple(row) for row in connection.exec_driver_sql(query)])
        engine.dispose()
    assert found[0] == found[1]
    assert any(row[0] == RUN for row in found[0])
