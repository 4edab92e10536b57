"""Mutants by number: seed and number decide all, so one that was seen can be made again alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.hostile.contents import Contents, taken_apart
from tests.hostile.files import FILES, in_single_file
from tests.hostile.manifests import MANIFESTS
from tests.hostile.packs import PACKS
from tests.hostile.records import RECORDS
from tests.hostile.tables import TABLES
from tests.spec.drafts import Files, in_order, write_directory, zipped

Mutation = Callable[[Contents, Random], str]
MUTATIONS: Final[tuple[tuple[Mutation, ...], ...]] = (MANIFESTS, TABLES, TABLES, TABLES, PACKS, FILES, RECORDS)
"""Each step as often as it is worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A hostile archive at a path, and what was changed in it."""

    number: int
    what: str
    path: Path


def make_mutant(bases: Sequence[Files], number: int, seed: int, folder: Path) -> Mutant:
    """Write the mutant of a number, made of one of some sound archives, into a folder, which is there and empty."""
    random = Random(f"{seed}/{number}")  # noqa: S311 - chance that can be had again
    contents = taken_apart(random.choice(bases))
    mutation = random.choice(random.choice(MUTATIONS))
    what = f"{mutation.__name__}: {mutation(contents, random)}"
    path = folder / f"mutant-{number}.mlfa"
    files = contents.build()
    as_one = random.random() < 0.6 or bool(contents.single_edits) or not contents.stays_inside
    if not as_one:
        write_directory(files, path)
        return Mutant(number=number, what=what, path=path)
    data = contents.single_edits[0](in_order(files)) if contents.single_edits else zipped(in_order(files))
    if random.random() < 0.1:
        data, more = in_single_file(data, random)
        what = f"{what}; {more}"
    path.write_bytes(data)
    return Mutant(number=number, what=what, path=path)
