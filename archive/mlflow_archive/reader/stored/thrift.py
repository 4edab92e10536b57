"""Thrift's compact protocol, as far as the headers of Parquet need it (thrift: doc/specs/thrift-compact-protocol.md).

Stricter than Thrift's own readers: what two of these could take in two ways, such as a field that comes twice, is
refused. So nobody reads something else than what was checked here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

Fields = dict[int, Any]
"""A struct: its values by field number. Integers, booleans, structs and lists are there, None for any other value."""

_DEEPEST: Final = 8
_LARGEST_FIELD: Final = 32767

_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 12
_INTEGERS: Final = frozenset({4, 5, 6})


class ThriftError(ValueError):
    """Bytes that are no struct in Thrift's compact protocol."""


class CutShortError(ThriftError):
    """The struct goes on behind the bytes that are there."""


class CompactReader:
    """Reads a struct from the first byte of some data; ``position`` is where it has come to."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def struct(self, depth: int = _DEEPEST) -> Fields:
        """Return a whole struct. Raises ThriftError."""
        return dict(self.fields(depth))

    def fields(self, depth: int = _DEEPEST) -> Iterator[tuple[int, Any]]:
        """Yield number and value of each field of a struct, as they come. Raises ThriftError."""
        if depth == 0:
            raise ThriftError("structs nest too deep")
        number, numbers = 0, set()
        while (head := self._byte()) != _STOP:
            number = number + (head >> 4) if head >> 4 else self._integer()
            if number in numbers or not 0 < number <= _LARGEST_FIELD:
                raise ThriftError(f"field {number} comes twice, or has no such number")
            numbers.add(number)
            yield number, self._value(head & 0x0F, depth)

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in _INTEGERS:
            return self._integer()
        if kind == _STRUCT:
            return self.struct(depth - 1)
        if kind == _LIST:
            return self._list(depth - 1)
        self._skip(self._size_of(kind))
        return None

    def _list(self, depth: int) -> list[Any]:
        if depth == 0:
            raise ThriftError("lists nest too deep")
        head = self._byte()
        size = head >> 4 if head >> 4 < 15 else self._unsigned()
        if size > len(self._data) - self.position:
            raise CutShortError("a list is cut short")
        kind = head & 0x0F
        if kind in (_TRUE, _FALSE):  # in a list each has a byte of its own
            kind = _BYTE
        return [self._value(kind, depth) for _ in range(size)]

    def _size_of(self, kind: int) -> int:
        if kind == _BINARY:
            return self._unsigned()
        if kind in (_BYTE, _DOUBLE):
            return 1 if kind == _BYTE else 8
        raise ThriftError(f"a value of type {kind} is not of Parquet")

    def _byte(self) -> int:
        self._skip(1)
        return self._data[self.position - 1]

    def _skip(self, size: int) -> None:
        if size > len(self._data) - self.position:
            raise CutShortError("a value is cut short")
        self.position += size

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
            if shift > 63:
                raise ThriftError("a number is too long")

    def _integer(self) -> int:
        zigzag = self._unsigned()
        return (zigzag >> 1) ^ -(zigzag & 1)
