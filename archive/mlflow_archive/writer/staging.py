"""The unfinished part of an export: a journal of what is durable, so that a killed export continues.

    staging/plan.json           what is being exported; another plan starts anew
    staging/journal.jsonl       one line per sealed segment: its file, and how long the packs were
    staging/000001.rows         the rows of a segment (see ``staged``)
    staging/TOKEN/              what a worker writes and nobody has taken yet (see ``parcel``)

Everything of an export that is not in the journal is thrown away when it is taken up again.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol

from mlflow_archive.errors import TargetError
from mlflow_archive.format.layout import CHECKSUMS, MANIFEST, README, STAGING, export_number
from mlflow_archive.format.manifest import canonical_json
from mlflow_archive.storage.files import Files, OutputFile
from mlflow_archive.storage.growing import GrowingMembers
from mlflow_archive.writer.packs import WrittenPack, pack_sizes
from mlflow_archive.writer.staged import StagedBlock, StagedFile

PLAN: Final = "plan.json"
_FORM: Final = 5  # of this folder; what an older program left is begun anew


class WholePacks(Protocol):
    """Where packs lie that are whole: those of workers, and those in a bucket."""

    def holds(self, packs: Sequence[WrittenPack]) -> bool:
        """Return whether packs are there as they were written."""


@dataclass(frozen=True, slots=True)
class SentPack:
    """A pack that is in a bucket, under the name that it has there, and the file of its rows of the blob index."""

    written: WrittenPack
    rows: StagedFile


class Staging:
    """The staging folder of one export below the root of a directory archive (or of a work folder)."""

    def __init__(self, files: Files, root: Path, export: int) -> None:
        self._files, self._root, self._export = files, root, export
        self.folder = root / STAGING
        self._journal: OutputFile | None = None
        self._lock = Lock()
        self._next = 0
        self._lock_file: Any = None
        self.staged: list[StagedFile] = []
        self.pack_sizes: list[int] = []
        self.arrived: list[WrittenPack] = []
        """The packs that workers wrote and that were taken."""
        self.sent: list[SentPack] = []
        """The first of its own packs, which are in a bucket by now."""

    def open(self, plan: Mapping[str, Any], packs: GrowingMembers, whole: WholePacks) -> bool:
        """Take up what an interrupted export with the same plan left, else begin anew; say which (True: taken up).

        ``packs`` is where its packs grow, ``whole`` where those lie that are whole. The lock is held. Raises
        TargetError if the operating system refuses, RemotePlaceError.
        """
        data = plan_bytes(self._export, plan)
        plan_file, journal_file = self.folder / PLAN, self.folder / "journal.jsonl"
        same_plan = plan_file.is_file() and plan_file.read_bytes() == data
        lines = _journal_lines(journal_file) if same_plan else []
        if not self._adopt(lines, packs, whole):
            lines = []
        if not lines:  # before anything it names goes, so that it never names what is gone
            self._files.remove(journal_file)
        self.discard()
        if not same_plan:
            self._files.write(plan_file, data)
        size = sum(len(line) for line in lines)
        self._journal = self._files.append(journal_file, size) if lines else self._files.create(journal_file)
        self._files.sync_directory(self.folder)
        return bool(lines)

    def lock(self) -> None:
        """Make the folder and lock it, until ``close`` or ``remove``.

        Raises TargetError if another process is exporting into this archive.
        """
        while self._lock_file is None:
            self._files.make_directory(self.folder)
            path = self.folder / "lock"
            try:
                self._lock_file = path.open("wb")
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locked = os.fstat(self._lock_file.fileno())
                # Whoever held it may have removed it meanwhile: then this is a lock that nobody else will see.
                if not path.exists() or path.stat().st_ino != locked.st_ino:
                    self._unlock()
            except FileNotFoundError:
                self._unlock()
            except BlockingIOError as error:
                self._unlock()
                message = f"{self._root}: another process is writing this archive; wait until it is done"
                raise TargetError(message) from error
            except OSError as error:
                self._unlock()
                raise TargetError(f"{path}: cannot be locked: {error.strerror}") from error

    def _unlock(self) -> None:
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def _adopt(self, lines: list[bytes], packs: GrowingMembers, whole: WholePacks) -> bool:
        """Take over what the journal names, if all of it is there."""
        staged: list[StagedFile] = []
        sizes: list[int] = []
        arrived: list[WrittenPack] = []
        sent: list[SentPack] = []
        last = 0
        for segment, line in enumerate(lines, start=1):
            entry = json.loads(line[9:])
            blocks = tuple(map(StagedBlock.from_json, entry["blocks"]))
            file = StagedFile(path=self.folder / entry["file"], blocks=blocks, segment=segment)
            whole_packs = [WrittenPack(name=name, size=size, sha256=sha256) for name, size, sha256 in entry["arrived"]]
            if entry["sent"]:
                sent += [SentPack(pack, file) for pack in whole_packs]
            else:
                staged.append(file)
                arrived += whole_packs
            # Threads seal side by side, so a later line may know of less than an earlier one.
            sizes = [max(pair) for pair in zip_longest(sizes, entry["packs"], fillvalue=0)]
            last = max(last, entry["next"])
        files = [*staged, *(pack.rows for pack in sent)]
        if not all(file.path.is_file() and file.path.stat().st_size >= file.size for file in files):
            return False
        if not packs.holds(pack_sizes(self._export, sizes, len(sent))):
            return False
        if not whole.holds([*arrived, *(pack.written for pack in sent)]):
            return False
        self.staged, self.pack_sizes, self.arrived, self.sent, self._next = staged, sizes, arrived, sent, last
        return True

    @property
    def holds_nothing(self) -> bool:
        """Whether it was opened, and has nothing that another try could go on from."""
        return self._journal is not None and not self.staged

    def discard(self) -> None:
        """Remove every file of this export that the journal does not name."""
        files = [*self.staged, *(pack.rows for pack in self.sent)]
        keep = {file.path.name for file in files} | {PLAN, "journal.jsonl", "lock"}
        for path in sorted(self.folder.iterdir()):
            if path.name not in keep:
                self._files.remove_tree(path)
        for path in self._unnamed_members():
            self._files.remove(path)
        for name in (README, CHECKSUMS, MANIFEST):
            self._files.remove(self._root / f"{name}.tmp")

    def _unnamed_members(self) -> Iterator[Path]:
        """Yield the files of this export beside the staging folder that no line of the journal names."""
        packs = {*pack_sizes(self._export, self.pack_sizes, len(self.sent)), *(pack.name for pack in self.arrived)}
        for folder in ("manifests", "packs", "tables"):
            for path in sorted((self._root / folder).rglob("*")) if (self._root / folder).is_dir() else []:
                name = path.relative_to(self._root).as_posix()
                if (export_number(name) or 0) >= self._export and name not in packs:
                    yield path

    def next_path(self) -> Path:
        """Return a new path for a file of rows."""
        with self._lock:
            self._next += 1
            return self.folder / f"{self._next:06d}.rows"

    def seal(self, file: StagedFile, pack_sizes: list[int], arrived: Sequence[WrittenPack] = ()) -> None:
        """Note in the journal a file whose bytes are durable, and the packs up to these sizes.

        ``arrived`` are whole packs of the worker that wrote the file; they have their names.
        """
        self._note(file, pack_sizes, arrived, sent=False)
        self.staged.append(file)
        self.arrived += arrived

    def note_sent(self, pack: SentPack) -> None:
        """Note in the journal a pack of its own, the next one, that is in a bucket; its rows are durable."""
        self._note(pack.rows, [], [pack.written], sent=True)
        self.sent.append(pack)

    def _note(self, file: StagedFile, pack_sizes: list[int], arrived: Sequence[WrittenPack], *, sent: bool) -> None:
        self._files.sync_directory(self.folder)
        with self._lock:
            assert self._journal is not None  # noqa: S101 - for the type checker
            blocks = [block.to_json() for block in file.blocks]
            packs = [[pack.name, pack.size, pack.sha256] for pack in arrived]
            entry = {"blocks": blocks, "file": file.path.name, "next": self._next, "packs": pack_sizes}
            body = canonical_json({**entry, "arrived": packs, "sent": sent})
            self._journal.write(b"%08x " % zlib.crc32(body) + body + b"\n")
            self._journal.sync()

    def close(self) -> None:
        """Let go of journal and lock, leaving all for the next try."""
        if self._journal is not None:
            journal, self._journal = self._journal, None
            with suppress(TargetError):  # what was sealed is synced; half a line is cut off when it is read
                journal.close()
        self._unlock()

    def remove(self) -> None:
        """Remove the folder; the export is committed or not wanted. The lock goes last."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self._files.remove_tree(self.folder)
        self._unlock()


def plan_bytes(export: int, plan: Mapping[str, Any]) -> bytes:
    """Return what the plan of an export is on disk."""
    return canonical_json({"export": export, "form": _FORM, **plan})


def _journal_lines(path: Path) -> list[bytes]:
    """Return the lines that are whole; a crash may have cut the last or left zeros."""
    lines: list[bytes] = []
    if not path.is_file():
        return lines
    for line in path.read_bytes().splitlines(keepends=True):
        body = line[9:-1]
        if not line.endswith(b"\n") or line[:9] != b"%08x " % zlib.crc32(body):
            break
        lines.append(line)
    return lines
