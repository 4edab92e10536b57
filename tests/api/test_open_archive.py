"""An archive in Python: tables, search, runs, artifacts, fsspec, notebooks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import mlflow_archive as ma
from mlflow_archive.api.artifact_tree import ArtifactFolder, StoredArtifact
from mlflow_archive.api.filesystem import ArchiveFileSystem
from mlflow_archive.errors import DamagedError, QueryError, SelectionError
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.flow.report import Report
from tests.cli.conftest import CHILD, GONE, PARENT, write_archive
from tests.support.chunks import ChunkSource, chunk, experiment, run

CHILD_START = datetime(2022, 6, 12, 3, 34, 40, tzinfo=UTC)


@pytest.fixture(scope="module", params=["a.mlfa", "a"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("library") / request.param)


@pytest.fixture
def opened(path: Path) -> Iterator[ma.OpenArchive]:
    with ma.open(path) as archive:
        yield archive


def test_every_public_name_is_there() -> None:
    assert len(ma.__all__) <= 32
    assert all(getattr(ma, name) is not None for name in ma.__all__)
    assert callable(ma.verify)
    with pytest.raises(AttributeError, match="colour"):
        ma.colour  # noqa: B018
    for old, new in (("replay", ma.import_archive), ("ReplayOptions", ma.ImportOptions)):
        assert old not in ma.__all__
        with pytest.warns(DeprecationWarning, match=f"mlflow_archive.{old} is now called {new.__name__}") as warned:
            assert getattr(ma, old) is new
        assert warned[0].filename == __file__


def test_import_alone_brings_nothing_heavy() -> None:
    code = "import sys, mlflow_archive; print([m for m in ('pyarrow', 'mlflow', 'pandas') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_tables(opened: ma.OpenArchive) -> None:
    assert len(opened.runs) == 3
    assert opened.runs.to_table(columns=["run_id"]).to_pydict() == {"run_id": [CHILD, PARENT, GONE]}
    failed = opened.runs.to_pandas(columns=["run_name"], filter=pc.field("status") == "FAILED")
    assert failed["run_name"].tolist() == ["child"]
    assert opened.metrics.count_rows(pc.field("value") > 3.5) == 1
    assert opened.traces.to_table().num_rows == 0
    assert opened.runs.head(2).num_rows == 2
    assert str(opened.runs.to_pandas()["start_time"].dtype) == "datetime64[ms, UTC]"
    assert "runs" in dir(opened)
    with pytest.raises(KeyError, match="no column 'colour'"):
        opened.runs.to_table(columns=["colour"])
    with pytest.raises(AttributeError, match="no 'colour'"):
        opened.colour  # noqa: B018


def test_a_filter_reads_only_the_row_groups_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two exports are two parts: a filter on the second's ids reads nothing of the first."""
    from mlflow_archive.reader.stored.parts import Part  # noqa: PLC0415

    write_archive(tmp_path / "a.mlfa")
    read: list[int] = []

    def reading(part: Part, index: int, columns: object = None, *, encoded: bool = False) -> None:
        read.append(index)

    monkeypatch.setattr(Part, "read", reading)
    with ma.open(tmp_path / "a.mlfa") as archive:
        assert archive.runs.to_table(filter=pc.field("run_id") > "f").num_rows == 0
    assert read == []


def test_run(opened: ma.OpenArchive) -> None:
    found = opened.run("parent")
    assert (found.run_id, found.params["lr"], found.tags["mlflow.user"], found.metrics["loss"]) == (
        PARENT, "0.1", "ada", 1.0
    )  # fmt: skip
    history = found.history("loss")
    assert (len(history), history.to_pandas()["value"].tolist()) == (3, [4.0, 2.0, 1.0])
    with pytest.raises(KeyError, match="no metric 'nothing'"):
        found.history("nothing")
    with pytest.raises(SelectionError):
        opened.run("nobody")


def test_times_are_times(opened: ma.OpenArchive) -> None:
    """Everywhere: in rows of objects, in data frames, in histories, and of exports."""
    expected = datetime(2022, 6, 12, 3, 34, 38, 844000, tzinfo=UTC)
    found = opened.run(PARENT)
    assert found.info["start_time"] == expected == opened.get(PARENT, kind="run").info["start_time"]
    assert opened.run(CHILD).info["end_time"] is None
    assert opened.search_runs().set_index("run_id").loc[PARENT, "start_time"] == expected
    answer = opened.sql("select start_time from runs where run_name = 'parent'")
    assert answer.to_pylist() == [{"start_time": expected}]
    assert str(found.history("loss").table.schema.field("timestamp").type) == "timestamp[ms, tz=UTC]"
    assert opened.exports[0]["created"] == datetime(2022, 6, 12, 4, 18, 30, 123000, tzinfo=UTC)
    assert "2022-06-12 03:34:38" in found._repr_html_()
    assert "2022-06-12 03:34:38" in opened.runs._repr_html_()


def test_artifacts_are_a_tree(opened: ma.OpenArchive) -> None:
    tree = opened.run(PARENT).artifacts
    assert list(tree) == ["empty", "model"]
    entry = tree["model/MLmodel"]
    assert isinstance(entry, StoredArtifact)
    assert (entry.read_text(), entry.size) == ("flavors: {}\n", 12)
    folder = tree["model"]
    assert isinstance(folder, ArtifactFolder)
    assert [file.path for file in folder.files()] == ["model/MLmodel"]
    assert repr(tree) == "empty  0 bytes\nmodel/\n  MLmodel  12 bytes"
    with pytest.raises(KeyError, match="no artifact 'model/nothing'"):
        tree["model/nothing"]
    with entry.open() as stream:
        assert stream.seek(9) == 9
        assert stream.read() == b"{}\n"


def test_fsspec(path: Path) -> None:
    system = ArchiveFileSystem(archive=str(path))
    assert system.ls("", detail=False) == ["run"]
    assert system.ls("mlfa://run", detail=False) == [f"run/{CHILD}", f"run/{PARENT}"]
    assert system.find(f"run/{PARENT}") == [f"run/{PARENT}/empty", f"run/{PARENT}/model/MLmodel"]
    assert system.info(f"run/{PARENT}/model")["type"] == "directory"
    assert system.cat_file(f"run/{PARENT}/model/MLmodel") == b"flavors: {}\n"
    assert not system.exists(f"run/{PARENT}/nothing")
    assert not system.exists("run/" + "9" * 32)
    with pytest.raises(ValueError, match="read-only"):
        system.open(f"run/{PARENT}/new", "wb")


def test_pandas_reads_an_artifact_in_place(path: Path) -> None:
    url = f"mlfa://run/{PARENT}/model/MLmodel"
    frame = pd.read_csv(url, sep=":", header=None, storage_options={"archive": str(path)})
    assert frame.iloc[0, 0] == "flavors"
    with fsspec.open(url, archive=str(path)) as stream:
        assert stream.read() == b"flavors: {}\n"


def test_what_is_asked_for_shows_itself(opened: ma.OpenArchive) -> None:
    """Of many rows the first twenty, and how many there are."""
    answer = opened.sql("select range as n, make_timestamp(1655004880000000) as time from range(1234)")._repr_html_()
    assert answer.startswith("<b>answer (1,234, the first 20 are shown)</b><table")
    assert answer.count("<tr>") == 21
    assert ">2022-06-12 03:34:40</td>" in answer
    assert "<b>runs (3)</b>" in opened.runs._repr_html_()
    assert "<b>loss (3)</b>" in opened.run(PARENT).history("loss")._repr_html_()
    assert "no registered models" in opened.models._repr_html_()
    gap = Gap(owner_kind="run", owner_id="1", path="", code="G101", reason="gone")
    report = Report(counts={"runs": 1234}, gaps=[gap])
    assert "<b>report: 1 gaps</b>" in report._repr_html_()
    assert all(text in report._repr_html_() for text in (">1,234<", "<b>gaps by cause (1)</b>", ">gone<"))


def test_html_escapes_what_is_in_the_archive(tmp_path: Path) -> None:
    from mlflow_archive.flow.copy import copy  # noqa: PLC0415
    from mlflow_archive.writer.export import ArchiveSink  # noqa: PLC0415

    evil = "<script>alert(1)</script>"
    source = ChunkSource((0, [chunk(experiments=[experiment("1", evil)], runs=[run("a" * 32, "1", run_name=evil)])]))
    copy(source, ArchiveSink(tmp_path / "x", tool="t", clock_ms=lambda: 0), jobs=1)
    with ma.open(tmp_path / "x") as archive:
        shown = archive._repr_html_() + archive.run("a" * 32)._repr_html_() + archive.runs._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown


def test_search_runs(opened: ma.OpenArchive) -> None:
    frame = opened.search_runs(filter_string="params.lr != '10'", order_by=["metrics.loss DESC"])
    assert frame["run_id"].tolist() == [CHILD, PARENT]
    assert opened.search_runs(experiment_names=["old"])["run_id"].tolist() == []
    assert opened.search_runs(experiment_names=["old"], deleted=True)["run_id"].tolist() == [GONE]
    assert len(opened.search_runs(max_results=1)) == 1
    with pytest.raises(SelectionError):
        opened.search_runs(filter_string="nonsense")


def test_sql(opened: ma.OpenArchive) -> None:
    answer = opened.sql("select run_name, start_time from runs order by run_name")
    assert answer.to_pylist()[0] == {"run_name": "child", "start_time": CHILD_START}
    assert (len(answer), answer.table.num_rows, answer.to_pandas().shape) == (3, 3, (3, 2))
    assert pa.table(answer).equals(answer.table)
    assert repr(answer) == "<answer of 3 rows: run_name, start_time>"


def test_an_archive_is_attached_to_a_connection_of_the_user(path: Path, tmp_path: Path) -> None:
    with ma.open(path) as archive, duckdb.connect(tmp_path / "mine.duckdb") as connection:
        connection.execute("create table names (run_name text, nice text); insert into names values ('child', 'Kim')")
        connection.execute("create schema work; use work")
        archive.attach(connection)
        archive.attach(connection, 'an "other"')
        connection.execute(
            "create temp view points as select * from archive.latest_metrics join archive.runs using (run_id)"
        )
        assert connection.sql("select nice, value from points join main.names using (run_name)").fetchall() == [
            ("Kim", 3.0)
        ]
        assert connection.sql('select count(*) from "an ""other""".runs').fetchall() == [(3,)]
        assert connection.sql("select current_schema()").fetchall() == [("work",)]
        with pytest.raises(QueryError, match=r"cannot be attached as 'archive': .*already exists"):
            archive.attach(connection)
    with duckdb.connect(tmp_path / "mine.duckdb") as connection:
        tables = connection.sql("select table_name from information_schema.tables").fetchall()
        assert tables == [("names",)]


def test_a_damaged_archive_is_not_attached(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a")
    [part] = (path / "tables" / "runs").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-30] + bytes(30))
    with ma.open(path) as archive, duckdb.connect() as connection:
        with pytest.raises(DamagedError):
            archive.attach(connection)
        assert ("archive",) not in connection.sql("select database_name from duckdb_databases()").fetchall()


def test_a_closed_archive_is_not_taken_for_a_damaged_one(path: Path) -> None:
    with ma.open(path) as archive:
        run = archive.run(PARENT)
        entry = run.artifacts["model/MLmodel"]
        assert isinstance(entry, StoredArtifact)
    reads = (archive.runs.to_table, archive.metrics.head, entry.read_bytes, lambda: archive.run(PARENT))
    for read in reads:
        with pytest.raises(ma.MlflowArchiveError, match="closed") as raised:
            read()
        assert not isinstance(raised.value, DamagedError)
