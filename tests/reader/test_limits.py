"""What a row group may take is decided by its pages and its dictionaries, before texts are written out."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlflow_archive.api.sql import SqlSession
from mlflow_archive.errors import DamagedError
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.stored.limits import MAX_GROUP_ROWS, SMALL, GroupSize, OverLimitError, check_texts
from mlflow_archive.reader.stored.thrift import CompactReader, ThriftError
from mlflow_archive.writer.parts import MAX_GROUP_ROWS as MOST_WRITTEN
from tests.spec.drafts import Draft, Files, base_rows, build, encode_part, make_table, part, write_directory
from tests.spec.make_vectors import VECTORS

INVALID = VECTORS / "invalid"


def _written(path: Path, data: bytes, table: str = "params") -> Path:
    """Write the base of all vectors with another part."""

    def edit(files: Files) -> None:
        files[part(table)] = data

    write_directory(build(Draft(members=edit)), path)
    return path


def _encoded(rows: pa.Table, **options: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, **{"compression": "zstd", "store_schema": False, **options})
    return buffer.getvalue()


def test_writers_stay_within_the_limit() -> None:
    assert MOST_WRITTEN <= MAX_GROUP_ROWS


def test_much_may_come_of_much() -> None:
    GroupSize(1000, 0).check(SMALL)
    GroupSize(SMALL // 10, 0).check(SMALL * 2)
    with pytest.raises(OverLimitError, match="over the limit"):
        GroupSize(1000, 0).check(SMALL + 1)


@pytest.mark.parametrize("name", ["E034_bomb", "E034_no_text", "E034_half_a_character", "E034_too_many_rows"])
def test_sql_does_not_let_its_engine_read_such_a_part(name: str) -> None:
    table = "metrics" if name == "E034_too_many_rows" else "params"
    with open_archive(INVALID / f"{name}.mlfa") as archive, SqlSession(archive) as session:
        assert session.query("select run_id from runs").num_rows == 2
        with pytest.raises(DamagedError, match="E034"):
            session.query(f"select count(*) from {table}")  # noqa: S608 - one of two names
        if table == "metrics":
            with pytest.raises(DamagedError, match="E034"):
                session.query("select * from latest_metrics")


def test_references_outside_of_a_dictionary() -> None:
    """A library gives them out where texts are read as dictionary arrays, and writing them out reads what is behind."""
    outside = pa.DictionaryArray.from_arrays(pa.array([1], pa.int32()), pa.array(["a"]), safe=False)
    with pytest.raises(pa.ArrowInvalid, match="out of bounds"):
        check_texts(pa.table({"value": outside}), GroupSize(1000, 0))


def test_texts_that_copy_the_one_before_are_not_taken(tmp_path: Path) -> None:
    rows = make_table("params", base_rows()["params"])
    data = _encoded(rows, use_dictionary=False, column_encoding={"value": "DELTA_BYTE_ARRAY"}, write_page_checksum=True)
    with open_archive(_written(tmp_path / "a", data)) as archive, pytest.raises(DamagedError, match="encoding 7"):
        archive.table("params")


def test_columns_that_nest_too_deep(tmp_path: Path) -> None:
    """An unknown column may be nested; tens of thousands of levels end the process of the library that reads them."""
    rows = make_table("params", base_rows()["params"])
    for depth, problem in ((10, None), (20, "E030")):
        kind = pa.int64()
        for _ in range(depth - 1):
            kind = pa.struct([("a", kind)])
        data = _encoded(rows.append_column("novel", pa.nulls(rows.num_rows, kind)))
        with open_archive(_written(tmp_path / str(depth), data)) as archive:
            if problem is None:
                assert archive.table("params").num_rows == rows.num_rows
            else:
                with pytest.raises(DamagedError, match=f"{problem}.*nest 20 deep"):
                    archive.table("params")


def test_a_part_whose_column_is_missing_can_be_searched(tmp_path: Path) -> None:
    rows = make_table("tags", [{"run_id": "a" * 32, "key": "k", "value": None}]).select(["run_id", "key"])
    write_directory(build(Draft(tables=lambda tables: tables.update({part("tags"): rows}))), tmp_path / "a")
    with open_archive(tmp_path / "a") as archive:
        found = pa.concat_tables(archive.keyed("tags", "key", "k", columns=["run_id", "value"]))
    assert found.to_pylist() == [{"run_id": "a" * 32, "value": None}]


def test_pages_of_version_2_are_taken(tmp_path: Path) -> None:
    rows = make_table("params", base_rows()["params"])
    data = _encoded(rows, data_page_version="2.0", write_page_checksum=True)
    with open_archive(_written(tmp_path / "a", data)) as archive:
        assert archive.table("params").num_rows == rows.num_rows


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x15\x02\x05\x02\x04\x00", "field 1 comes twice"),
        (b"\x15", "cut short"),
        (b"\x15" + b"\xff" * 11, "too long"),
        (b"\x1c" * 9, "nest too deep"),
        (b"\x19\xf9" + b"\xff" * 4 + b"\x7f", "cut short"),
        (b"\x19\x19\x19\x19\x19\x19\x19\x19\x19\x19", "nest too deep"),
        (b"\x1b\x01\x55\x02\x02\x00", "type 11"),
    ],
)
def test_thrift_that_could_be_read_in_two_ways(data: bytes, problem: str) -> None:
    with pytest.raises(ThriftError, match=problem):
        CompactReader(data).struct()


def test_the_encoder_of_the_vectors_writes_what_is_read(tmp_path: Path) -> None:
    rows = make_table("params", base_rows()["params"])
    for dictionary in (False, True):
        data = encode_part(rows, dictionary=dictionary)
        with open_archive(_written(tmp_path / str(dictionary), data)) as archive:
            assert archive.table("params").to_pylist() == rows.to_pylist()
