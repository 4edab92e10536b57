"""The footer of a part, proved before a library sees it; and what a row group states of its columns."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import Member
from mlflow_archive.reader.stored.footer import check_footer
from mlflow_archive.reader.stored.statistics import false_statistics
from mlflow_archive.storage.members import BytesMember
from tests.spec.drafts import base_rows, encode_part, make_table, sha

PART = encode_part(make_table("params", base_rows()["params"]))
LENGTH = int.from_bytes(PART[-8:-4], "little")
FOOTER = PART[-8 - LENGTH :]


def checked(data: bytes, *, sha256: str = "", footer: str | None = None) -> None:
    member = Member(path="m", kind="table", export=1, size=len(data), sha256=sha256, footer_sha256=footer)
    check_footer(BytesMember("part", data), member)


def with_footer(footer: bytes) -> bytes:
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def test_a_footer_is_proved_by_its_hash_or_that_of_the_part() -> None:
    checked(PART, footer=sha(FOOTER))
    checked(PART, sha256=sha(PART))
    checked(PART, sha256="of something else", footer=sha(FOOTER))
    checked(PART[:4] + b"damaged" + PART[11:], footer=sha(FOOTER))


NO_FOOTER = "part: it does not end in a Parquet footer"
NO_COLUMNS = "part: its Parquet footer does not begin with its columns:"


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (PART[:-9] + b"X" + PART[-8:], "E030", "part: its Parquet footer is damaged"),
        (PART[:-1] + b"X", "E030", "part: its Parquet footer is damaged"),
        (PART[-11:], "E030", NO_FOOTER),
        (b"", "E030", NO_FOOTER),
        (b"PAR1" + bytes(4) + b"PAR1", "E030", NO_FOOTER),
        (b"PAR1!" + (2).to_bytes(4, "little") + b"PAR1", "E030", NO_FOOTER),
    ],
    ids=["footer", "end", "11 bytes", "nothing", "no length", "more than there is"],
)
def test_what_is_no_footer(data: bytes, code: str, said: str) -> None:
    with pytest.raises(DamagedError) as caught:
        checked(data, footer=sha(FOOTER))
    assert (caught.value.code, caught.value.member, str(caught.value)) == (code, "part", f"{code}: {said}")


@pytest.mark.parametrize(
    ("footer", "said"),
    [
        (b"\x15\x02\x19\x0c\x00", ""),
        (b"\x19\x0c\x19\x0c\x00", ""),
        (b"\x29\x0c\x00", ""),
        (b"\x15\x02\x15\x02\x00", f"{NO_COLUMNS} there is no schema where it should be"),
        (b"\x19\x0c\x00", f"{NO_COLUMNS} there is no schema where it should be"),
        (b"\x15\x02\x29\x0c\x00", f"{NO_COLUMNS} there is no schema where it should be"),
        (b"\x00", f"{NO_COLUMNS} there is no schema where it should be"),
        (b"\x15", f"{NO_COLUMNS} a value is cut short"),
    ],
    ids=["columns", "a list before", "columns alone", "a number", "another list", "behind", "nothing", "cut short"],
)
def test_columns_stand_in_the_second_field(footer: bytes, said: str) -> None:
    data = with_footer(footer)
    if not said:
        checked(data, sha256=sha(data))
        return
    with pytest.raises(DamagedError) as caught:
        checked(data, sha256=sha(data))
    assert (caught.value.code, caught.value.member, str(caught.value)) == ("E030", "part", f"E030: {said}")


def element(children: int) -> bytes:
    """Return a column, or what groups some, in the schema of a footer."""
    return b"\x55" + bytes([2 * children]) + b"\x00" if children else b"\x00"


@pytest.mark.parametrize(
    ("children", "depth"),
    [
        ([1] * 16 + [0], 16),
        ([1] * 17 + [0], 17),
        ([2, 0, *[1] * 16, 0], 17),
        ([2, *[1] * 16, 0, 0], 17),
        ([9] * 16, 15),
    ],
    ids=["16", "17", "the second column", "the first column", "wide"],
)
def test_how_deep_columns_nest(children: list[int], depth: int) -> None:
    listed = b"".join(map(element, children))
    data = with_footer(b"\x15\x02\x19" + b"\xfc" + bytes([len(children)]) + listed + b"\x00")
    if depth <= 16:
        checked(data, sha256=sha(data))
        return
    with pytest.raises(DamagedError) as caught:
        checked(data, sha256=sha(data))
    assert str(caught.value) == f"E030: part: its columns nest {depth} deep, over the limit of 16"


def test_a_part_without_a_hash_of_its_footer_has_its_own() -> None:
    with pytest.raises(DamagedError) as caught:
        checked(PART, sha256=sha(b"another"))
    assert str(caught.value) == "E012: part: its SHA-256 is not the one that the manifest states"
    assert (caught.value.code, caught.value.member) == ("E012", "part")


def stated(rows: pa.Table) -> Any:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer)
    return pq.ParquetFile(buffer).metadata.row_group(0)


LONG, CUT = "x" * 80, f"b'{'x' * 58}…"
MS = pa.timestamp("ms")


@pytest.mark.parametrize(
    ("values", "others", "said"),
    [
        (["a", "c"], ["a", "b"], ""),
        (["a", "c"], ["a", "d"], "states values from b'a' to b'c' and has others"),
        (["b", "c"], ["a", "c"], "states values from b'b' to b'c' and has others"),
        (["a", None], ["a", "a"], "states 1 nulls and has 0"),
        (["a", "a"], ["a", None], "states 0 nulls and has 1"),
        ([1, 5], [1, 5], ""),
        ([1, 5], [2, 6], "states values from 1 to 5 and has others"),
        ([1, 5], [0, 5], "states values from 1 to 5 and has others"),
        ([None, 5], [None, None], "states 1 nulls and has 2"),
        ([1.0, 5.0], [0.0, 9.0], ""),
        ([True, True], [False, True], ""),
        (pa.array([1, 5], MS), pa.array([1, 6], MS), "states values from 1 to 5 and has others"),
        (pa.array([1, 5], MS), pa.array([2, 4], MS), ""),
        (
            [LONG, LONG],
            ["a", "a"],
            f"states values from {CUT} to {CUT} and has others",
        ),
        (["x" * 57, "x"], ["a", "a"], f"states values from b'x' to b'{'x' * 57}' and has others"),
    ],
)
def test_statistics_are_held_against_rows(values: Any, others: Any, said: str) -> None:
    metadata = stated(pa.table({"free": [1, 2], "c": values}))
    assert false_statistics(metadata, pa.table({"c": others})) == (f"column c {said}" if said else "")
    assert false_statistics(metadata, pa.table({"other": others})) == ""


def test_all_null_rows_belie_no_bounds() -> None:
    metadata = stated(pa.table({"c": pa.array([None, None], pa.string())}))
    assert false_statistics(metadata, pa.table({"c": pa.array([None, None], pa.string())})) == ""
