"""Look through texts: columns of a table, or the bytes of a file, for what the patterns know.

Arrow runs the signs of all patterns over many texts at once; what has one is looked at by the patterns it may be of.
Texts are cut into short ones, as an expression takes its time with a long one: each overlaps the next by more than
what a sign and its surroundings take, and what begins in the first half of that the one before has seen.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.scanning.patterns import Pattern

PIECE: Final = 4_096
"""The most that an expression is given at once, characters."""
OVERLAP: Final = 1_024
_HALF: Final = OVERLAP // 2


@dataclass(frozen=True, slots=True)
class Hit:
    """A value: in which of some texts, of which pattern, where it begins there, and the value."""

    text: int
    pattern: Pattern
    begin: int
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A piece of a text: where it begins there, and between which of its characters a value begins that is its own."""

    text: int
    offset: int
    characters: str
    first: int
    last: int


class Searcher:
    """Knows some patterns; safe to use from several threads."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._by_sign: dict[str, list[Pattern]] = {}
        for pattern in patterns:
            self._by_sign.setdefault(pattern.sign, []).append(pattern)
        self._any = "|".join(f"(?:{sign})" for sign in self._by_sign)

    def column(self, texts: pa.ChunkedArray | pa.Array) -> Iterator[Hit]:
        """Yield what is in the texts of a column, by pattern; nulls hold nothing."""
        # Of an array without a piece Arrow finds no indices but ends the process.
        array = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
        may_hold = pc.fill_null(pc.match_substring_regex(array, self._any), False)
        rows = pc.indices_nonzero(may_hold)
        yield from self._search(_cut(zip(rows.to_pylist(), array.take(rows).to_pylist(), strict=True)))

    def without_values(self, text: str, stand_in: Callable[[str], str]) -> str:
        """Return a text with something else in place of what is found in it."""
        for hit in sorted(self.column(pa.array([text])), key=lambda hit: hit.begin, reverse=True):
            text = text[: hit.begin] + stand_in(hit.value) + text[hit.begin + len(hit.value) :]
        return text

    def file(self, blocks: Iterable[bytes]) -> Iterator[tuple[int, Hit]]:
        """Yield what is in a file with the number of its line, from 1. A byte is a character: none stops the search."""
        line, rest, first = 1, b"", 0
        for block in blocks:
            data = rest + block
            cut = data.rfind(b"\n") + 1
            lines = data[:cut] or data  # one that is longer than a block goes on in the next
            for hit in self._lines(_split(lines)):
                ends_later = not cut and hit.begin >= len(lines) - _HALF
                if (hit.text or hit.begin >= first) and not ends_later:
                    yield line + hit.text, hit
            rest = data[cut:] if cut else data[-OVERLAP:]
            first = 0 if cut else max(0, len(rest) - _HALF)
            line += lines.count(b"\n")
        for hit in self._lines(_split(rest)):
            if hit.text or hit.begin >= first:
                yield line + hit.text, hit

    def small_files(self, files: Sequence[bytes]) -> Iterator[tuple[int, int, Hit]]:
        """Yield what is in some whole files, with the number of the file, from 0, and of the line in it, from 1.

        To look through one costs as much as through many, if they are small.
        """
        split = pc.split_pattern(pa.array(files, pa.large_binary()), b"\n")
        begins = split.offsets.to_pylist()
        for hit in self._lines(split.flatten()):
            file = bisect_right(begins, hit.text) - 1
            yield file, hit.text - begins[file] + 1, hit

    def _lines(self, lines: pa.Array) -> Iterator[Hit]:
        may_hold = pc.indices_nonzero(pc.match_substring_regex(lines, self._any))
        numbers = may_hold.to_pylist()
        texts = (value.decode("latin-1") for value in lines.take(may_hold).to_pylist())
        yield from self._search(_cut(zip(numbers, texts, strict=True)))

    def _search(self, pieces: Sequence[_Piece]) -> Iterator[Hit]:
        """Yield what is in some pieces; of values that overlap, that of the earlier pattern."""
        texts = pa.array([piece.characters for piece in pieces], pa.large_string())
        spans_of: dict[int, list[tuple[int, int]]] = {}
        for sign, patterns in self._by_sign.items():
            for at in pc.indices_nonzero(pc.match_substring_regex(texts, sign)).to_pylist():
                piece, spans = pieces[at], spans_of.setdefault(at, [])
                for pattern in patterns:
                    for begin, end in pattern.values(piece.characters):
                        free = all(end <= before or begin >= behind for before, behind in spans)
                        if free and piece.first <= begin < piece.last:
                            spans.append((begin, end))
                            yield Hit(piece.text, pattern, piece.offset + begin, piece.characters[begin:end])


def _split(data: bytes) -> pa.Array:
    return pc.split_pattern(pa.array([data], pa.large_binary()), b"\n").flatten()


def _cut(texts: Iterable[tuple[int, str]]) -> list[_Piece]:
    pieces = []
    for number, text in texts:
        for offset in range(0, max(1, len(text) - OVERLAP), PIECE - OVERLAP):
            characters = text[offset : offset + PIECE]
            is_last = offset + PIECE >= len(text)
            pieces.append(
                _Piece(
                    text=number,
                    offset=offset,
                    characters=characters,
                    first=_HALF if offset else 0,
                    last=len(characters) if is_last else PIECE - _HALF,
                )
            )
    return pieces
