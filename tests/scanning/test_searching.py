"""Long texts, and files in blocks: each value is found once, wherever it lies."""

from __future__ import annotations

import codecs
import io

import pyarrow as pa
import pytest

from mlflow_archive.scanning.archive import searcher
from mlflow_archive.scanning.patterns import PERSONAL
from mlflow_archive.scanning.searching import OVERLAP, PIECE, Searcher
from mlflow_archive.scanning.texts import blocks, why_not

SEARCH = Searcher(PERSONAL)
EMAIL = "ada@bank.example"


@pytest.mark.parametrize(
    "before", [0, 1, OVERLAP // 2 - 1, OVERLAP // 2, *range(PIECE - OVERLAP - 20, PIECE + 40, 7), 9_000]
)
def test_a_value_in_a_long_text_is_found_once(before: int) -> None:
    text = f"{'x ' * before}"[:before] + f" {EMAIL} " + "y " * 3_000
    hits = [(hit.text, hit.begin, hit.value) for hit in SEARCH.column(pa.array(["none", text]))]
    assert hits == [(1, before + 1, EMAIL)]


@pytest.mark.parametrize("size", [700, 1_024, 1_500, 4_000, 10_000])
@pytest.mark.parametrize("before", [0, 3, 990, 1_030, 2_995, 5_990])
def test_a_value_in_a_file_is_found_once(size: int, before: int) -> None:
    """Whatever the blocks are, in a long line and behind one."""
    data = (
        f"{'x ' * before}"[:before].encode()
        + f" {EMAIL} ".encode()
        + b"y " * 3_000
        + f"\n\n{EMAIL}\xff".encode("latin-1")
    )
    cut = [data[at : at + size] for at in range(0, len(data), size)]
    assert [(line, hit.value) for line, hit in SEARCH.file(cut)] == [(1, EMAIL), (3, EMAIL)]


@pytest.mark.parametrize(
    "data",
    [
        f"\u00e9 {EMAIL}".encode(),
        f"\u00e9 {EMAIL}".encode("latin-1"),
        codecs.BOM_UTF16_LE + f"\u010a {EMAIL}".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + f"\u0a00 {EMAIL}".encode("utf-16-be"),
        codecs.BOM_UTF32_LE + f"\u010a {EMAIL}".encode("utf-32-le"),
        codecs.BOM_UTF8 + EMAIL.encode(),
    ],
)
def test_texts_of_other_encodings(data: bytes) -> None:
    assert why_not(data) is None
    assert [hit.value for _, hit in SEARCH.file(blocks(io.BytesIO(data[5:]), data[:5]))] == [EMAIL]


def test_what_is_no_text() -> None:
    heads = {
        b"": None,
        b"lr: 0.1": None,
        b"\x80\x04\x95": "pickle",
        b"\x1f\x8b\x08": "gzip",
        b"PAR1": "Parquet",
        b"\x00\x01": "binary",
        b"%PDF-1.7": "PDF",
    }
    assert {head: why_not(head) for head in heads} == heads


ESCAPED = {
    "ada@bank.example": "e-mail address",
    "DE89 3704 0044 0532 0130 00": "IBAN",
    "4111 1111 1111 1111": "card number",
    "AKIAIOSFODNN7EXAMPLE": "AWS Access Key",
    "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH": "Hugging Face token",
}


@pytest.mark.parametrize("escape", [r"\n", r"\\t", r"\u00e9", "%20", "%2520"])
def test_what_stands_behind_an_escape_is_found(escape: str) -> None:
    """In JSON and URIs the last letter of an escape is none of a word."""
    texts = pa.array([f'{{"a": "x {escape}{value}{escape}"}}' for value in ESCAPED])
    found = [(hit.text, hit.pattern.name, hit.value) for hit in searcher().column(texts)]
    assert sorted(found) == [(at, name, value) for at, (value, name) in enumerate(ESCAPED.items())]


def test_a_name_behind_an_escape_tells() -> None:
    texts = pa.array([r'"x\npassword=hunter22x"', r'"x\ndb_password: \"hunter22x\""'])
    assert [hit.value for hit in searcher().column(texts)] == 2 * ["hunter22x"]
