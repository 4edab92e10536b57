"""Where an export is written: into a directory archive, or into an unfinished single file.

NAME       (directory)    parts and packs go to their place; the manifest makes them count
NAME.mlfa  (single file)  packs go straight into NAME.mlfa.tmp, parts wait in NAME.mlfa.work until they follow them, as
                          does what lists all; then it is renamed
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from mlflow_archive.errors import DamagedError, NotAnArchiveError, TargetError
from mlflow_archive.format.checksums import checksums_text
from mlflow_archive.format.layout import (
    CHECKSUMS,
    MANIFEST,
    README,
    SINGLE_FILE_SUFFIX,
    STAGING,
    manifest_name,
    pack_name,
)
from mlflow_archive.format.location import local_path
from mlflow_archive.format.manifest import Manifest, Member, MemberKind, archive_id, encode
from mlflow_archive.format.readme import README_TEXT
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.growing import GrowingFiles, GrowingMembers
from mlflow_archive.storage.members import BytesMember, DirectoryMembers
from mlflow_archive.storage.unfinished_file import UnfinishedFile
from mlflow_archive.writer.base import ArchiveBase, Base, check_whole, refuse_inside
from mlflow_archive.writer.index import open_base
from mlflow_archive.writer.packs import Sender, WrittenPack
from mlflow_archive.writer.parcel import ROWS, TOKEN_BYTES, Parcel
from mlflow_archive.writer.staging import PLAN, Staging, plan_bytes


class ArchiveTarget:
    """A place for an archive. ``base`` is what the export continues, None for a new archive: the archive that is
    already there, or for a delta another, given as ``of_base``, which is opened here.

    Where the path is a symbolic link, the archive that it names is meant, and the link stays one.
    """

    needs: str = ""
    """What it takes of the folder for temporary files, as the beginning of a sentence that names it."""

    def __init__(
        self, path: Path, *, append: bool, files: Files, of_base: str | os.PathLike[str] | None = None
    ) -> None:
        path = Path(os.path.realpath(path)) if path.is_symlink() else path
        self.path = path
        self.token = secrets.token_hex(TOKEN_BYTES)
        self._files = files
        self.single_file = not path.is_dir() and path.name.endswith(SINGLE_FILE_SUFFIX)
        self.root = path.with_name(path.name + ".work") if self.single_file else path
        self.is_delta = of_base is not None
        self._held = self._existing()
        self._file = UnfinishedFile(files, path) if self.single_file else None
        self.packs: GrowingMembers = self._file or GrowingFiles(files, self.root)
        self._append = append
        self._made_root = False
        self._may_count = False
        if self._held is not None and not append and not (self.root / STAGING / PLAN).exists():
            raise self._taken(self._held)
        if self._held is not None and not self.is_delta:
            check_whole(self._held, "nothing is added to it")
        self.base = self._base(of_base)

    def _base(self, of_base: str | os.PathLike[str] | None) -> Base | None:
        if of_base is None:
            return None if self._held is None else ArchiveBase(self._held)
        base = local_path(of_base)
        try:
            refuse_inside(self.path, [base])
            return open_base(base)
        except DamagedError as error:
            if self._held is not None:
                self._held.close()
            raise error.of(base) from error
        except BaseException:
            if self._held is not None:
                self._held.close()
            raise

    def _taken(self, base: Archive) -> TargetError:
        export = base.newest_export
        base.close()
        return TargetError(
            f"{base.path} is an archive already (export {export.number} of {export.source.get('uri')}). "
            "Use --append to add what is new, or choose another name"
        )

    def admit(self, plan: Mapping[str, Any]) -> None:
        """Refuse an archive that is there already, unless this very export was killed after its commit.

        What is left of that one is cleaned up, and what the source has new since is added. Raises TargetError.
        """
        if self._held is None or self._append:
            return
        plan_file = self.root / STAGING / PLAN
        before = plan if self.is_delta else {**plan, "base": None}
        committed = plan_bytes(self._held.manifest.export_number, before)
        if not plan_file.is_file() or plan_file.read_bytes() != committed:
            raise self._taken(self._held)

    def _withdraw_delta(self) -> None:
        """Take back a delta whose export was killed behind its commit: it is made anew, as nothing is added to one."""
        if self._held is not None and self.is_delta and not self.single_file:
            self._files.remove(self.root / MANIFEST)

    def _existing(self) -> Archive | None:
        if not self.path.exists():
            return None
        try:
            return open_archive(self.path)
        except NotAnArchiveError:
            leftovers = self.path.is_dir() and {p.name for p in self.path.iterdir()}
            if leftovers is False or (leftovers and not leftovers <= _OWN_NAMES):
                message = f"{self.path} exists and is no archive; choose another name"
                raise TargetError(message) from None
            return None

    def make_root(self) -> None:
        """Make the folder that is written into, if it is not there."""
        self._made_root = not self.root.exists()
        self._files.make_directory(self.root)

    def check_current(self, staging: Staging) -> None:
        """Make sure, with the lock held, that the archive is still the one that was opened.

        Raises TargetError if another process has committed meanwhile: its members would count as leftovers.
        """
        now = self._existing()
        if now is not None:
            now.close()
        if (now and now.id) != (self._held and self._held.id):
            self.clean_up(staging)
            message = f"{self.path}: another process has written this archive meanwhile; run the command again"
            raise TargetError(message)
        self._withdraw_delta()

    def sender(self, staging: Staging) -> Sender | None:
        """Return where packs of the export go once they are whole; None where they stay."""
        return None

    def holds(self, packs: Sequence[WrittenPack]) -> bool:
        """Return whether packs that are whole are there as they were written."""
        places = {pack: self.root / pack.name for pack in packs}
        return all(place.is_file() and place.stat().st_size == pack.size for pack, place in places.items())

    def take(self, parcel: Parcel, staging: Staging) -> Path | None:
        """Give the packs of a worker their names, and return its rows, if there are any; nothing counts by that yet."""
        if not parcel.blocks:
            return None
        folder = staging.folder / parcel.token
        for number, pack in enumerate(parcel.packs):
            written, place = folder / pack_name(self.export_number, number), self.root / pack.name
            if written.stat().st_size != pack.size:
                raise TargetError(f"{written} has {written.stat().st_size} bytes, expected {pack.size}")
            self._files.make_directory(place.parent)
            self._files.publish(written, place)
        return folder / ROWS

    def forget(self, parcel: Parcel, staging: Staging) -> None:
        """Remove what is left of a parcel that was taken."""
        self._files.remove_tree(staging.folder / parcel.token)

    def writing_folder(self, staging: Staging) -> Path | None:
        """Return where workers write their parcels, None where they send them to a bucket."""
        return staging.folder

    @property
    def durable_parts(self) -> bool:
        """Whether parts lie below the root for good."""
        return self._file is None

    @property
    def export_number(self) -> int:
        """The number of the export being written, 1 for a new archive."""
        return 1 if self.base is None else self.base.manifest.export_number + 1

    def commit(self, manifest: Manifest, new: Iterable[str]) -> str:
        """Write the manifest over ``new`` members (already in place below the root) and return the archive id.

        Order: README, manifest copy, checksums, manifest. Until the last of these is renamed the archive is what it
        was. ``checksums.sha256`` does not list ``manifest.json``, which equals the copy that it does list, so both
        the old and the new manifest agree with it.
        """
        self._may_count = True  # from here on, whatever is refused: nothing of it is taken back
        data = encode(manifest)
        copy = manifest_name(manifest.export_number)
        listing = {README: README_TEXT.encode()} if self.base is None else {}
        listing |= {copy: data, CHECKSUMS: checksums_text(manifest, data).encode("ascii"), MANIFEST: data}
        if self._file is not None:
            self._complete(self._file, manifest, set(new), listing)
        else:
            self._files.make_directory((self.root / copy).parent)
            for name, content in listing.items():
                self._files.write(self.root / name, content)
        return archive_id(data)

    def _complete(
        self, file: UnfinishedFile, manifest: Manifest, new: Collection[str], listing: Mapping[str, bytes]
    ) -> None:
        """Append to the packs whatever else the single file holds, in order, and give it its name."""
        hashes = {member.path: member.sha256 for member in manifest.members}
        for name in [name for name in single_file_order(manifest) if name not in file.whole]:
            if name in listing:
                file.add(BytesMember(name, listing[name]), hashes.get(name))
            elif self._held is None or name in new:
                self._move(name, hashes[name], file)
            else:
                file.add(self._held.members.open(name), hashes[name])
        file.publish()

    def _move(self, name: str, sha256: str, file: UnfinishedFile) -> None:
        """Append a part that was staged; it takes room once."""
        with closing(DirectoryMembers(self.root)) as staged:
            file.add(staged.open(name), sha256)
        self._files.remove(self.root / name)

    def clean_up(self, staging: Staging) -> None:
        """Remove the staging folder and what else a single file took; the plan, which names all of it, goes last."""
        if self._file is not None:
            self._file.remove()
            for path in sorted(self.root.iterdir()):
                if path.name != STAGING:
                    self._files.remove_tree(path)
        staging.remove()
        if self.single_file:
            self._files.remove_tree(self.root)

    def withdraw(self, staging: Staging) -> None:
        """Remove what was written, with the lock held, and the folder if it was made for that.

        What may be committed stays: the next export goes on with it, as behind a kill.
        """
        if self._may_count:
            return
        staging.discard()
        self.clean_up(staging)
        if self._made_root or self.is_delta:
            self._files.remove_tree(self.root)

    def give_up(self) -> Base | None:
        """Close all but the base, which the caller closes."""
        base, self.base = self.base, None
        self._held = self._held if self.is_delta else None
        self.close()
        return base

    def close(self) -> None:
        """Close the archive that is there, the base, and what is unfinished."""
        for opened in (self._file, self._held, self.base):
            if opened is not None:
                opened.close()


_OWN_NAMES = {"staging", "packs", "tables", "manifests", README, CHECKSUMS, README + ".tmp", CHECKSUMS + ".tmp"} | {
    MANIFEST + ".tmp"
}


def readme_member(export: int) -> Member:
    """Return the entry of README.txt."""
    data = README_TEXT.encode()
    return Member(path=README, kind="text", export=export, size=len(data), sha256=archive_id(data))


_IN_ORDER: Final[tuple[MemberKind, ...]] = ("pack", "table", "manifest", "text")
_FIRST_IN_ORDER_OF_MAKING: Final = 3
"""The minor version since which a single file holds its members in the order in which they are made."""


def single_file_order(manifest: Manifest) -> list[str]:
    """Return all member names in the order that they have in a single file (spec/format.md, section 11)."""
    copy = manifest_name(manifest.export_number)
    if manifest.minor < _FIRST_IN_ORDER_OF_MAKING:
        names = {member.path for member in manifest.members}
        first = [*sorted({README} & names), MANIFEST, CHECKSUMS, copy]
        return first + sorted(names - set(first))
    listed = sorted(manifest.members, key=lambda m: (_IN_ORDER.index(m.kind), -m.export, m.path))
    return [*(member.path for member in listed), CHECKSUMS, copy, MANIFEST]
