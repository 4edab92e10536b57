"""Archives to pack, sets of volumes made of them, and what a test does to a set."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pyrage

from mlflow_archive.packing.pack import PackOptions, PackReport, pack
from mlflow_archive.packing.unpack import UnpackOptions, UnpackReport, unpack
from mlflow_archive.packing.volumes import SetRecord
from mlflow_archive.storage.files import Files
from tests.support.memory_source import MemoryOptions, export

LONG: Final = "TEST_ROAD" in os.environ
CONTENT: Final = MemoryOptions(runs=4, sizes=(300, 0, 300_000), distinct=2)
SIGNATURE: Final = b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"
VOLUME_SIZE: Final = 50_000


@cache
def identity() -> pyrage.x25519.Identity:
    """Return a key, the same for all tests of a process."""
    return pyrage.x25519.Identity.generate()


def key_file(folder: Path) -> Path:
    """Write the key into a file, as age-keygen does."""
    path = folder / "key.txt"
    path.write_text(f"# created: today\n# public key: {identity().to_public()}\n{identity()}\n")
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedSet:
    """An archive with a signature, and its volumes in ``folder``."""

    archive: Path
    folder: Path
    report: PackReport
    key: Path

    @property
    def record(self) -> SetRecord:
        return self.report.record

    def volume(self, number: int) -> Path:
        """Return the path of a volume, numbered from 1."""
        return self.folder / self.record.volumes[number - 1].name

    def copy(self, place: Path) -> PackedSet:
        """Return the same set in another folder, to be spoilt."""
        shutil.copytree(self.folder, place)
        return PackedSet(archive=self.archive, folder=place, report=self.report, key=self.key)

    def unpack(self, target: Path, *, files: Files | None = None) -> UnpackReport:
        options = UnpackOptions(identities=[self.key] if self.record.encrypted else [])
        return unpack(self.folder, target, options=options, files=files)


_made: dict[str, bytes] = {}


def _single_file(content: MemoryOptions) -> bytes:
    if (data := _made.get(repr(content))) is not None:
        return data
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.mlfa")
        export(path, content, jobs=1)
        _made[repr(content)] = path.read_bytes()
    return _made[repr(content)]


def make_archive(folder: Path, name: str = "transfer.mlfa", content: MemoryOptions = CONTENT) -> Path:
    """Write an archive with a signature beside it."""
    path = folder / name
    if path.suffix:
        path.write_bytes(_single_file(content))
    else:
        export(path, content, jobs=1)
    signatures = path.with_name(f"{name}.sig")
    signatures.mkdir()
    (signatures / "0001-ada@example.org.sig").write_bytes(SIGNATURE)
    return path


def packed_set(
    folder: Path, *, encrypted: bool = True, parity: float | None = 30, name: str = "transfer.mlfa"
) -> PackedSet:
    """Pack an archive of 330 kB into seven volumes."""
    archive = make_archive(folder, name)
    recipients = [str(identity().to_public())] if encrypted else []
    options = PackOptions(recipients=recipients, volume_size=VOLUME_SIZE, parity_percent=parity)
    report = pack(archive, folder / "volumes", options=options)
    return PackedSet(archive=archive, folder=folder / "volumes", report=report, key=key_file(folder))


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return all that is below a folder: bytes of files, None for folders."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def change(path: Path, edit: Callable[[bytearray], None]) -> None:
    """Change bytes of a file."""
    data = bytearray(path.read_bytes())
    edit(data)
    path.write_bytes(data)


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Flip one bit of a file."""

    def edit(data: bytearray) -> None:
        data[offset] ^= 1 << bit

    change(path, edit)
