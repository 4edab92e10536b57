"""Tables that this version does not know: what a member states of one, and what makes no sense."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import Member
from mlflow_archive.format.unknown_tables import (
    database_table,
    is_withheld,
    member_table,
    schema_of,
    stated_columns,
    table_of,
)

SCHEMA = pa.schema([("a", pa.bool_()), ("b", pa.int64()), ("c", pa.float64()), ("d", pa.string()), ("e", pa.binary())])
STATED = [["a", "bool"], ["b", "int64"], ["c", "double"], ["d", "string"], ["e", "binary"]]


def member(columns: Any = STATED, *, table: str | None = "unknown:t", kind: Any = "table") -> Member:
    stated = {} if columns is None else {"columns": columns}
    return Member(path="p", kind=kind, export=1, size=0, sha256="", table=table, unknown=stated)


def test_columns_are_stated_and_read_again() -> None:
    assert stated_columns(SCHEMA) == {"columns": STATED}
    assert schema_of(member()) == SCHEMA
    with pytest.raises(KeyError):
        stated_columns(pa.schema([("a", pa.int32())]))


@pytest.mark.parametrize("columns", [None, 1, [["a"]], [["a", "int32"]], [[1, "bool"]], [["a", "bool", 1]]])
def test_columns_that_make_no_sense(columns: Any) -> None:
    with pytest.raises(DamagedError) as caught:
        schema_of(member(columns))
    shown = f"{columns!r}"[:60]
    assert str(caught.value) == f"E031: p: the manifest states no columns of an unknown table: {shown}"
    assert (caught.value.code, caught.value.member) == ("E031", "p")


@pytest.mark.parametrize("columns", [[], [["a", "bool"], ["a", "int64"]]])
def test_columns_that_are_none_or_there_twice(columns: Any) -> None:
    with pytest.raises(DamagedError) as caught:
        schema_of(member(columns))
    assert str(caught.value) == "E031: p: the manifest states no columns, or one twice"
    assert (caught.value.code, caught.value.member) == ("E031", "p")


def test_half_of_a_character_is_no_name() -> None:
    with pytest.raises(DamagedError, match="states no columns of an unknown table"):
        schema_of(member(table="unknown:\ud800"))
    assert schema_of(member(table=None)) == SCHEMA


def test_long_columns_are_shown_by_their_beginning() -> None:
    with pytest.raises(DamagedError) as caught:
        schema_of(member([["a" * 70, "x"]]))
    assert str(caught.value).endswith(f"unknown table: {repr([['a' * 70, 'x']])[:60]}")


def test_names_in_the_manifest_and_in_the_database() -> None:
    assert member_table("jobs") == "unknown:jobs"
    assert database_table(member(table="unknown:unknown:x")) == "unknown:x"
    others = (member(table="jobs"), member(table=None), member(kind="pack"))
    assert [database_table(other) for other in others] == [None, None, None]


def test_the_record_of_a_table() -> None:
    table = table_of("t", SCHEMA)
    assert (table.name, table.entity, table.owner, table.key, table.unique) == ("unknown:t", None, (), (), False)
    described = [(column.name, column.type, column.nullable, column.origin) for column in table.columns]
    assert described == [(field.name, field.type, True, f"t.{field.name}") for field in SCHEMA]
    assert {table.description, *(column.description for column in table.columns)} == {""}


@pytest.mark.parametrize("word", ["secret", "token", "password", "hash", "encrypted", "wrapped", "key_value"])
def test_columns_whose_name_says_secret_are_withheld(word: str) -> None:
    assert is_withheld(f"a_{word}_b".upper())
    assert not is_withheld("a_" + word[:-1])
