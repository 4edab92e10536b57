"""A single file that is being made: its members one behind the other under a temporary name, each byte once.

The header of a member that grows has zeros where its size and CRC come when it is finished. The directory of the file
comes last, then its name.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from mlflow_archive.errors import MlflowArchiveError, TargetError
from mlflow_archive.format import zipfile64
from mlflow_archive.storage.closing import Closing
from mlflow_archive.storage.files import Files, OutputFile
from mlflow_archive.storage.growing import GrowingMember
from mlflow_archive.storage.members import MemberFile, OpenFile, check_sha256


class UnfinishedFile(Closing):
    """The single file to be at ``path``, a place for ``GrowingMembers`` and for whole ones.

    One process at a time makes a file, which holds a lock for that.
    """

    def __init__(self, files: Files, path: Path) -> None:
        self._files, self._path = files, path
        self._temporary = path.with_name(path.name + ".tmp")
        self._output: OutputFile | None = None
        self._entries: dict[str, zipfile64.Entry] = {}
        self._grown: dict[str, _Grown] = {}

    def _begun(self) -> OutputFile:
        if self._output is None:
            self._output = self._files.create(self._temporary)
            self._files.sync_directory(self._temporary.parent)
        return self._output

    @property
    def whole(self) -> Collection[str]:
        """The names of the members that lie in it whole."""
        return self._entries.keys()

    def begin(self, name: str) -> GrowingMember:
        output = self._begun()
        entry = zipfile64.entry_at(name, 0, 0, output.size)
        output.write(zipfile64.header_of(entry))
        self._grown[name] = _Grown(output, entry, self._entries)
        return self._grown[name]

    def holds(self, sizes: Mapping[str, int]) -> bool:
        end = zipfile64.end_of(zipfile64.laid_out(sizes))
        return not sizes or (self._temporary.is_file() and self._temporary.stat().st_size >= end)

    def take_over(self, sizes: Mapping[str, int]) -> Iterator[GrowingMember]:
        if not sizes:
            self.remove()
            return
        entries = zipfile64.laid_out(sizes)
        self._output = self._files.append(self._temporary, zipfile64.end_of(entries))
        for entry in entries:
            grown = self._grown[entry.name] = _Grown(self._output, entry, self._entries)
            with self._reading() as file:
                grown.take_over(MemberFile(entry.name, file, entry.data_offset, entry.size).blocks())
            yield grown

    @contextmanager
    def opened(self, name: str) -> Iterator[MemberFile]:
        if self._output is not None:
            self._output.flush()
        with self._reading() as file:
            yield MemberFile(name, file, self._grown[name].data_offset, self._grown[name].size)

    @contextmanager
    def _reading(self) -> Iterator[OpenFile]:
        file = OpenFile(os.open(self._temporary, os.O_RDONLY))
        try:
            yield file
        finally:
            file.close()

    def add(self, member: MemberFile, sha256: str | None) -> None:
        """Append a whole member. Raises DamagedError (E012) if it is not what it should be."""
        output = self._begun()
        entry = zipfile64.entry_at(member.name, member.size, 0, output.size)
        # The CRC is known only after reading; a placeholder header of the same length is patched.
        output.write(zipfile64.header_of(entry))
        crc, digest = 0, hashlib.sha256()
        for block in member.blocks():
            crc = zlib.crc32(block, crc)
            digest.update(block)
            output.write(block)
        check_sha256(member, digest.hexdigest(), sha256)
        self._entries[member.name] = zipfile64.entry_at(member.name, member.size, crc, entry.header_offset)
        output.patch(entry.header_offset, zipfile64.header_of(self._entries[member.name]))

    def publish(self) -> None:
        """Write the directory of the file and give it its name, durably."""
        output = self._begun()
        output.write(zipfile64.central_directory(list(self._entries.values()), output.size))
        output.sync()
        output.close()
        self._files.publish(self._temporary, self._path)

    def remove(self) -> None:
        """Remove what there is of it under the temporary name."""
        self._files.remove(self._temporary)

    def close(self) -> None:
        """Let go of it; what is not synced may be lost."""
        if self._output is not None:
            output, self._output = self._output, None
            with suppress(TargetError):  # what is not synced is cut off when somebody goes on with it
                output.close()


class _Grown(GrowingMember):
    """A member that grows, or has grown, behind its header in an unfinished file; ``entries`` learn of it then."""

    def __init__(self, output: OutputFile, entry: zipfile64.Entry, entries: dict[str, zipfile64.Entry]) -> None:
        super().__init__(output)
        self._entry, self._entries, self._crc = entry, entries, 0

    @property
    def data_offset(self) -> int:
        """Where its first byte lies in the file."""
        return self._entry.data_offset

    def take_over(self, blocks: Iterable[bytes | memoryview]) -> None:
        for block in blocks:
            self._crc = zlib.crc32(block, self._crc)
            super().take_over([block])

    def finish(self) -> str:
        entry = zipfile64.entry_at(self._entry.name, self.size, self._crc, self._entry.header_offset)
        if entry.data_offset != self.data_offset:
            raise MlflowArchiveError(f"{entry.name} has {self.size} bytes: a member that grows is smaller than 4 GiB")
        self._output.patch(entry.header_offset, zipfile64.header_of(entry))
        self._output.sync()
        self._entries[entry.name] = entry
        return self._digest.hexdigest()

    def close(self) -> None:
        """Leave the file open: it is not this member's."""
