"""A part of a table: what is proved of it once, how long its texts may be, and what is said of what is no page."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import decode
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.stored.limits import ColumnSize, OverLimitError, _check_dictionary, check_pages
from mlflow_archive.reader.stored.pages import PageHeader
from mlflow_archive.reader.stored.parts import Part
from mlflow_archive.reader.stored.row_groups import RowGroups
from mlflow_archive.reader.unknown_tables import unknown_tables
from mlflow_archive.storage.members import BytesMember
from tests.spec.carried_tables import carried
from tests.spec.drafts import base_rows, encode_part, make_table, write_directory

NAME = "tables/params/0001-00000.parquet"
DATA = encode_part(make_table("params", base_rows()["params"]), group_rows=1)


def part_of(data: bytes) -> Part:
    return Part(BytesMember(NAME, data), TABLES["params"])


def test_what_does_not_begin_with_a_page_is_told() -> None:
    assert part_of(DATA).has_page_checksums()
    with pq.ParquetWriter(empty := io.BytesIO(), TABLES["params"].schema):
        pass
    assert part_of(empty.getvalue()).has_page_checksums()
    damaged = part_of(DATA[:4] + b"\xff" * 8 + DATA[12:])
    with pytest.raises(DamagedError) as caught:
        damaged.has_page_checksums()
    assert str(caught.value).startswith(f"E034: {NAME}: it does not begin with a page: ")
    assert (caught.value.code, caught.value.member) == ("E034", NAME)


def test_behind_a_column_that_may_be_missing_the_others_are_checked() -> None:
    rows = make_table("runs", base_rows()["runs"])
    names = rows.column_names
    assert Part(BytesMember(NAME, encode_part(rows.drop_columns(["run_name"]))), TABLES["runs"]).other_columns == []
    wrong = rows.drop_columns(["run_name"])
    at = wrong.column_names.index("status")
    assert names.index("run_name") < names.index("status")
    wrong = wrong.set_column(at, "status", pa.array([1] * rows.num_rows))
    with pytest.raises(DamagedError) as caught:
        Part(BytesMember(NAME, encode_part(wrong)), TABLES["runs"])
    assert str(caught.value) == f"E031: {NAME}: column status should be string, found int64"
    assert caught.value.member == NAME


@pytest.mark.parametrize(("size", "is_first", "taken"), [(12, True, True), (11, True, False), (12, False, False)])
def test_a_dictionary_is_the_first_page_and_has_four_bytes_a_value(size: int, is_first: bool, taken: bool) -> None:
    page = PageHeader(offset=0, type=2, stored_size=9, size=size, values=3, encoding=0, checksum=None)
    if taken:
        _check_dictionary(page, is_first=is_first)
    else:
        with pytest.raises(OverLimitError) as caught:
            _check_dictionary(page, is_first=is_first)
        assert str(caught.value) == f"a dictionary of 3 values is not the first page, or has {size} bytes"


def test_a_group_that_gives_other_rows_than_it_states_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    part = part_of(DATA)
    rows = part.read(1)
    monkeypatch.setattr(part._groups, "read", lambda *_, **__: pa.concat_tables([rows, rows]))
    with pytest.raises(DamagedError) as caught:
        part.read(1)
    assert str(caught.value) == f"E034: {NAME}: row group 1 gives 2 rows, states 1"
    assert (caught.value.code, caught.value.member) == ("E034", NAME)


def test_a_part_is_proved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    part = part_of(DATA)
    checked: list[int] = []
    check = part._groups.check

    def counted(index: int, names: Any) -> None:
        checked.append(index)
        check(index, names)

    monkeypatch.setattr(part._groups, "check", counted)
    part.prove()
    part.prove()
    assert checked == list(range(len(base_rows()["params"])))


def test_a_table_that_is_not_known_has_one_part_in_an_export(tmp_path: Path) -> None:
    files = carried()
    second = "tables/unknown_tables/0002-00000.parquet"
    document = decode(files["manifest.json"], where="manifest.json")
    write_directory(files, tmp_path)
    with open_archive(tmp_path) as archive:
        assert unknown_tables(archive)["gizmos"].path == second
        twice = [member for member in document.members if member.path == second]
        archive.manifest = type(document)(**{**_fields(document), "members": (*document.members, *twice)})
        with pytest.raises(DamagedError) as caught:
            unknown_tables(archive)
    assert (caught.value.code, caught.value.member) == ("E031", second)
    said = f"E031: {second}: {second} is a part of unknown:gizmos in the same export, expected one"
    assert str(caught.value) == said


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


def mixed(**columns: list[str]) -> tuple[RowGroups, dict[str, ColumnSize]]:
    """Return columns whose dictionaries give way to texts, and what they take."""
    buffer = io.BytesIO()
    options = {"dictionary_pagesize_limit": 60_000, "data_page_size": 1_024, "write_batch_size": 100}
    pq.write_table(pa.table(columns), buffer, compression="zstd", **options)
    file, parquet = BytesMember("part", buffer.getvalue()), pq.ParquetFile(buffer)
    size = check_pages(file, parquet.metadata.row_group(0), columns)
    return RowGroups(file, parquet, list(columns)), dict(size.columns)


def test_of_texts_of_several_columns_the_longest_is_known_of_each() -> None:
    numbers = [f"{number:024}" for number in range(9_000)]
    ids = [*numbers[:100] * 90, *numbers]
    groups, sizes = mixed(ids=ids, texts=[*ids[:-1], "x"][::-1], few=["ab", "c"] * 9_000)
    assert [0 < sizes[name].referring < sizes[name].values for name in ("ids", "texts", "few")] == [True, True, False]
    assert groups._longest(0, ["ids", "texts", "few"], sizes) == {"ids": 24, "texts": 24, "few": 11}


def test_the_length_of_each_text_is_left_open_where_it_takes_the_library_to_say() -> None:
    page = PageHeader(offset=0, type=2, stored_size=9, size=28 * 100, values=100, encoding=0, checksum=None)
    groups, _ = mixed(a=["x"])

    def length(compression: str, referring: int = 1_000, **changes: int) -> int | None:
        header = PageHeader(**{**_fields(page), **changes})
        size = ColumnSize(stored=1, pages=1, values=1, referring=referring, dictionary=header, compression=compression)
        return groups._length_of_each(size)

    assert length("ZSTD", referring=1_048_576 // 2_800) == 2_800
    assert length("GZIP") is None
    assert length("ZSTD", values=0) is None
    assert length("ZSTD", values=99) is None
