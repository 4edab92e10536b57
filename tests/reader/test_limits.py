"""What a row group may take is decided by its pages and its dictionaries, before texts are written out."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlflow_archive.api.sql import SqlSession
from mlflow_archive.errors import DamagedError
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.stored.limits import (
    MAX_GROUP_ROWS,
    ONE_ROW,
    SMALL,
    ColumnSize,
    GroupSize,
    OverLimitError,
    check_pages,
    decoded_bytes,
)
from mlflow_archive.reader.stored.row_groups import RowGroups, _uniform_length
from mlflow_archive.storage.files import Files as WriterFiles
from mlflow_archive.storage.members import BytesMember, MemberFile, OpenFile
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.parts import MAX_GROUP_ROWS as MOST_WRITTEN
from mlflow_archive.writer.parts import part_writer
from tests.spec.drafts import RUN_A, Draft, Files, base_rows, build, encode_part, make_table, part, write_directory
from tests.spec.faults import flipped
from tests.spec.make_vectors import VECTORS

INVALID = VECTORS / "invalid"
TAGS = [{"run_id": RUN_A, "key": "k", "value": "v"}]


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


@pytest.mark.timeout(120)  # texts of 130 MB
@pytest.mark.parametrize(
    "lengths", [[2**20] * 150, [2**20] * 130 + [1] * 1000, [1] * 1000 + [130 * 2**20] + [1] * 1000, [10] * 200_000]
)
def test_texts_that_compress_to_nothing_are_written_so_that_they_are_read(tmp_path: Path, lengths: list[int]) -> None:
    texts = pa.array(["x" * length for length in lengths])
    keys = pa.array([f"{number:06}" for number in range(len(texts))])
    rows = pa.table([pa.array([RUN_A] * len(texts)), keys, texts], schema=TABLES["params"].schema)
    path = tmp_path / "part.parquet"
    with part_writer(WriterFiles(), path, TABLES["params"], level=3) as writer:
        writer.write(rows)
        writer.finish()
    parquet = pq.ParquetFile(path)
    file = OpenFile(os.open(path, os.O_RDONLY))
    groups = RowGroups(MemberFile(path.name, file, 0, path.stat().st_size), parquet, rows.column_names)
    read = [groups.read(at, rows.column_names, encoded=False) for at in range(parquet.num_row_groups)]
    file.close()
    assert {tuple(found.schema.types) for found in read} == {tuple(rows.schema.types)}
    assert pa.concat_tables(read).cast(rows.schema).equals(rows)


def _size(stored: int, rows: int = 2) -> GroupSize:
    column = ColumnSize(stored=stored, pages=0, values=1, referring=0, dictionary=None, compression="ZSTD")
    return GroupSize({"value": column}, rows)


def test_much_may_come_of_much() -> None:
    _size(1000).check(SMALL)
    _size(SMALL // 10).check(SMALL * 2)
    with pytest.raises(OverLimitError, match="over the limit"):
        _size(1000).check(SMALL + 1)
    _size(1000, rows=1).check(ONE_ROW)
    with pytest.raises(OverLimitError, match="over the limit"):
        _size(1000, rows=1).check(ONE_ROW + 1)


def _checked_pages(rows: pa.Table, names: list[str], **options: Any) -> GroupSize:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, **options)
    data = buffer.getvalue()
    return check_pages(BytesMember("part", data), pq.ParquetFile(buffer).metadata.row_group(0), names)


def test_what_the_pages_of_a_group_take() -> None:
    texts = pa.table({"a": ["abcd", "abcd", "ef"], "b": [{"c": 1}, {"c": 2}, None], "n": [1, 2, 3]})
    size = _checked_pages(texts, ["a", "n"], compression="none", use_dictionary=["a"])
    assert (list(size.columns), size.rows) == (["a", "n"], 3)
    a, n = size.columns["a"], size.columns["n"]
    assert (a.values, a.referring, n.values, n.referring, n.dictionary) == (3, 3, 3, 0, None)
    assert a.dictionary is not None
    assert (a.dictionary.values, a.dictionary.size) == (2, 14)
    assert a.pages > a.dictionary.size
    assert (size.pages, size.stored) == (a.pages + n.pages, a.stored + n.stored)
    many = pa.table({"n": list(range(1000))})
    cut = _checked_pages(many, ["n"], compression="none", use_dictionary=False, data_page_size=80, write_batch_size=10)
    assert 8000 <= cut.pages < 10_000
    assert list(_checked_pages(texts, ["b"]).columns) == ["b.c"]


def test_a_group_has_so_many_rows_at_most() -> None:
    rows = pa.table({"n": pa.array([1] * (MAX_GROUP_ROWS + 1), pa.int8())})
    assert _checked_pages(rows.slice(1), ["n"]).rows == MAX_GROUP_ROWS
    with pytest.raises(OverLimitError) as caught:
        _checked_pages(rows, ["n"])
    assert str(caught.value) == f"it states {MAX_GROUP_ROWS + 1} rows, over the limit of {MAX_GROUP_ROWS}"


def test_what_rows_take_once_their_dictionaries_are_written_out() -> None:
    encoded = pa.chunked_array([pa.array(["abc", None, "abc", "d"]).dictionary_encode()] * 2)
    rows = pa.table({"texts": encoded, "numbers": pa.array([1] * 8, pa.int64())})
    assert decoded_bytes(rows) == 2 * (3 * 4 + 4 * 4) + 8 * 8
    assert decoded_bytes(rows.select(["numbers"])) == 64


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


@pytest.mark.parametrize("length", [3, 20_000])
def test_a_dictionary_that_gives_way_to_texts(tmp_path: Path, length: int) -> None:
    """Of unique texts only the first are references; with one long text among them, many references are too much."""
    texts = [f"{number:06}" * 4 for number in range(3_000)]
    values = [*texts[:10], "x" * length, *["x" * length] * 9_000, *texts[10:]]
    keys = [f"{number:06}" for number in range(len(values))]
    rows = make_table("params", [{"run_id": RUN_A, "key": k, "value": v} for k, v in zip(keys, values, strict=True)])
    data = _encoded(rows, dictionary_pagesize_limit=30_000, data_page_size=1024, write_batch_size=100, version="2.6")
    encodings = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(2).encodings
    assert {"PLAIN", "RLE_DICTIONARY"} <= set(encodings)
    with open_archive(_written(tmp_path / "a", data)) as archive:
        if length == 3:
            assert archive.table("params")["value"].to_pylist() == values
            assert archive.table("params", columns=["key"])["key"].to_pylist() == keys
        else:
            with pytest.raises(DamagedError, match=r"E034.*over the limit"):
                archive.table("params")


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
    assert found.schema.types == [pa.string(), pa.string()]


@pytest.mark.parametrize(
    ("texts", "length"),
    [(["ab", "cd", "ef"], 2), (["ab", "cd", "e"], None), (["abcd", "", "ab"], None), ([""], 0), (["x" * 300] * 2, 300)],
)
def test_texts_of_one_length_in_a_dictionary(texts: list[str], length: int | None) -> None:
    page = b"".join(len(text).to_bytes(4, "little") + text.encode() for text in texts)
    assert _uniform_length(memoryview(page), len(texts)) == length
    assert _uniform_length(memoryview(b"abc"), 1) is None


def test_a_damaged_header_of_the_first_page_is_one_problem_among_others(tmp_path: Path) -> None:
    def edit(files: Files) -> None:
        for name in (part("params"), part("tags")):
            files[name] = flipped(files[name], 5)

    write_directory(build(Draft(rows=lambda rows: rows.update(tags=TAGS), members=edit)), tmp_path / "a")
    assert {problem.member for problem in verify(tmp_path / "a").problems} == {part("params"), part("tags")}


def test_pages_of_version_2_are_taken(tmp_path: Path) -> None:
    rows = make_table("params", base_rows()["params"])
    data = _encoded(rows, data_page_version="2.0", write_page_checksum=True)
    with open_archive(_written(tmp_path / "a", data)) as archive:
        assert archive.table("params").num_rows == rows.num_rows


def test_the_encoder_of_the_vectors_writes_what_is_read(tmp_path: Path) -> None:
    rows = make_table("params", base_rows()["params"])
    for dictionary in (False, True):
        data = encode_part(rows, dictionary=dictionary)
        with open_archive(_written(tmp_path / str(dictionary), data)) as archive:
            assert archive.table("params").to_pylist() == rows.to_pylist()
