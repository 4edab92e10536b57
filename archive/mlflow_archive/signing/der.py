"""Distinguished Encoding Rules (X.690), as far as a time-stamp token needs them: its fields, one below the other."""

from __future__ import annotations

from typing import Final, NamedTuple

INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30
SET: Final = 0x31
CONTEXT_0: Final = 0xA0
_LONG_TAG: Final = 0x1F
_LONG: Final = 0x80


class DerField(NamedTuple):
    """One field: its tag, its content, and both with the length between them as they lie in the file."""

    tag: int
    content: bytes
    encoded: bytes


def fields(data: bytes) -> list[DerField]:
    """Split fields that follow each other. Raises ValueError unless they end where the data does, as DER has it."""
    split, at = [], 0
    while at < len(data):
        start = at
        size, at = _size(data, at + 1)
        content = data[at : at + size]
        at += size
        if at > len(data) or data[start] & _LONG_TAG == _LONG_TAG:
            raise ValueError(f"it is not in DER at byte {start}")
        split.append(DerField(data[start], content, data[start:at]))
    return split


def _size(data: bytes, at: int) -> tuple[int, int]:
    """Return the size of a content whose length stands at a byte, and where it begins; DER has the shortest form."""
    first = int.from_bytes(data[at : at + 1])
    if first < _LONG and at < len(data):
        return first, at + 1
    begin = at + 1 + first - _LONG
    size = int.from_bytes(data[at + 1 : begin])
    if begin == at + 1 or size < _LONG or data[at + 1] == 0 or begin > len(data):
        raise ValueError(f"it has a length that is not in DER at byte {at}")
    return size, begin


def field(tag: int, *parts: bytes) -> bytes:
    """Return a field of some content, encoded."""
    content = b"".join(parts)
    size = len(content)
    if size < _LONG:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, _LONG | len(length))) + length + content


def inside(outer: DerField, tag: int) -> DerField:
    """Return the one field in a field. Raises ValueError unless it has this tag and is alone."""
    inner = fields(outer.content)
    if [part.tag for part in inner] != [tag]:
        raise ValueError(f"it has fields of the tags {[part.tag for part in inner]} where one of {tag} should be")
    return inner[0]


def leading(outer: DerField, *tags: int) -> list[DerField]:
    """Return the first fields in a field, which must have these tags; more may follow. Raises ValueError otherwise."""
    inner = fields(outer.content)[: len(tags)]
    if [part.tag for part in inner] != list(tags):
        raise ValueError(f"it has fields of the tags {[part.tag for part in inner]} where {list(tags)} should be")
    return inner


def object_identifier(text: str) -> bytes:
    """Return an identifier, encoded.

    >>> object_identifier("1.2.840.113549.1.7.2").hex()
    '06092a864886f70d010702'
    """
    first, second, *rest = map(int, text.split("."))
    return field(OBJECT_IDENTIFIER, *(_arc(number) for number in (40 * first + second, *rest)))


def _arc(number: int) -> bytes:
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(0x80 | number & 0x7F)
    return bytes(reversed(digits))
