"""The unfinished part of an export: a journal of what is durable, so that a killed export continues.

    staging/plan.json           what is being exported; another plan starts anew
    staging/journal.jsonl       one line per sealed segment: its parts, and how long the packs were
    staging/000001-runs.parquet a part of a segment, plain and sorted

Everything of an export that is not in the journal is thrown away when it is taken up again.
"""

from __future__ import annotations

import fcntl
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from mlflow_archive.errors import TargetError
from mlflow_archive.format.layout import STAGING, export_number, pack_name
from mlflow_archive.format.manifest import canonical_json
from mlflow_archive.storage.files import Files, OutputFile


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedPart:
    """A part of a sealed segment."""

    table: str
    path: Path


class Staging:
    """The staging folder of one export below the root of a directory archive (or of a work folder)."""

    def __init__(self, files: Files, root: Path, export: int) -> None:
        self._files, self._root, self._export = files, root, export
        self.folder = root / STAGING
        self._journal: OutputFile | None = None
        self._lock = Lock()
        self._next = 0
        self._lock_file: Any = None
        self.parts: list[StagedPart] = []
        self.pack_sizes: list[int] = []

    def open(self, plan: Mapping[str, Any]) -> bool:
        """Take up what an interrupted export with the same plan left, else begin anew; say which (True: taken up).

        Raises TargetError if another process is exporting into this archive.
        """
        self._files.make_directory(self.folder)
        self._take_lock()
        data = canonical_json({"export": self._export, **plan})
        plan_file, journal_file = self.folder / "plan.json", self.folder / "journal.jsonl"
        same = plan_file.is_file() and plan_file.read_bytes() == data
        lines = _journal_lines(journal_file) if same else []
        self._adopt(lines)
        self._discard_rest()
        if not same:
            self._files.write(plan_file, data)
        size = sum(len(line) for line in lines)
        self._journal = self._files.append(journal_file, size) if lines else self._files.create(journal_file)
        return bool(lines)

    def _take_lock(self) -> None:
        self._lock_file = (self.folder / "lock").open("wb")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock_file.close()
            message = f"{self._root}: another process is writing this archive; wait until it is done"
            raise TargetError(message) from error

    def _adopt(self, lines: list[bytes]) -> None:
        for line in lines:
            entry = json.loads(line[9:])
            self.parts += [StagedPart(table=t, path=self.folder / name) for t, name in entry["parts"]]
            self.pack_sizes = entry["packs"]
            self._next = max(self._next, entry["next"])

    def _discard_rest(self) -> None:
        """Remove every file of this export that the journal does not name."""
        keep = {part.path.name for part in self.parts} | {"plan.json", "journal.jsonl", "lock"}
        for path in sorted(self.folder.iterdir()):
            if path.name not in keep:
                self._files.remove_tree(path)
        packs = {pack_name(self._export, number) for number in range(len(self.pack_sizes))}
        for folder in ("manifests", "packs", "tables"):
            for path in sorted((self._root / folder).rglob("*")) if (self._root / folder).is_dir() else []:
                name = path.relative_to(self._root).as_posix()
                if (export_number(name) or 0) >= self._export and name not in packs:
                    self._files.remove(path)

    def next_path(self, table: str) -> Path:
        """Return a new path for a staged part."""
        with self._lock:
            self._next += 1
            return self.folder / f"{self._next:06d}-{table}.parquet"

    def seal(self, parts: list[StagedPart], pack_sizes: list[int]) -> None:
        """Note in the journal that these parts are durable, and the packs up to these sizes."""
        with self._lock:
            assert self._journal is not None  # noqa: S101 - for the type checker
            entry = {"parts": [[p.table, p.path.name] for p in parts], "packs": pack_sizes, "next": self._next}
            body = canonical_json(entry)
            self._journal.write(b"%08x " % zlib.crc32(body) + body + b"\n")
            self._journal.sync()
            self.parts += parts

    def close(self) -> None:
        """Let go of journal and lock, leaving all for the next try."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def remove(self) -> None:
        """Remove the folder; the export is committed or not wanted."""
        self.close()
        self._files.remove_tree(self.folder)


def _journal_lines(path: Path) -> list[bytes]:
    """Return the lines that are whole; a crash may have cut the last or left zeros."""
    found: list[bytes] = []
    if not path.is_file():
        return found
    for line in path.read_bytes().splitlines(keepends=True):
        body = line[9:-1]
        if not line.endswith(b"\n") or line[:9] != b"%08x " % zlib.crc32(body):
            break
        found.append(line)
    return found
