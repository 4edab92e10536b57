"""A database as a site: stages, soft deletes and what brings back, each of one object and no other."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mlflow_archive.errors import SelectionError, ServerError, TargetError
from mlflow_archive.flow.report import Quiet
from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring.database_site import DatabaseSite
from mlflow_archive.retiring.site import Address, Foundation
from tests.retiring.test_rows_of_a_database import Tables, digest

TABLES: Tables = {
    "runs": ("run_uuid, lifecycle_stage, deleted_time", [("r", "active", None), ("s", "deleted", 5), ("u", "odd", 7)]),
    "params": ("run_uuid, value", [("r", 1), ("s", 2), ("s", 3)]),
    "logged_models": (
        "model_id, lifecycle_stage, last_updated_timestamp_ms, source_run_id",
        [("m", "active", 1, "x"), ("n", "deleted", 2, "x")],
    ),
    "trace_info": ("request_id, status", [("t", "OK"), ("v", "OK")]),
    "spans": ("trace_id, content", [("t", "a"), ("v", "b")]),
    "experiments": ("experiment_id, artifact_location", [(0, "file:///a"), (1, None), (2, ""), (3, "s3://b/3")]),
    "issues": ("source_run_id", []),
}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "a b?.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        for name, (columns, rows) in TABLES.items():
            connection.execute(f"CREATE TABLE {name} ({columns})")
            for row in rows:
                connection.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
    return path


@pytest.fixture
def site(database: Path) -> Iterator[DatabaseSite]:
    with closing(site_at(database)) as opened:
        yield opened


def site_at(path: Path) -> DatabaseSite:
    reading = {"artifact_map": (), "artifacts_destination": None, "progress": Quiet()}
    return DatabaseSite(f"sqlite:///{str(path).replace('?', '%3F')}", reading)


def rows(path: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608


def run(name: str) -> Address:
    return Address(kind=RUN, id=name)


def model(name: str, updated_ms: int | None = None) -> Address:
    return Address(kind=LOGGED_MODEL, id=name, updated_ms=updated_ms)


def test_stages_are_of_the_objects_that_are_there_by_kind(site: DatabaseSite) -> None:
    traces = [Address(kind=TRACE, id=name) for name in ("t", "none")]
    assert site.stages([run("r"), run("s"), run("u"), run("m"), model("m"), model("n"), *traces]) == {
        (RUN, "r"): "active",
        (RUN, "s"): "deleted",
        (RUN, "u"): "active",
        (LOGGED_MODEL, "m"): "active",
        (LOGGED_MODEL, "n"): "deleted",
        (TRACE, "t"): "active",
    }
    assert site.stages([]) == {}


def test_a_run_is_hidden_and_shown_alone_and_twice_as_once(site: DatabaseSite, database: Path) -> None:
    before_ms = time.time_ns() // 1_000_000
    for _ in range(2):
        site.hide(run("r"))
        site.hide(run("s"))
    after_ms = time.time_ns() // 1_000_000
    [hidden, *others] = rows(database, "runs")
    assert (hidden[:2], others) == (("r", "deleted"), [("s", "deleted", 5), ("u", "odd", 7)])
    assert before_ms <= hidden[2] <= after_ms
    for _ in range(2):
        site.show(run("r"))
    site.show(run("u"))
    assert rows(database, "runs") == TABLES["runs"][1]


def test_a_model_comes_back_with_the_time_at_which_it_was_changed_last(site: DatabaseSite, database: Path) -> None:
    before_ms = time.time_ns() // 1_000_000
    site.hide(model("m"))
    site.hide(model("n"))
    [hidden, other] = rows(database, "logged_models")
    assert (hidden[:2], other) == (("m", "deleted"), ("n", "deleted", 2, "x"))
    assert before_ms <= hidden[2] <= time.time_ns() // 1_000_000
    site.show(model("m", 1))
    site.show(model("m", 9))
    site.show(Address(kind=TRACE, id="t"))
    assert rows(database, "logged_models") == TABLES["logged_models"][1]
    assert rows(database, "trace_info") == TABLES["trace_info"][1]


def test_rows_go_for_good_in_one_transaction_or_stay_with_a_reason(site: DatabaseSite, database: Path) -> None:
    assert site.purge(run("s"), {"params": 1}) == "it has 2 rows of params, and the archive 1"
    assert site.purge(run("r"), {"params": 1}) == "it is not deleted any more"
    assert [rows(database, name) for name in ("runs", "params")] == [TABLES[name][1] for name in ("runs", "params")]
    assert site.purge(run("s"), {"params": 2}) == ""
    assert rows(database, "params") == [("r", 1)]
    assert rows(database, "runs") == [("r", "active", None), ("u", "odd", 7)]


def test_a_trace_goes_as_it_was_seen_or_stays(site: DatabaseSite, database: Path) -> None:
    seen = site.sums(["t", "v", "none"])
    assert seen == {
        "t": {"trace_info": (1, digest("t", "OK")), "spans": (1, digest("t", "a"))},
        "v": {"trace_info": (1, digest("v", "OK")), "spans": (1, digest("v", "b"))},
        "none": {"trace_info": (0, 0), "spans": (0, 0)},
    }
    assert site.purge_trace("t", seen["v"]) == "it has changed while it was compared: trace_info, spans"
    assert rows(database, "spans") == TABLES["spans"][1]
    assert site.purge_trace("t", seen["t"]) == ""
    assert (rows(database, "spans"), rows(database, "trace_info")) == ([("v", "b")], [("v", "OK")])
    assert site.sums([]) == {}


def test_where_experiments_keep_their_files(site: DatabaseSite, database: Path) -> None:
    assert site.roots() == ["file:///a", "s3://b/3"]
    assert (site.folder, site.kind, site.unseen) == (database.parent, "database", frozenset())
    assert site.entangled((RUN,), None) == {}


def test_what_versions_stand_on_is_what_the_open_source_says(site: DatabaseSite) -> None:
    found = SimpleNamespace(runs=frozenset({"r"}), logged_models=frozenset({"m"}), more=1)
    source = cast("Any", SimpleNamespace(registered=lambda: found))
    expected = Foundation(runs=frozenset({"r"}), logged_models=frozenset({"m"}))
    assert site.foundation([run("r")], source) == expected


def test_a_database_that_is_not_there_is_not_made_and_one_that_refuses_is_named(tmp_path: Path, database: Path) -> None:
    with closing(site_at(tmp_path / "none.db")) as gone:
        with pytest.raises(TargetError) as absent:
            gone.stages([run("r")])
        assert str(absent.value) == f"{gone.uri} cannot be written: unable to open database file"
    assert not (tmp_path / "none.db").exists()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("ALTER TABLE logged_models RENAME TO models")
        connection.execute("CREATE TRIGGER no BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'held by law'); END")
    with closing(site_at(database)) as site:
        with pytest.raises(TargetError) as missing:
            site.hide(model("m"))
        assert str(missing.value) == f"{site.uri} cannot be written: no such table: logged_models"
        with pytest.raises(TargetError) as refused:
            site.hide(run("r"))
        assert str(refused.value) == f"{site.uri} refused: held by law"
    far = DatabaseSite("postgresql://ada:secret@127.0.0.1:1/x", {})
    with closing(far), pytest.raises(ServerError) as out_of_reach:
        far.roots()
    assert str(out_of_reach.value).startswith("postgresql://127.0.0.1:1/x cannot be reached: ")
    assert far.folder is None


@pytest.mark.parametrize(
    ("uri", "driver"),
    [
        ("postgresql://h/x", "postgresql+psycopg2"),
        ("postgresql+psycopg2://h/x", "postgresql+psycopg2"),
        ("mysql://h/x", "mysql+pymysql"),
        ("mysql+pymysql://h/x", "mysql+pymysql"),
        ("mariadb://h/x", "mysql+pymysql"),
    ],
)
def test_by_which_driver_a_database_is_asked(uri: str, driver: str) -> None:
    with closing(DatabaseSite(uri, {})) as site:
        assert site._engine.url.drivername == driver
        assert (site._engine.url.host, site._engine.url.database, site.folder) == ("h", "x", None)


def test_nothing_is_purged_where_a_newer_schema_may_hold_more(
    site: DatabaseSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    facts = SimpleNamespace(newer_schema=True, schema_revision="f00")
    source = SimpleNamespace(facts=lambda: facts, close=lambda: closed.append("closed"))
    monkeypatch.setattr(DatabaseSite, "source", lambda _: source)
    with pytest.raises(SelectionError) as caught:
        site.check_schema()
    assert str(caught.value) == (
        f"{site.uri} has the schema f00, which this version does not know: what it keeps beside is in no archive, so "
        "that nothing is purged there"
    )
    facts.newer_schema = False
    site.check_schema()
    assert closed == ["closed"] * 2
