"""The artifact files that a restore writes; an error takes them back, and those of a killed restore are reported."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BufferedReader, RawIOBase
from pathlib import Path
from threading import Lock
from typing import Final, cast

from mlflow_archive.artifact_roots import ArtifactRoots, ArtifactWriteError
from mlflow_archive.artifact_roots.local import PART
from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.sinks.restore.unfinished import Unfinished, left_behind

_NAME: Final = "mlflow-archive"
_LIST: Final = "written.jsonl"


class WrittenFiles:
    """Writes artifacts below a root, and remembers, on disk, which of them are new.

    Used by several threads. A file that existed before and is overwritten stays when new ones are taken back. In a root
    that is a folder, the list and the unfinished files lie in a folder of their own, which a kill leaves behind: each
    line is a JSON array of location, path, and whether the file is new.
    """

    def __init__(self, roots: ArtifactRoots, root: str | None) -> None:
        self._roots, self._root = roots, root
        self._place = None if root is None else roots.folder(root)
        self._lock = Lock()
        self._new_root = False
        self._folder: Unfinished | None = None
        self._list: RawIOBase | None = None

    def write(self, uri: str, file: ArtifactFile) -> None:
        """Write a file to its path below ``uri``. Raises ArtifactWriteError, ArtifactUnreadableError."""
        with file.open() as stream:
            self.announce(uri, file.path)
            self._roots.write(uri, file.path, stream, scratch=self.scratch)

    def announce(self, uri: str, path: str) -> None:
        """List a file that is about to be written. Raises ArtifactWriteError."""
        with self._lock:
            listed = self._begin()
        new = self._new_root or not self._roots.exists(uri, path)
        with self._lock:
            _note(listed, uri, path, new=new)

    @property
    def scratch(self) -> Path | None:
        """Where files lie until they are whole, once one is announced; None where the root is no folder."""
        return None if self._folder is None else self._folder.path

    def _begin(self) -> RawIOBase:
        """Return the list. Where nothing lay below the root when the first file came, all is new: none is looked up."""
        if self._list is None:
            self._new_root = self._root is not None and self._roots.is_empty(self._root)
            if self._place is not None:
                with suppress(OSError):  # no file can be written there, and each write reports it
                    self._place.mkdir(parents=True, exist_ok=True)
                    self._folder = Unfinished(self._place, _NAME)
            if self._folder is None:
                self._list = cast(RawIOBase, tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - closed at the end
            else:
                self._list = (self._folder.path / _LIST).open("w+b", buffering=0)
        return self._list

    def keep(self) -> dict[str, int | None]:
        """Leave what was written; return lists of files that killed restores wrote and this one did not, and how many.

        A list without such files is removed. The number is None where it cannot be determined.
        """
        lists: dict[str, int | None] = {}
        for folder in left_behind(self._place, _NAME) if self._place is not None else ():
            try:
                if number := self._not_written(folder / _LIST):
                    lists[str(folder / _LIST)] = number
                else:
                    shutil.rmtree(folder)
            except (OSError, ValueError, ArtifactWriteError):
                lists[str(folder / _LIST)] = None
        self._end()
        return lists

    def _not_written(self, listed: Path) -> int:
        """Take what is written now, or does not exist, out of the list of a killed restore; return how many remain.

        Unfinished files are removed.
        """
        for part in listed.parent.glob(f"{PART}*"):
            part.unlink()
        if not listed.is_file():
            return 0
        with listed.open("rb") as lines:
            files = {(uri, path) for uri, path, _ in _entries(lines)}
        files -= {(uri, path) for uri, path, _ in self._written()}
        files = {(uri, path) for uri, path in files if self._roots.exists(uri, path)}
        text = "".join(json.dumps([uri, path, True]) + "\n" for uri, path in sorted(files))
        listed.write_text(text, encoding="utf-8")
        return len(files)

    def take_back(self) -> list[str]:
        """Remove the new files; return the reasons of those that could not be removed.

        A second call, or one after ``keep``, does nothing.
        """
        problems = []
        root = self._root or ""
        with self._lock:
            for uri, path, new in self._written():
                try:
                    if new:  # from the root, so that folders that were made go, too
                        self._roots.remove(root, f"{uri.removeprefix(root).strip('/')}/{path}".strip("/"))
                except ArtifactWriteError as error:
                    problems.append(str(error))
            self._end()
        return problems

    def _written(self) -> Iterator[tuple[str, str, bool]]:
        if self._list is not None:
            self._list.seek(0)
            lines = BufferedReader(self._list)
            yield from _entries(lines)
            lines.detach()

    def _end(self) -> None:
        if self._list is not None:
            self._list.close()
            self._list = None
        if self._folder is not None:
            self._folder.remove()
            self._folder = None


def _note(listed: RawIOBase, uri: str, path: str, *, new: bool) -> None:
    """Add to a list at once, so that it is there after a kill."""
    try:
        listed.write(json.dumps([uri, path, new]).encode() + b"\n")
    except OSError as error:
        raise ArtifactWriteError(f"{path} cannot be listed as written: {error}", everywhere=True) from error


def _entries(lines: Iterable[bytes]) -> Iterator[tuple[str, str, bool]]:
    for line in lines:
        if line.endswith(b"\n"):  # a kill may cut the last
            uri, path, new = json.loads(line)
            yield uri, path, new
