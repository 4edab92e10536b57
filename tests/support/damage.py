"""Damage as media do it: bits that flip, bytes that are other ones, sectors of zeros, files cut off or gone."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

CELL = 64
"""Bytes: two damages of different copies never lie in one cell."""


def copied(source: Path, target: Path) -> Path:
    """Copy an archive of either form."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    return target


def damage_both(first: Path, second: Path, number: int, chance: Random) -> None:
    """Damage two copies of one form, each in ``number`` places, never in the same one."""
    cells = [(file.relative_to(first), at) for file in files_of(first) for at in range(0, file.stat().st_size, CELL)]
    chance.shuffle(cells)
    for path, hit in ((first, cells[:number]), (second, cells[number : 2 * number])):
        for name in sorted({name for name, _ in hit}):
            harm(path / name, [at for other, at in hit if other == name], chance)


def files_of(path: Path) -> Iterator[Path]:
    """Yield the files of an archive of either form."""
    yield from sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def harm(path: Path, cells: Iterable[int], chance: Random) -> None:
    """Change something in each of some cells of a file."""
    data = bytearray(path.read_bytes())
    for at in cells:
        end = min(len(data), at + CELL)
        kind = chance.randrange(10)
        if kind < 6:
            data[chance.randrange(at, end)] ^= 1 << chance.randrange(8)
        elif kind < 9:
            data[at:end] = chance.randbytes(end - at)
        else:
            data[at:end] = bytes(end - at)
    path.write_bytes(data)
