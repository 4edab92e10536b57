"""Thrift's compact protocol, value by value and limit by limit (thrift: doc/specs/thrift-compact-protocol.md)."""

from __future__ import annotations

import pytest

from mlflow_archive.reader.stored.thrift import CompactReader, CutShortError, Fields, ThriftError


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x00", {}),
        (b"\x15\x02\x00", {1: 1}),
        (b"\x15\x01\x15\x03\x00", {1: -1, 2: -2}),
        (b"\x14\x0e\x26\x80\x01\x00", {1: 7, 3: 64}),
        (b"\x11\x12\x00", {1: True, 2: False}),
        (b"\xf5\x02\x15\x04\x00", {15: 1, 16: 2}),
        (b"\x05\x20\x04\x15\x02\x00", {16: 2, 17: 1}),
        (b"\x18\x03abc\x15\x02\x00", {1: None, 2: 1}),
        (b"\x13\xff\x17\x01\x02\x03\x04\x05\x06\x07\x08\x15\x02\x00", {1: None, 2: None, 3: 1}),
        (b"\x1c\x15\x02\x00\x15\x04\x00", {1: {1: 1}, 2: 2}),
        (b"\x19\x35\x02\x04\x01\x15\x04\x00", {1: [1, 2, -1], 2: 2}),
        (b"\x19\x21\x01\x02\x15\x04\x00", {1: [None, None], 2: 2}),
        (b"\x19\x12\x01\x15\x04\x00", {1: [None], 2: 2}),
        (b"\x19\xe5" + b"\x02" * 14 + b"\x00", {1: [1] * 14}),
        (b"\x19\xf5\x0f" + b"\x02" * 15 + b"\x00", {1: [1] * 15}),
        (b"\x19\x1c\x15\x02\x00\x00", {1: [{1: 1}]}),
        (b"\x05\xfe\xff\x03\x02\x00", {32767: 1}),
        (b"\x15" + b"\xff" * 9 + b"\x01\x00", {1: -(2**63)}),
    ],
    ids=[
        "nothing",
        "one",
        "negative",
        "other widths, a gap",
        "booleans",
        "the longest step",
        "a number of its own",
        "binary",
        "byte and double",
        "a struct",
        "a list",
        "booleans in a list",
        "false in a list",
        "the longest short list",
        "a list with its length behind",
        "a list of structs",
        "the largest number of a field",
        "the longest number",
    ],
)
def test_what_a_struct_holds(data: bytes, expected: Fields) -> None:
    reader = CompactReader(data + b"behind")
    assert reader.struct() == expected
    assert reader.position == len(data)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", CutShortError, "a value is cut short"),
        (b"\x15\x02", CutShortError, "a value is cut short"),
        (b"\x18\x04abc", CutShortError, "a value is cut short"),
        (b"\x17\x01\x02\x03\x04\x05\x06\x07", CutShortError, "a value is cut short"),
        (b"\x19\x35\x02\x04", CutShortError, "a list is cut short"),
        (b"\x15\x02\x05\x02\x04\x00", ThriftError, "field 1 comes twice, or has no such number"),
        (b"\x05\x00\x04\x00", ThriftError, "field 0 comes twice, or has no such number"),
        (b"\x05\x01\x04\x00", ThriftError, "field -1 comes twice, or has no such number"),
        (b"\x05\x80\x80\x04\x02\x00", ThriftError, "field 32768 comes twice, or has no such number"),
        (b"\x15" + b"\x80" * 10 + b"\x01\x00", ThriftError, "a number is too long"),
        (b"\x1b\x01\x55\x02\x02\x00", ThriftError, "a value of type 11 is not of Parquet"),
    ],
)
def test_what_is_no_struct(data: bytes, error: type[ThriftError], message: str) -> None:
    with pytest.raises(ThriftError) as caught:
        CompactReader(data).struct()
    assert (type(caught.value), str(caught.value)) == (error, message)


@pytest.mark.parametrize(
    ("opened", "inside", "closed", "message"),
    [(b"\x1c", b"\x15\x02", b"\x00", "structs nest too deep"), (b"\x19", b"\x05", b"", "lists nest too deep")],
    ids=["structs", "lists"],
)
def test_values_nest_up_to_a_depth(opened: bytes, inside: bytes, closed: bytes, message: str) -> None:
    def nested(depth: int) -> bytes:
        return opened * depth + inside + closed * depth + b"\x00"

    reader = CompactReader(nested(7))
    reader.struct()
    assert reader.position == len(nested(7))
    with pytest.raises(ThriftError) as caught:
        CompactReader(nested(8)).struct()
    assert str(caught.value) == message
