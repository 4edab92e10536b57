"""What a worker writes of an export, and what it says of it: all of it under a token that nobody else has.

    staging/TOKEN/000001.rows           its rows, with its part of the blob index
    staging/TOKEN/packs/0001-00000.zst  its packs
    tables/0001-TOKEN.rows              the rows, of an export into a bucket; its packs get their names there at once

Nothing of it counts before whoever gives out the work takes the parcel. A worker that was given up and goes on writes
under a token that nobody will take.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.layout import pack_name
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.writer.packs import WrittenPack
from mlflow_archive.writer.staged import StagedBlock

TOKEN_BYTES: Final = 6
ROWS: Final = "000001.rows"
_FIRST_OF_WORKERS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WritingPlan:
    """What a worker must know of the archive that is being written; plain data.

    ``place`` is that of the archive, ``staging`` the folder in which parcels are written, None for a bucket. ``token``
    begins those of all workers of this export. ``base`` is the archive that is added to, or of which this is a delta:
    what it holds is not written again, nor with what was ``staged`` by an interrupted try; with ``recheck`` it is.
    """

    place: ArchivePlace
    staging: Path | None
    export: int
    token: str
    level: int
    base: ArchivePlace | None = None
    recheck: bool = False
    staged: tuple[tuple[Path, tuple[StagedBlock, ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What a worker wrote of some shards: its rows, and packs under the names that they get.

    ``large`` are the digests of blobs in them that are cut over several frames; ``counts`` what progress hears, by
    unit; ``gaps`` those that are reported, and all of no object.
    """

    token: str
    blocks: tuple[StagedBlock, ...]
    packs: tuple[WrittenPack, ...]
    large: frozenset[bytes]
    counts: dict[str, int]
    notes: tuple[str, ...]
    gaps: tuple[Gap, ...]
    findings: object = None


def arrived_pack_name(export: int, token: str, number: int) -> str:
    """Return the member name of a pack that a worker wrote; it comes behind those of whoever gives out the work.

    >>> arrived_pack_name(1, "00ff", 2)
    'packs/0001-10002-00ff.zst'
    """
    return own_name(pack_name(export, _FIRST_OF_WORKERS + number), token)


def own_name(name: str, token: str) -> str:
    """Return the name of a part or pack with the token of its writer (spec/format.md, section 14)."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}-{token}{dot}{suffix}"


def remote_rows(export: int, token: str) -> str:
    """Return the name in a bucket under which a worker leaves its rows."""
    return f"tables/{export:04d}-{token}.rows"
