"""The packs of a group of exports: those that stay whole are copied, of others the frames that stay, as they are.

Only a frame of which some blobs go is written anew, with the others. Small packs become one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from mlflow_archive.errors import DamagedError
from mlflow_archive.format.manifest import Member
from mlflow_archive.format.packs import MAX_EXTENTS, Extent, Label, decode_frame
from mlflow_archive.reader.archive import Archive
from mlflow_archive.storage.growing import GrowingMembers
from mlflow_archive.storage.members import MemberFile
from mlflow_archive.writer.compacting.survey import GroupSurvey, SurveyedPack, ThinningSurvey
from mlflow_archive.writer.compressing import Alike, Gain
from mlflow_archive.writer.packs import SHARED_FRAME_RAW, PackWriter, WrittenPack, scan_pack

SMALL_PACK: Final = 64 * 1024 * 1024
"""Packs of fewer bytes are put together, where there are several."""


def packs_to_write(surveyed: GroupSurvey) -> list[SurveyedPack]:
    """Return the packs of a group that are not copied whole."""
    dead = [pack for pack in surveyed.packs if not pack.whole]
    small = [pack for pack in surveyed.packs if pack.whole and pack.member.size < SMALL_PACK]
    together = [*dead, *small] if len(dead) + len(small) > 1 else dead
    return sorted((pack for pack in together if pack.live_extents), key=lambda pack: pack.member.path)


def packs_to_copy(surveyed: GroupSurvey) -> list[SurveyedPack]:
    """Return the packs of a group that stay byte for byte."""
    rewritten = {pack.member.path for pack in packs_to_write(surveyed)}
    return [pack for pack in surveyed.packs if pack.whole and pack.member.path not in rewritten]


class ThinnedPacks:
    """Writes what stays of some packs into new ones, through a PackWriter that the caller finishes."""

    def __init__(self, archive: Archive, survey: ThinningSurvey, writer: PackWriter) -> None:
        self._archive, self._survey, self._writer = archive, survey, writer
        self._alike = Alike(Gain.MUCH)
        self._extents: list[Extent] = []
        self._raw: list[bytes] = []
        self._filled = 0
        self._written = 0

    def add(self, packs: Sequence[SurveyedPack]) -> None:
        """Write what stays of packs. Raises DamagedError (E012) for one that has not its SHA-256, TargetError."""
        for pack in packs:
            self._add(pack.member)
        self._flush()
        expected = sum(pack.live_extents for pack in packs)
        if self._written != expected:
            message = (
                f"{self._written} extents were written of {expected} that stay: nothing of an archive may get lost"
            )
            raise RuntimeError(message)

    def _add(self, member: Member) -> None:
        pack, digest, position = self._archive.open_member(member), hashlib.sha256(), 0
        for labels in scan_pack(pack):
            for placed in labels:
                label = placed.label
                digest.update(pack.read_at(position, placed.frame_offset - position))
                frame = pack.read_at(placed.frame_offset, label.frame_size)
                digest.update(frame)
                position = placed.frame_offset + label.frame_size
                staying = self._survey.staying(member, placed)
                if staying.issuperset(label.extents):
                    self._writer.append(frame, label)
                    self._written += len(label.extents)
                elif staying:
                    self._keep(frame, label, staying, f"{member.path} at byte {placed.frame_offset}")
        if position != member.size or digest.hexdigest() != member.sha256:
            message = f"{member.path} has not the SHA-256 that the manifest states"
            raise DamagedError(message, code="E012", member=member.path)

    def _keep(self, frame: bytes, label: Label, staying: Collection[Extent], where: str) -> None:
        """Take the extents of a frame that stay; they share new frames."""
        raw, offset = decode_frame(frame, label.raw_size, where=where), 0
        for extent in label.extents:
            if extent in staying:
                if self._filled + extent.size > SHARED_FRAME_RAW or len(self._extents) == MAX_EXTENTS:
                    self._flush()
                self._extents.append(extent)
                self._raw.append(raw[offset : offset + extent.size])
                self._filled += extent.size
            offset += extent.size

    def _flush(self) -> None:
        raw = b"".join(self._raw)
        if self._extents:
            label = Label(frame_size=0, raw_size=len(raw), extents=tuple(self._extents))
            self._writer.append(self._writer.compressor.compress(raw, self._alike), label)
            self._written += len(label.extents)
        self._extents, self._raw, self._filled = [], [], 0


class PlacedPacks:
    """The packs of a new archive by their names there: copied ones lie in the old archive, others where they were made.

    It is what an index of blobs is read from.
    """

    def __init__(self, archive: Archive, place: GrowingMembers) -> None:
        self._archive, self.place = archive, place
        self._copied: dict[str, Member] = {}
        self.packs: list[WrittenPack] = []

    def copy(self, name: str, member: Member) -> None:
        """Let a pack of the old archive have a name in the new one."""
        self._copied[name] = member
        self.packs.append(WrittenPack(name=name, size=member.size, sha256=member.sha256))

    @contextmanager
    def opened(self, name: str) -> Iterator[MemberFile]:
        """Open a pack by its name in the new archive."""
        if name in self._copied:
            yield self._archive.open_member(self._copied[name])
            return
        with self.place.opened(name) as file:
            yield file
