"""Volumes put together to one stream, each compared with its SHA-256 on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlflow_archive.packing.behind import BLOCK
from mlflow_archive.packing.volumes import SetFile


class VolumeChangedError(Exception):
    """A volume is not as it was written, or cannot be read."""


def joined_blocks(volumes: Sequence[SetFile], places: Mapping[str, Path]) -> Iterator[bytes]:
    """Yield the bytes of all volumes in turn; the last of each once it was found right. Raises VolumeChangedError."""
    for volume in volumes:
        yield from verified_blocks(places[volume.name], volume)


def verified_blocks(path: Path, file: SetFile) -> Iterator[bytes]:
    """Yield the bytes of a file, the last of them once size and SHA-256 were found right.

    Raises VolumeChangedError.
    """
    digest, size, block = hashlib.sha256(), 0, b""
    try:
        with path.open("rb", buffering=0) as source:
            while following := source.read(BLOCK):
                if block:
                    yield block
                block = following
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise VolumeChangedError(f"{file.name} cannot be read: {error.strerror}") from error
    if size != file.size or digest.hexdigest() != file.sha256:
        raise VolumeChangedError(f"{file.name} is not what was written")
    yield block


def sha256_of(path: Path) -> str | None:
    """Return the SHA-256 of a file, None where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as source:
            while block := source.read(BLOCK):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()
