"""Every bit of a file flipped, one at a time: what a signature or token must not survive."""

from __future__ import annotations

from collections.abc import Iterator


def flips(data: bytes, *, step: int = 1) -> Iterator[tuple[int, bytes]]:
    """Yield the number of a bit and the data with that bit flipped: of all bits, or of each ``step``-th."""
    for bit in range(0, 8 * len(data), step):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(flipped)
