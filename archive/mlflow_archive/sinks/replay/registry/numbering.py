"""Which versions of a registered model of the target are those of the source, and which are left over of an import.

Pure: of what the target shows. A version has the number of the source, or, where an import appended it, any number
and a tag that says so (decision 0026).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mlflow_archive.format.source_tags import OWN_PREFIX
from mlflow_archive.sinks.replay.writing.version_numbers import APPENDED, identity_of_tags, without_time

FILLER: Final = OWN_PREFIX + "filler"

TagsByNumber = Mapping[int, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """``numbers`` maps numbers at the source to those in the target; ``leftovers`` are numbers there, ascending.

    ``is_mixed`` says whether the target has any version of another origin, or with another number than at the source.
    """

    numbers: Mapping[int, int]
    leftovers: tuple[int, ...]
    is_mixed: bool


def mark_of(tags: Mapping[str, str]) -> str | None:
    """Return the identity of a version that an import made, FILLER for one that only takes a number, None else."""
    return FILLER if FILLER in tags else identity_of_tags(tags, version=True)


def _is_at_its_number(number: int, tags: Mapping[str, str], own: str | None) -> bool:
    """Return whether an import made a version of the model ``own`` with the number that it has at the source."""
    return own is not None and APPENDED not in tags and without_time(mark_of(tags) or "") == f"{own}/{number}"


def placed(versions: TagsByNumber, identities: Mapping[str, int], own: str | None = None) -> Placed:
    """Place the versions of a source, by identity, among those of the target.

    ``own`` is ``workspace/name`` of the model at the source, where the target's is that one: versions of it that did
    not come now are no others. One that carries the identity of another number and was not appended is of an import
    that was cut off, and left over; of two copies the one with its own number counts, else the lower.
    """
    numbers: dict[int, int] = {}
    leftovers, is_mixed = [], False
    for number in sorted(versions):
        tags = versions[number]
        mark = mark_of(tags)
        source = identities.get(mark or "")
        if mark == FILLER or (source not in (None, number) and APPENDED not in tags):
            leftovers.append(number)
            continue
        is_mixed |= source != number and not _is_at_its_number(number, tags, own)
        if source == number or (source is not None and source not in numbers):
            numbers[source] = number
    return Placed(numbers=numbers, leftovers=tuple(leftovers), is_mixed=is_mixed)
