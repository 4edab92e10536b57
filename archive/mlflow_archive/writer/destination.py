"""Where an archive is written that is put together of others: beside its name, whole, then under it.

NAME.work           the lock, members that are made anew, and the directory form; gone when all is done
NAME.mlfa.tmp       the single file, until it is renamed

A command that was killed leaves these two; the next one begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mlflow_archive.errors import TargetError
from mlflow_archive.format.layout import SINGLE_FILE_SUFFIX, STAGING
from mlflow_archive.format.manifest import Manifest
from mlflow_archive.storage.copying import copy_to_directory, copy_to_single_file
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.members import MemberFile
from mlflow_archive.writer.staging import PLAN, Staging
from mlflow_archive.writer.target import single_file_order

_WHOLE: Final = "archive"
_NEW_MEMBERS: Final = "members"


class Destination:
    """The name of a new archive, held by a lock. See :func:`destination`."""

    def __init__(self, path: Path, files: Files) -> None:
        self.path, self.files = path, files
        self._work = path.with_name(path.name + ".work")
        self.staging = Staging(files, self._work, 1)
        self.new_members = self._work / _NEW_MEMBERS

    def lock(self) -> None:
        """Hold the name, and remove what a command that was killed left."""
        if not self._work.exists():
            self.refuse_taken()
        elif not self._work.is_dir() or not self._is_left_over():
            raise TargetError(f"{self._work} exists and holds something else; choose another name")
        self.staging.lock()

    def _is_left_over(self) -> bool:
        names = {path.name for path in self._work.iterdir()}
        if names and STAGING not in names:  # the lock comes first and goes last
            return False
        return names <= {STAGING, _WHOLE, _NEW_MEMBERS} and not (self.staging.folder / PLAN).exists()

    def refuse_taken(self) -> None:
        """Raise TargetError if there is something of that name."""
        if self.path.exists() or self.path.is_symlink():
            raise TargetError(f"{self.path} exists, and a new archive is written; choose another name")

    def remove_work(self) -> None:
        """Remove what is not the archive, but for the lock."""
        for name in (_WHOLE, _NEW_MEMBERS):
            self.files.remove_tree(self._work / name)
        if self.path.name.endswith(SINGLE_FILE_SUFFIX):
            self.files.remove(self.path.with_name(self.path.name + ".tmp"))

    def write(self, manifest: Manifest, open_member: Callable[[str], MemberFile]) -> None:
        """Write all members, each with the hash that the manifest states, and give the archive its name.

        Raises DamagedError (E012) if a member is not what it should be any more, TargetError.
        """
        hashes = {member.path: member.sha256 for member in manifest.members}
        members = ((open_member(name), hashes.get(name)) for name in single_file_order(manifest))
        self.refuse_taken()
        if self.path.name.endswith(SINGLE_FILE_SUFFIX):
            copy_to_single_file(self.files, self.path, members)
            return
        root = self._work / _WHOLE
        copy_to_directory(self.files, root, members)
        self.files.publish(root, self.path)

    def close(self) -> None:
        """Let go of the name, and remove all that is not the archive."""
        try:
            self.remove_work()
            self.staging.remove()
            self.files.remove_tree(self._work)
        finally:
            self.staging.close()


@contextmanager
def destination(path: Path, files: Files) -> Iterator[Destination]:
    """Hold the name of a new archive. Raises TargetError if it is taken, or another process writes it."""
    place = Destination(path, files)
    place.lock()
    try:
        place.remove_work()
        place.refuse_taken()
        yield place
    finally:
        place.close()
