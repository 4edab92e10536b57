"""A reader that shares no code with the project sees the same runs, metrics, tags and artifact bytes."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.sources.mlruns import MlrunsSource
from mlflow_archive.writer.export import ArchiveSink
from tests.conformance import independent_reader
from tests.support.corpora import FILE_STORES, store_path
from tests.support.memory_source import MemoryOptions, export
from tests.support.mlruns import Dataset, DatasetInput, Experiment, Point, Run, Store, write_store
from tests.support.reading import plain_rows

CORPUS_STORES = FILE_STORES[:2]
BIG = 9_000_000  # three frames


def from_store(folder: Path) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        copy(MlrunsSource(folder), ArchiveSink(path, tool="test 1", clock_ms=lambda: 1))

    return make


def two_exports(path: Path) -> None:
    options = MemoryOptions(runs=7, sizes=(300, 0, BIG), distinct=3)
    export(path, options)
    export(path, replace(options, runs=9, changed=frozenset({1, 4}), gaps=frozenset({8})), append=True)


def odd_store(folder: Path) -> Path:
    """Write a store with datasets, odd values and odd names."""
    dataset = Dataset(name="Iris ßet", digest="d1", schema='{"a": 1}', profile=None)
    run = Run(
        run_id="0" * 31 + "a",
        name="ru\u2028n",
        params={"a/b c": "multi\nline", "empty": ""},
        tags={"long": "t" * 8000, "mlflow.user": "Zoë"},
        metrics=(
            Point(key="loss/x", value=float("nan"), step=-3),
            Point(key="loss/x", value=float("-inf"), step=0),
            Point(key="loss/x", value=0.1, step=0, dataset=("Iris", "d1")),
            Point(key="loss/x", value=0.1, step=0, dataset=("Iris", "d1")),
        ),
        artifacts={"a b/%41#?.txt": b"odd", "empty": b"", "ünï.bin": b"odd"},
        inputs=(DatasetInput(dataset=dataset, tags={"mlflow.data.context": "training"}),),
    )
    experiments = (
        Experiment(experiment_id="1", name="one", tags={"k": "v"}, runs=(run,)),
        Experiment(experiment_id="2", name="gone", deleted=True, runs=(Run(run_id="b" * 32, deleted=True),)),
    )
    write_store(Store(experiments=experiments), folder)
    return folder


@pytest.fixture(params=["corpus 1", "corpus 2", "odd store", "two exports"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Path], None]:
    if request.param == "two exports":
        return two_exports
    if request.param == "odd store":
        return from_store(odd_store(tmp_path / "mlruns"))
    return from_store(store_path(*CORPUS_STORES[int(request.param[-1]) - 1]))


def in_order(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)


def our_bytes(archive: Archive) -> dict[tuple[str, str], bytes]:
    blobs = Blobs(archive)
    found = {}
    for row in archive.table("artifacts").to_pylist():
        with blobs.open(row["digest"]) as stream:
            found[row["owner_id"], row["path"]] = stream.read()
    return found


@pytest.mark.parametrize("name", ["archive", "archive.mlfa"])
def test_independent_reader_yields_the_same(make: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    make(path)
    theirs = independent_reader.Archive(path)
    with open_archive(path) as ours:
        assert theirs.archive_id == ours.id
        for table in TABLES:
            mine = plain_rows(ours.table(table))
            assert in_order(theirs.rows(table)) == in_order(mine), table
        assert theirs.rows("runs")
        expected = our_bytes(ours)
    found = {
        (row["owner_id"], row["path"]): theirs.blob(row["digest"])
        for run in theirs.rows("runs")
        for row in theirs.artifacts(run["run_id"])
    }
    assert found == expected
    assert found
    labelled = theirs.labelled_blobs()
    assert {row["digest"]: theirs.blob(row["digest"]) for row in theirs.rows("artifacts")}.items() <= labelled.items()
    theirs.close()


@pytest.mark.parametrize(
    ("name", "exports"), [("golden/v1-two-exports.mlfa", []), ("golden/v1_1-two-exports.mlfa", [1, 2])]
)
def test_a_schema_that_was_newer_than_known_is_stated(name: str, exports: list[int]) -> None:
    theirs = independent_reader.Archive(Path(__file__).resolve().parents[1] / name)
    assert theirs.newer_than_their_tool() == exports
    theirs.close()


def test_parts_have_statistics_of_all_columns_but_doubles(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "archive")
    with_minimum: dict[str, set[bool]] = {"DOUBLE": set(), "INT64": set(), "BYTE_ARRAY": set()}
    for part in (tmp_path / "archive" / "tables").rglob("*.parquet"):
        metadata = pq.ParquetFile(part).metadata
        for column in (metadata.row_group(0).column(index) for index in range(metadata.num_columns)):
            some = column.is_stats_set and (column.statistics.has_min_max or column.statistics.null_count)
            with_minimum[column.physical_type].add(bool(some))
    assert with_minimum["DOUBLE"] == {False}
    assert True in with_minimum["INT64"] & with_minimum["BYTE_ARRAY"]


def test_newest_export_wins_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.mlfa"
    export(path, MemoryOptions(runs=3, changed=frozenset({1})))
    export(path, MemoryOptions(runs=3), append=True)
    theirs = independent_reader.Archive(path)
    assert [export["number"] for export in theirs.manifest["exports"]] == [1, 2]
    assert {row["key"] for row in theirs.rows("tags")} == {"touched"}
    theirs.close()


def test_reader_is_independent() -> None:
    """It imports the standard library, pyarrow and zstandard, and is small enough to be read in one go."""
    source = Path(independent_reader.__file__).read_text("utf-8")
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported - {"pyarrow", "zstandard", "__future__"} <= sys.stdlib_module_names
    assert len(source.splitlines()) <= 300
