"""Which artifacts are text, and their bytes as ones whose letters are of one byte each."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO, Final

BLOCK: Final = 1024 * 1024
_HEAD: Final = 8_192

_BEGINNINGS: Final = {
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf\x27\x1c": "7-zip",
    b"PAR1": "Parquet",
    b"%PDF-": "PDF",
    b"SQLite format 3\x00": "SQLite",
    b"\x89HDF\r\n\x1a\n": "HDF5",
    **{bytes([0x80, protocol]): "pickle" for protocol in range(2, 6)},
}
_WIDE: Final = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def why_not(head: bytes) -> str | None:
    """Return what an artifact is whose bytes begin so, None where it is text.

    >>> why_not(b"lr: 0.1\\xff\\n"), why_not(b"PK\\x03\\x04..."), why_not(b"a\\x00b")
    (None, 'zip', 'binary')
    """
    for beginning, name in _BEGINNINGS.items():
        if head.startswith(beginning):
            return name
    return "binary" if b"\x00" in head[:_HEAD] and _encoding(head) is None else None


def blocks(stream: BinaryIO, head: bytes) -> Iterator[bytes]:
    """Yield a text in blocks; one whose letters take two or four bytes as UTF-8. ``head`` was read from it already."""
    encoding = _encoding(head)
    decoder = None if encoding is None else codecs.getincrementaldecoder(encoding)(errors="replace")
    block = head
    while block:
        yield block if decoder is None else decoder.decode(block).encode()
        block = stream.read(BLOCK)


def _encoding(head: bytes) -> str | None:
    return next((encoding for mark, encoding in _WIDE.items() if head.startswith(mark)), None)
