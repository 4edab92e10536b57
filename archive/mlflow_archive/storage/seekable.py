"""Binary streams that can be read from any place, as what takes an artifact or a part wants them."""

from __future__ import annotations

import io


class Seekable(io.RawIOBase):
    """A stream that says that it can be read, and from any place."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


class Positioned(Seekable):
    """A stream of ``size`` bytes that keeps its position itself; ``_next`` gives bytes from there and moves it on."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self._position = 0

    def _next(self, limit: int) -> bytes:
        """Return at most ``limit`` bytes, none only at the end."""
        raise NotImplementedError

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        return len(data)
