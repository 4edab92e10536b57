"""Texts with NUL: each is shown by a symbol, told once with what it was, and nothing else changes."""

from __future__ import annotations

import pyarrow as pa

from mlflow_archive.format.nul_characters import NulText, columns_with_nul, without_nul

ROWS = pa.table(
    {
        "run_id": ["a", "a", "b", "c"],
        "key": ["k\0", "k\0", "l", None],
        "step": [1, 2, 3, 4],
        "value": pa.array(["\0x\0", None, "y", "z"], pa.string()),
        "bytes": pa.array([b"\0", b"", b"", b""], pa.binary()),
    }
)


def test_columns_of_text_with_nul() -> None:
    assert columns_with_nul(ROWS) == ["key", "value"]
    assert columns_with_nul(ROWS.slice(1)) == ["key"]
    assert columns_with_nul(ROWS.slice(2)) == []
    assert columns_with_nul(ROWS.slice(0, 0)) == []


def test_each_text_is_told_once_with_what_it_was() -> None:
    rows, changed = without_nul("metrics", ROWS)
    assert rows.to_pylist() == [
        {"run_id": "a", "key": "k\u2400", "step": 1, "value": "\u2400x\u2400", "bytes": b"\0"},
        {"run_id": "a", "key": "k\u2400", "step": 2, "value": None, "bytes": b""},
        {"run_id": "b", "key": "l", "step": 3, "value": "y", "bytes": b""},
        {"run_id": "c", "key": None, "step": 4, "value": "z", "bytes": b""},
    ]
    assert rows.schema == ROWS.schema
    key = {"run_id": "a", "key": "k\0"}
    assert changed[0] == NulText(table="metrics", key=key, column="key", original="k\0")
    assert [text.original for text in changed] == ["k\0", "\0x\0"]
    assert changed[0].to_json() == {"table": "metrics", "key": key, "column": "key", "original": "k\0"}


def test_rows_without_nul_stay_what_they_are() -> None:
    plain = ROWS.slice(2)
    rows, changed = without_nul("metrics", plain)
    assert rows is plain
    assert changed == []
