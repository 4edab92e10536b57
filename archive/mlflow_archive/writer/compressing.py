"""Frames of packs, compressed at the level that pays for bytes of their kind, and proved to decode."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from threading import local
from typing import Final

import pyarrow as pa
import zstandard

from mlflow_archive.format.packs import compressor, decode_frame

_SAMPLE: Final = 16 * 1024
_CHEAPEST_LEVEL: Final = 1
_TRIED: Final = 16
"""Of so many frames of a kind one is compressed at both levels."""
_AS_SMALL: Final = 1.01

Raw = bytes | memoryview


class Gain(Enum):
    """How well bytes compress: the most that is left of a sample. Blobs of one frame share their entropy tables."""

    MUCH = 0.6
    SOME = 0.97
    NONE = float("inf")


@dataclass(slots=True)
class Alike:
    """Frames of one kind: a large blob, or small ones of a ``gain``, None where each frame is looked at.

    ``level`` is what was best for the last of them that was tried. Threads that share it try one more at most.
    """

    gain: Gain | None = None
    level: int | None = None
    frames: int = 0


class FrameCompressor:
    """Compresses at ``level`` of zstd or at the cheapest; safe to use from several threads."""

    def __init__(self, level: int) -> None:
        self._level, self._cheapest = level, min(level, _CHEAPEST_LEVEL)
        self._local = local()

    def gain(self, raw: Raw) -> Gain:
        """Say from a sample how much smaller the bytes get."""
        sample = raw[:_SAMPLE]
        ratio = len(self._at(_CHEAPEST_LEVEL, sample)) / max(1, len(sample))
        return next(gain for gain in Gain if ratio <= gain.value)

    def compress(self, raw: Raw, alike: Alike) -> bytes:
        """Compress one frame and prove that it decodes to the same bytes: compressors and memory do fail."""
        frame = self._frame(raw, alike)
        decoded = decode_frame(frame, len(raw), where="a frame just written")
        if not pa.py_buffer(raw).equals(pa.py_buffer(decoded)):
            message = "a frame does not decode to what was compressed: memory or the zstd library is faulty"
            raise RuntimeError(message)
        return frame

    def _frame(self, raw: Raw, alike: Alike) -> bytes:
        """Compress at the cheapest level what does not compress, and what that makes as small.

        That is not so for texts and programs, and is for weights, and for numbers as text or in eight bytes, of which
        level 1 often leaves less than level 3, at half the work.
        """
        if self._level == self._cheapest or (alike.gain or self.gain(raw)) is Gain.NONE:
            return self._at(self._cheapest, raw)
        alike.frames += 1
        if alike.level is not None and alike.frames % _TRIED != 1:
            return self._at(alike.level, raw)
        dear, cheap = self._at(self._level, raw), self._at(self._cheapest, raw)
        as_small = len(cheap) <= _AS_SMALL * len(dear)
        alike.level = self._cheapest if as_small else self._level
        return cheap if as_small else dear

    def _at(self, level: int, raw: Raw) -> bytes:
        compressors: dict[int, zstandard.ZstdCompressor] | None = getattr(self._local, "compressors", None)
        if compressors is None:
            compressors = self._local.compressors = {}
        if level not in compressors:
            compressors[level] = compressor(level)
        return compressors[level].compress(raw)
