"""Where an export is written: into a directory archive, or into a work folder that becomes a single file.

NAME       (directory)    parts and packs go to their place; the manifest makes them count
NAME.mlfa  (single file)  the same in NAME.mlfa.work, then packed to NAME.mlfa.tmp, then renamed
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlflow_archive.errors import NotAnArchiveError, TargetError
from mlflow_archive.format.checksums import checksums_text
from mlflow_archive.format.layout import CHECKSUMS, MANIFEST, README, SINGLE_FILE_SUFFIX, STAGING, manifest_name
from mlflow_archive.format.location import local_path
from mlflow_archive.format.manifest import Manifest, Member, archive_id, encode
from mlflow_archive.format.readme import README_TEXT
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.members import DirectoryMembers, MemberFile
from mlflow_archive.storage.single_file import write_single_file
from mlflow_archive.writer.base import ArchiveBase, Base, check_whole
from mlflow_archive.writer.index import open_base
from mlflow_archive.writer.staging import PLAN, Staging, plan_bytes


class ArchiveTarget:
    """A place for an archive. ``base`` is what the export continues, None for a new archive: the archive that is
    already there, or for a delta another, given as ``of_base``, which is opened here.

    Where the path is a symbolic link, the archive that it names is meant, and the link stays one.
    """

    def __init__(
        self, path: Path, *, append: bool, files: Files, of_base: str | os.PathLike[str] | None = None
    ) -> None:
        path = Path(os.path.realpath(path)) if path.is_symlink() else path
        self.path = path
        self._files = files
        self.single_file = not path.is_dir() and path.name.endswith(SINGLE_FILE_SUFFIX)
        self.root = path.with_name(path.name + ".work") if self.single_file else path
        self.is_delta = of_base is not None
        self._append = append
        self._made_root = False
        self._held = self._existing()
        if self._held is not None and not append and not (self.root / STAGING / PLAN).exists():
            raise self._taken(self._held)
        if self._held is not None and not self.is_delta:
            check_whole(self._held, "nothing is added to it")
        self.base = self._base(of_base)

    def _base(self, of_base: str | os.PathLike[str] | None) -> Base | None:
        if of_base is None:
            return None if self._held is None else ArchiveBase(self._held)
        try:
            return open_base(local_path(of_base))
        except BaseException:
            if self._held is not None:
                self._held.close()
            raise

    def _taken(self, base: Archive) -> TargetError:
        export = base.newest_export
        base.close()
        return TargetError(
            f"{self.path} is an archive already (export {export.number} of {export.source.get('uri')}). "
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
        data = encode(manifest)
        copy = manifest_name(manifest.export_number)
        self._files.make_directory((self.root / copy).parent)
        if manifest.delta is None and self._held is None:
            self._files.write(self.root / README, README_TEXT.encode())
        self._files.write(self.root / copy, data)
        self._files.write(self.root / CHECKSUMS, checksums_text(manifest, data).encode("ascii"))
        self._files.write(self.root / MANIFEST, data)
        if self.single_file:
            self._pack(manifest, {*new, README, copy, CHECKSUMS, MANIFEST})
        return archive_id(data)

    def _pack(self, manifest: Manifest, new: set[str]) -> None:
        fresh = DirectoryMembers(self.root)
        hashes = {member.path: member.sha256 for member in manifest.members}

        def member(name: str) -> tuple[MemberFile, str | None]:
            held = None if self.is_delta else self._held
            old = held is not None and (name not in new or name == README)
            source = held.members if old and held is not None else fresh
            return source.open(name), hashes.get(name)

        try:
            write_single_file(self._files, self.path, map(member, single_file_order(manifest)))
        finally:
            fresh.close()

    def clean_up(self, staging: Staging) -> None:
        """Remove the staging folder and the work folder of a single file; the plan, which names them, goes last."""
        if self.single_file:
            self._files.remove(self.path.with_name(self.path.name + ".tmp"))
            for path in sorted(self.root.iterdir()):
                if path.name != STAGING:
                    self._files.remove_tree(path)
        staging.remove()
        if self.single_file:
            self._files.remove_tree(self.root)

    def withdraw(self, staging: Staging) -> None:
        """Remove what was written, with the lock held, and the folder if it was made for that."""
        staging.discard()
        self.clean_up(staging)
        if self._made_root or self.is_delta:
            self._files.remove_tree(self.root)

    def close(self) -> None:
        """Close the archive that is there, and the base."""
        for archive in (self._held, self.base):
            if archive is not None:
                archive.close()


_OWN_NAMES = {"staging", "packs", "tables", "manifests", README, CHECKSUMS, README + ".tmp", CHECKSUMS + ".tmp"} | {
    MANIFEST + ".tmp"
}


def readme_member(export: int) -> Member:
    """Return the entry of README.txt."""
    data = README_TEXT.encode()
    return Member(path=README, kind="text", export=export, size=len(data), sha256=archive_id(data))


def single_file_order(manifest: Manifest) -> list[str]:
    """Return all member names in the order they have in a single file: what explains and lists comes first."""
    copy = manifest_name(manifest.export_number)
    explaining = [README] if manifest.delta is None else []
    first = [*explaining, MANIFEST, CHECKSUMS, copy]
    return first + sorted(m.path for m in manifest.members if m.path not in first)
