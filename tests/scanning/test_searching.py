"""Long texts, and files in blocks: each value is found once, wherever it lies."""

from __future__ import annotations

import codecs
import io
import re

import pyarrow as pa
import pytest

from mlflow_archive.scanning.archive import searcher
from mlflow_archive.scanning.patterns import PERSONAL, Pattern
from mlflow_archive.scanning.searching import OVERLAP, PIECE, Searcher
from mlflow_archive.scanning.texts import blocks, why_not

SEARCH = Searcher(PERSONAL)
EMAIL = "ada@bank.example"


@pytest.mark.parametrize(
    "before",
    [
        *(0, 1, OVERLAP // 2 - 1, OVERLAP // 2, 9_000),
        *range(PIECE - OVERLAP - 20, PIECE + 40, 7),
        *range(PIECE - OVERLAP // 2 - 3, PIECE - OVERLAP // 2 + 2),
    ],
)
def test_a_value_in_a_long_text_is_found_once(before: int) -> None:
    text = f"{'x ' * before}"[:before] + f" {EMAIL} " + "y " * 3_000
    hits = [(hit.text, hit.begin, hit.value) for hit in SEARCH.column(pa.array(["none", text]))]
    assert hits == [(1, before + 1, EMAIL)]


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, PIECE - OVERLAP + 800, 2 * PIECE - OVERLAP])
def test_a_value_at_both_ends_of_a_text_is_found_once(size: int) -> None:
    text = EMAIL + " " * max(1, size - 2 * len(EMAIL)) + EMAIL
    texts = pa.chunked_array([["none", text], [], [None, text]], pa.string())
    hits = [(hit.text, hit.begin, hit.value) for hit in SEARCH.column(texts)]
    assert hits == [(at, begin, EMAIL) for at in (1, 3) for begin in (0, len(text) - len(EMAIL))]
    assert list(SEARCH.column(pa.chunked_array([], pa.string()))) == []


def test_all_values_of_a_text_are_replaced() -> None:
    text = f"{EMAIL}, of {EMAIL}, grace.hopper@navy.example!"
    assert SEARCH.without_values(text, lambda value: f"<{len(value)}>") == "<16>, of <16>, <25>!"
    assert SEARCH.without_values("none", lambda value: "?") == "none"


def test_of_values_that_overlap_that_of_the_earlier_pattern_is_one() -> None:
    patterns = [Pattern(kind="k", name=text, sign=text[0], regex=re.compile(text)) for text in ("bc", "ab", "cd", "de")]
    found = [(hit.pattern.name, hit.begin) for hit in Searcher(patterns).column(pa.array(["abcde", "abcd", "debcab"]))]
    assert sorted(found) == [("ab", 4), ("bc", 1), ("bc", 1), ("bc", 2), ("de", 0), ("de", 3)]


@pytest.mark.parametrize("size", [10, 100, 512, 1_024, 5_000])
def test_lines_are_counted_whatever_the_blocks_are(size: int) -> None:
    lines = [f"{EMAIL} {number}" if number % 3 else "x" * number for number in range(1, 90)]
    data = "\n".join(lines).encode()
    cut = [data[at : at + size] for at in range(0, len(data), size)]
    assert [line for line, _ in SEARCH.file(cut)] == [number for number in range(1, 90) if number % 3]


@pytest.mark.parametrize("begin", [*range(510, 516), *range(1_022, 1_027)])
def test_a_value_at_the_edge_of_what_a_block_leaves_to_the_next_is_found_once(begin: int) -> None:
    """Of a long line the next block looks at the last 512 bytes anew; what begins before them is not its own."""
    data = b" " * begin + EMAIL.encode() + b" " * 2_000
    for size in (1_024, 1_536):
        cut = [data[at : at + size] for at in range(0, len(data), size)]
        assert [(line, hit.value) for line, hit in SEARCH.file(cut)] == [(1, EMAIL)], size


def test_of_small_files_each_has_lines_of_its_own() -> None:
    files = [f"\n{EMAIL}".encode(), b"", f"{EMAIL}\n\n{EMAIL}\n".encode(), b"x", EMAIL.encode()]
    assert [(file, line) for file, line, _ in SEARCH.small_files(files)] == [(0, 2), (2, 1), (2, 3), (4, 1)]
    assert list(SEARCH.small_files([])) == []


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
        codecs.BOM_UTF16_LE + b"\x00\xd8" + f" {EMAIL}".encode("utf-16-le"),  # half of a character
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
        b"x" * 8_191 + b"\x00": "binary",
        b"x" * 8_192 + b"\x00": None,
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
