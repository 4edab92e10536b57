"""SQL over an archive: every table, of each entity its newest rows; nothing else can be reached."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from mlflow_archive.api.sql import SqlSession
from mlflow_archive.errors import DamagedError, SelectionError
from mlflow_archive.flow.copy import copy
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.cli.conftest import CHILD, PARENT, Command, write_archive
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points, run


@pytest.fixture(scope="module", params=["a.mlfa", "a"])
def twice(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive of two exports, the second with a changed run, a new one and another model of one name."""
    path: Path = tmp_path_factory.mktemp("sql") / request.param
    write_archive(path)
    first = chunk(experiments=[experiment("1", "churn")], registered_models=[{"name": "m", "workspace": "w"}])
    changed = chunk(
        [artifact(PARENT, "new", b"new")],
        runs=[run(PARENT, "1", run_name="changed"), run("f" * 32, "1", run_name="new")],
        params=pairs(PARENT, {"lr": "9"}),
        metrics=points(PARENT, "loss", [7.0, float("nan")]),
    )
    sink = ArchiveSink(path, ArchiveOptions(append=True), tool="test", clock_ms=lambda: 1655007510999)
    copy(ChunkSource((0, [first]), (1, [changed])), sink, jobs=1)
    return path


def test_every_table_holds_what_the_reader_reads(twice: Path) -> None:
    with open_archive(twice) as archive, SqlSession(archive) as session:
        for name, table in TABLES.items():
            found = session.query(f"select * from {name}")  # noqa: S608 - names of ours
            assert repr(sorted(map(repr, found.to_pylist()))) == repr(
                sorted(map(repr, archive.table(name).to_pylist()))
            ), name
            assert found.column_names == list(table.column_names)


def test_latest_metrics_is_the_latest_point(twice: Path) -> None:
    with open_archive(twice) as archive, SqlSession(archive) as session:
        rows = session.query("select key, step, isnan(value) as gone from latest_metrics where run_id like '0b%'")
    assert rows.to_pylist() == [{"key": "loss", "step": 1, "gone": True}]


@pytest.mark.parametrize(
    "statement",
    [
        "select * from read_csv('/etc/hostname')",
        "select * from '/etc/hostname'",
        "copy (select 1) to '/tmp/mlflow-archive-test.csv'",
        "install httpfs",
        "load httpfs",
        "attach '/tmp/mlflow-archive-test.db'",
        "set enable_external_access = true",
        "select * from nonsense",
        "select * from PARENT",
        "selec",
    ],
)
def test_what_a_query_cannot_do(twice: Path, statement: str) -> None:
    with (
        open_archive(twice) as archive,
        SqlSession(archive) as session,
        pytest.raises(SelectionError, match="cannot be"),
    ):
        session.query(statement)


def test_a_damaged_page_is_no_answer(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a")
    part = next((path / "tables" / "params").glob("*.parquet"))
    data = bytearray(part.read_bytes())
    data[40] ^= 1
    part.write_bytes(data)
    with (
        open_archive(path) as archive,
        SqlSession(archive) as session,
        pytest.raises(DamagedError, match="E034"),
    ):
        session.query("select * from params")


def test_command(cli: Command, twice: Path, tmp_path: Path) -> None:
    query = "select run_name, start_time, length(run_id) as n from runs order by 1 limit 2"
    assert cli("sql", twice, query).out == (
        "run_name  start_time            n\n"
        "changed   2022-06-12 03:34:38  32\n"
        "child     2022-06-12 03:34:40  32\n"
    )  # fmt: skip
    first = json.loads(cli("sql", twice, query, "--json").out.splitlines()[0])
    assert first == {"run_name": "changed", "start_time": "2022-06-12T03:34:38.844Z", "n": 32}
    assert cli("sql", twice, query, "--csv").out.splitlines()[1] == "changed,2022-06-12T03:34:38.844Z,32"
    assert cli("sql", twice, query, "--parquet", tmp_path / "x.parquet").code == 0
    assert pq.read_table(tmp_path / "x.parquet").num_rows == 2
    ran = cli("sql", twice, "select nonsense")
    assert (ran.code, ran.out) == (2, "")
    assert "the query cannot be answered" in ran.err


def test_others_read_the_directory_form_without_us(tmp_path: Path) -> None:
    import pandas as pd  # noqa: PLC0415 - slow

    path = write_archive(tmp_path / "a")
    parts = str(path / "tables" / "runs" / "*.parquet")
    assert duckdb.read_parquet(parts).count("*").fetchall() == [(3,)]
    assert pl.scan_parquet(parts).filter(pl.col("status") == "FAILED").collect().height == 1
    assert len(pd.read_parquet(path / "tables" / "runs")) == 3


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("sum(1)", 1),  # DuckDB makes a number of 128 bits of it
        ("1.50::decimal(10, 2)", 1.5),
        ("170141183460469231731687303715884105727", 170141183460469231731687303715884105727),
        ("interval '1 month 3 days 2 hours 1.5 seconds'", "1 months 3 days 02:00:01.500000"),
        ("interval '-90 seconds'", "-00:01:30"),
        ("timestamp '2024-01-02 03:00:00' - timestamp '2024-01-02 02:00:00'", "01:00:00"),
        ("date '2024-01-02'", "2024-01-02"),
        ("time '12:30:01'", "12:30:01"),
        ("'ab'::blob", "6162"),
        ("[1, null]", [1, None]),
        ("{'a': date '2024-01-02', 'b': 'x'}", {"a": "2024-01-02", "b": "x"}),
        ("map {'k': 1.5::double}", {"k": 1.5}),
        ("'nan'::double", "NaN"),
        ("null", None),
    ],
)
def test_values_of_any_type(cli: Command, single_file: Path, tmp_path: Path, expression: str, shown: object) -> None:
    query = f"select {expression} as v"
    ran = cli("sql", single_file, query, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == {"v": shown}
    assert cli("sql", single_file, query).code == 0
    cell = next(csv.reader(cli("sql", single_file, query, "--csv").out.splitlines()[1:]), [""])[0]
    assert cell == ("" if shown is None else json.dumps(shown) if isinstance(shown, dict | list) else str(shown))
    assert cli("sql", single_file, query, "--parquet", tmp_path / "x.parquet").code == 0
    assert pq.read_table(tmp_path / "x.parquet").num_rows == 1


def test_columns_of_one_name_are_told_apart(cli: Command, single_file: Path) -> None:
    assert cli("sql", single_file, "select 1 as a, 2 as a, 3 as a_1", "--csv").out == "a,a_1,a_1_1\n1,2,3\n"


def test_an_empty_query_is_refused(cli: Command, single_file: Path) -> None:
    ran = cli("sql", single_file, "  ")
    assert (ran.code, ran.out) == (2, "")
    assert "the query is empty" in ran.err


def test_several_statements_have_several_answers(cli: Command, twice: Path) -> None:
    query = "select 1 as a; create temp table t as select 2 as b; select b from t"
    assert cli("sql", twice, query).out == "a\n1\n\nb\n2\n"
    assert cli("sql", twice, query, "--json").out == '{"a": 1}\n{"b": 2}\n'
    assert cli("sql", twice, query, "--csv").out == "a\n1\n\nb\n2\n"


def test_show_tables_shows_the_tables_and_nothing_else(cli: Command, twice: Path) -> None:
    names = set(cli("sql", twice, "show tables", "--csv").out.splitlines()[1:])
    assert names == {*TABLES, "latest_metrics"}


def test_a_mistake_is_marked_where_it_is(cli: Command, twice: Path) -> None:
    ran = cli("sql", twice, "select *\nfro runs")
    assert ran.code == 2
    _, line, mark = ran.err.splitlines()
    assert line.startswith("LINE 2: fro runs")
    assert mark.index("^") == line.index("runs")


ANSWERS = (
    "select run_id, 'NaN'::double as loss, start_time from runs where run_name = 'child'; select [1, 2] as numbers"
)


def test_answers_become_tables_of_a_duckdb_database(cli: Command, twice: Path, tmp_path: Path) -> None:
    assert cli("sql", twice, ANSWERS, "--output", tmp_path / "x.duckdb").code == 0
    with duckdb.connect(tmp_path / "x.duckdb", read_only=True) as connection:
        rows = connection.sql("select run_id, isnan(loss), epoch_ms(start_time) from answer").fetchall()
        assert rows == [(CHILD, True, 1655004880000)]
        assert connection.sql("from answer_2").fetchall() == [([1, 2],)]


def test_answers_become_tables_of_a_sqlite_database(cli: Command, twice: Path, tmp_path: Path) -> None:
    assert cli("sql", twice, ANSWERS, "--output", tmp_path / "x.sqlite").code == 0
    with closing(sqlite3.connect(tmp_path / "x.sqlite")) as connection:
        assert connection.execute("select * from answer").fetchall() == [(CHILD, "NaN", "2022-06-12T03:34:40.000Z")]
        assert connection.execute("select * from answer_2").fetchall() == [("[1, 2]",)]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("x.txt", "give a name that ends in .parquet, .duckdb"), ("x.parquet", "there are 2 answers")],
)
def test_an_output_that_cannot_be(cli: Command, twice: Path, tmp_path: Path, name: str, sentence: str) -> None:
    ran = cli("sql", twice, ANSWERS, "--output", tmp_path / name)
    assert ran.code == 2
    assert sentence in ran.err
    assert list(tmp_path.iterdir()) == []
