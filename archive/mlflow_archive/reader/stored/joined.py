"""A delta beside its base, as the archive that is made by joining them (spec/format.md, "Deltas").

Nothing is written: a member is read where it lies, and what follows from the manifest is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mlflow_archive.errors import DamagedError, SelectionError
from mlflow_archive.format.delta import joined
from mlflow_archive.format.layout import MANIFEST, manifest_name
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.format.manifest import encode
from mlflow_archive.reader.stored.listing import listing_of
from mlflow_archive.reader.stored.opening import OpenedManifest
from mlflow_archive.storage.members import BytesMember, MemberFile, Members

_ID_SHOWN: Final = 12


class JoinedMembers:
    """The members of a base and of a delta, under the path of the delta. It closes both."""

    def __init__(self, base: Members, delta: Members, names: frozenset[str], listing: Sequence[BytesMember]) -> None:
        self.path: ArchivePlace = delta.path
        self.distant = base.distant or delta.distant
        self._base, self._delta, self._delta_names = base, delta, names
        self._listing = {file.name: file for file in listing}

    def believe(self, sizes: Mapping[str, int]) -> None:
        """Do nothing: base and delta have heard it each."""

    def sizes(self) -> Mapping[str, int]:
        """Return name and size of what the joined archive holds, as far as it is there, and of strays in the base."""
        delta = {name: size for name, size in self._delta.sizes().items() if name in self._delta_names}
        return {**self._base.sizes(), **delta, **{name: file.size for name, file in self._listing.items()}}

    def open(self, name: str) -> MemberFile:
        if name in self._listing:
            return self._listing[name]
        return self.holder(name).open(name)

    def holder(self, name: str) -> Members:
        """Return the one of both in which a member lies."""
        return self._delta if name in self._delta_names else self._base

    @property
    def parts(self) -> tuple[Members, Members]:
        """The base and the delta."""
        return self._base, self._delta

    def close(self) -> None:
        self._base.close()
        self._delta.close()


def place_of(members: Members, name: str | None) -> ArchivePlace:
    """Return where the archive lies that has a member: of several that were joined, one of these."""
    while isinstance(members, JoinedMembers):
        members = members.holder(name or "")
    return members.path


def _called(members: Members) -> str:
    """Return what messages call an archive, one that is not written anywhere by those that it is made of."""
    if isinstance(members, JoinedMembers):
        base, delta = members.parts
        return f"{_called(base)} joined with {_called(delta)}"
    return str(members.path)


def joined_members(
    base: Members, of_base: OpenedManifest, delta: Members, of_delta: OpenedManifest
) -> tuple[JoinedMembers, OpenedManifest]:
    """Return what a delta and its base are together: the members, and the manifest of the archive they make.

    Raises SelectionError where one is no delta, or is one of another base; DamagedError (E007) where it states other
    members or exports of its base than these are.
    """
    check_base(_called(base), of_base, delta.path, of_delta)
    manifest = joined(of_delta.manifest)
    problems = (*of_base.problems, *of_delta.problems)
    opened = OpenedManifest(manifest=manifest, data=encode(manifest), problems=problems)
    own = frozenset(member.path for member in of_delta.manifest.members)
    # The copy that the delta lists of the base's manifest is what was opened, though one in the base be damaged.
    copy = BytesMember(manifest_name(of_base.manifest.export_number), of_base.data)
    return JoinedMembers(base, delta, own, [copy, *listing_of(opened)]), opened


def check_base(base: ArchivePlace | str, of_base: OpenedManifest, path: ArchivePlace, of_delta: OpenedManifest) -> None:
    """Hold what a delta states of its base against an archive, as messages call it.

    Raises SelectionError, DamagedError (E007).
    """
    delta = of_delta.manifest.delta
    if delta is None:
        raise SelectionError(f"{path} is no delta but a whole archive ({of_delta.archive_id}): it needs no base")
    if of_base.manifest.delta is not None:
        raise SelectionError(
            f"{base} is a delta itself, of the archive {of_base.manifest.delta.base}: join it to that one first"
        )
    if delta.base != of_base.archive_id:
        raise SelectionError(
            f"{path} is a delta of export {delta.export} of the archive {delta.base}, and {base} is "
            f"{of_base.archive_id}, with export {of_base.manifest.export_number}: give the one that it was made of; "
            "where there are deltas between the two, join them in their order"
        )
    _check_stated(path, of_base, of_delta)


def _check_stated(path: ArchivePlace, of_base: OpenedManifest, of_delta: OpenedManifest) -> None:
    copy = manifest_name(of_base.manifest.export_number)
    same_members = of_base.manifest.members == tuple(m for m in of_delta.manifest.elsewhere if m.path != copy)
    same_exports = of_base.manifest.exports == of_delta.manifest.exports[: len(of_base.manifest.exports)]
    if not (same_members and same_exports):
        what = "exports" if same_members else "members"
        message = f"{path} states other {what} of its base {of_base.archive_id[:_ID_SHOWN]}… than this one has"
        raise DamagedError(message, code="E007", member=MANIFEST)
