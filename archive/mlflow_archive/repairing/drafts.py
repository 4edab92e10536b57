"""A member put together from several copies, none of them whole: where they differ, what was proved is taken."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from math import prod
from typing import Final

from mlflow_archive.storage.members import HASH_BLOCK, BytesMember, MemberFile

Range = tuple[int, int]
"""First byte, and the one behind the last."""

MAX_TRIES: Final = 1 << 14
MAX_TRIED_BYTES: Final = 1 << 30
MAX_RANGES: Final = 20_000
"""Copies that differ in more places are not copies of one another."""
_COARSEST: Final = 15
_WAYS: Final = ((64, 0), (_COARSEST, 0), (3, 0), (0, 0), (64, 4096), (64, 512), (_COARSEST, 64), (0, 64), (0, 1))
"""How differences are told apart, one way after another: the bytes that may be equal inside of one damage (a sector of
zeros has some that are right by chance), and where one damage may end and another begin (0: nowhere): members of a
single file are aligned to 64 bytes, sectors to more."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is decided from ``start`` to ``end``: the bytes of a file, ``shift`` before these offsets."""

    start: int
    end: int
    file: MemberFile
    shift: int


def _start(piece: _Piece) -> int:
    return piece.start


class Draft(MemberFile):
    """The bytes of ``sources``, copies of one member of equal size; what differs is that of the first until decided."""

    def __init__(self, sources: Sequence[MemberFile]) -> None:
        self.name, self.size, self._sources = sources[0].name, sources[0].size, sources
        self.undecided: list[Range] = []
        self._decided: list[_Piece] = []
        for offset in range(0, self.size, HASH_BLOCK):
            blocks = [source.read_at(offset, min(HASH_BLOCK, self.size - offset)) for source in sources]
            self.undecided += [(offset + low, offset + high) for low, high in differing(blocks, _COARSEST)]
            if len(self.undecided) > MAX_RANGES:
                break
        self.comparable = len(self.undecided) <= MAX_RANGES

    @property
    def place(self) -> None:
        return None

    def read_at(self, offset: int, size: int) -> bytes:
        stored = bytearray(self._sources[0].read_at(offset, size))
        end = offset + size
        first = max(0, bisect_left(self._decided, offset, key=_start) - 1)
        for piece in islice(self._decided, first, None):
            if piece.start >= end:
                break
            low, high = max(offset, piece.start), min(end, piece.end)
            if low < high:
                stored[low - offset : high - offset] = piece.file.read_at(low - piece.shift, high - low)
        return bytes(stored)

    def touches(self, start: int, end: int) -> bool:
        """Return whether anything between two offsets is undecided."""
        return any(low < end and start < high for low, high in self.undecided)

    def variants(self, start: int, end: int) -> Iterator[bytes]:
        """Yield what may lie between two offsets, each way once."""
        for variants in self._ways(start, end):
            yield from variants

    def _ways(self, start: int, end: int) -> Iterator[Iterator[bytes]]:
        """Yield, for each way in which differences are told apart, what may lie there by it and by none before."""
        pieces = [source.read_at(start, end - start) for source in self._sources]
        if not self.touches(start, end):
            yield iter([self.read_at(start, end - start)])
            return
        tried: set[bytes] = set()
        for gap, cut in _WAYS:
            runs = differing(pieces, gap, cut=cut, offset=start)
            if len(pieces) ** len(runs) <= min(MAX_TRIES, max(64, MAX_TRIED_BYTES // (end - start))):
                yield _untried(pieces, runs, tried)

    def settle(self, start: int, end: int, proves: Callable[[bytes], bool]) -> bool:
        """Decide what lies between two offsets; return whether it is decided, or was never in doubt.

        What is proved in several ways, such as a byte that no checksum covers, stays undecided.
        """
        if not self.touches(start, end):
            return True
        for variants in self._ways(start, end):
            if proved := [variant for variant in variants if proves(variant)]:
                self.decide(start, proved[0])
                self.undecided += [(start + low, start + high) for low, high in differing(proved, _COARSEST)]
                self.undecided.sort()
                return True
        return False

    def decide(self, start: int, content: bytes) -> None:
        """Take these bytes, which were proved, for what lies at an offset."""
        end = start + len(content)
        outside = [((low, min(high, start)), (max(low, end), high)) for low, high in self.undecided]
        self.undecided = [piece for pair in outside for piece in pair if piece[0] < piece[1]]
        contents = [source.read_at(start, len(content)) for source in self._sources]
        for run in differing([contents[0], content], _COARSEST):
            insort(self._decided, self._piece(start, run, contents, content), key=_start)

    def _piece(self, start: int, run: Range, contents: Sequence[bytes], content: bytes) -> _Piece:
        """Return a run of decided bytes: of the first source that has them, or else the bytes themselves."""
        low, high = run
        for source, stored in zip(self._sources, contents, strict=True):
            if stored[low:high] == content[low:high]:
                return _Piece(start + low, start + high, source, 0)
        return _Piece(start + low, start + high, BytesMember(self.name, content[low:high]), start + low)

    def settle_rest(self, accepted: Collection[str]) -> bool:
        """Decide by the SHA-256 of the member what no piece of it proves; return whether that is an accepted one."""
        rest = self.undecided
        for gap, cut in _WAYS[1:]:
            runs = [run for start, end in rest for run in self._runs(start, end, gap, cut)]
            tries = prod(len(self._contents(low, high)) for low, high in runs) if len(runs) < 32 else MAX_TRIES + 1
            if tries > MAX_TRIES or tries * self.size > 4 * MAX_TRIED_BYTES:
                continue
            for contents in self._hashed(runs, 0, hashlib.sha256(), accepted):
                for (low, _), content in zip(runs, contents, strict=True):
                    self.decide(low, content)
                return True
        return False

    def _runs(self, start: int, end: int, gap: int, cut: int) -> list[Range]:
        pieces = [source.read_at(start, end - start) for source in self._sources]
        return [(start + low, start + high) for low, high in differing(pieces, gap, cut=cut, offset=start)]

    def _contents(self, start: int, end: int) -> list[bytes]:
        return list(dict.fromkeys(source.read_at(start, end - start) for source in self._sources))

    def _hashed(
        self, runs: Sequence[Range], begun: int, digest: hashlib._Hash, accepted: Collection[str]
    ) -> Iterator[tuple[bytes, ...]]:
        """Yield the contents of runs with which the member has an accepted hash; ``digest`` is of what is before."""
        end = runs[0][0] if runs else self.size
        for offset in range(begun, end, HASH_BLOCK):
            digest.update(self.read_at(offset, min(HASH_BLOCK, end - offset)))
        if not runs:
            if digest.hexdigest() in accepted:
                yield ()
            return
        for content in self._contents(*runs[0]):
            following = digest.copy()
            following.update(content)
            for contents in self._hashed(runs[1:], runs[0][1], following, accepted):
                yield (content, *contents)


def _untried(pieces: Sequence[bytes], runs: Sequence[Range], tried: set[bytes]) -> Iterator[bytes]:
    """Yield pieces of equal length with each of some runs from any of them; ``tried`` are the hashes of all before."""
    for sources in product(pieces, repeat=len(runs)):
        content = bytearray(pieces[0])
        for (low, high), source in zip(runs, sources, strict=True):
            content[low:high] = source[low:high]
        digest = hashlib.sha256(content).digest()
        if digest not in tried:
            tried.add(digest)
            yield bytes(content)


def differing(pieces: Sequence[bytes], gap: int, *, cut: int = 0, offset: int = 0) -> list[Range]:
    """Return where pieces of equal length differ; up to ``gap`` equal bytes between two differences count as one.

    With ``cut`` a difference ends at multiples of it; the first byte of the pieces lies at ``offset``.
    """
    differences = 0
    first = int.from_bytes(pieces[0], "little")
    for piece in pieces[1:]:
        if piece != pieces[0]:
            differences |= first ^ int.from_bytes(piece, "little")
    if not differences:
        return []
    pattern = re.compile(rb"[^\0](?:\0{0,%d}[^\0])*" % gap, re.DOTALL)
    runs = [match.span() for match in pattern.finditer(differences.to_bytes(len(pieces[0]), "little"))]
    return [piece for run in runs for piece in _cut(run, cut, offset)] if cut else runs


def _cut(run: Range, cut: int, offset: int) -> Iterator[Range]:
    low, high = run
    while low < high:
        end = min(high, low + cut - (offset + low) % cut)
        yield low, end
        low = end


def majority(pieces: Sequence[bytes]) -> BytesMember:
    """Return what most of some pieces of equal length have, byte for byte."""
    content = bytearray(pieces[0])
    for low, high in differing(pieces, 0):
        for at in range(low, high):
            values = [piece[at] for piece in pieces]
            content[at] = max(values, key=values.count)
    return BytesMember("majority", bytes(content))
