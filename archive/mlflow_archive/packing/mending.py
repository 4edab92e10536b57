"""Mend a set by its parity, in a folder beside the archive to be: the set itself may lie on a medium without room.

The folder holds links to what is there, under the names that the files should have, and what was mended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from mlflow_archive.errors import DamagedVolumesError
from mlflow_archive.packing.joining import sha256_of
from mlflow_archive.packing.parity import BLOCKS, SMALLEST_BLOCK, Mended, mend, parity_files
from mlflow_archive.packing.survey import Finding, Survey, VolumeState, strangers
from mlflow_archive.packing.volumes import Names, SetFile, SetRecord, decode_record
from mlflow_archive.storage.files import Files

_ENOUGH_BLOCKS: Final = 8
"""Of a file with as many blocks damage leaves some: where there is none, it is another file."""


class MendingFolder:
    """A folder for links and mended files. ``lock`` is the descriptor of a folder that is locked."""

    def __init__(self, files: Files, path: Path, lock: int) -> None:
        self.path = path
        self._files, self._lock = files, lock

    def record(self, folder: Path, names: Names) -> SetRecord:
        """Return the record of a set whose own cannot be read, mended. Raises DamagedVolumesError."""
        paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
        links = {path.relative_to(folder).as_posix(): path for path in paths}
        skipped = {names.checksums, *(path.name for path in parity_files(folder, names))}
        self._mend(folder, names, {name: path for name, path in links.items() if name not in skipped}, {})
        path = self.path / names.record
        try:
            return decode_record(path.read_bytes(), names.base)
        except (OSError, ValueError) as error:
            raise self._beyond(folder, [Finding(name=names.record, state=VolumeState.DAMAGED)]) from error

    def take_mended(self, condition: Survey, expected: Iterable[SetFile]) -> None:
        """Add to the places what an earlier try has mended."""
        for file in condition.lacking(expected):
            path = self.path / file.name
            if path.is_file() and not path.is_symlink() and sha256_of(path) == file.sha256:
                condition.places[file.name] = path
        ours = {name for name, path in condition.places.items() if path.is_relative_to(self.path)}
        condition.findings = [replace(finding, mended=finding.name in ours) for finding in condition.findings]

    def has_mended(self) -> bool:
        """Return whether a file was mended: all others are links."""
        return any(path.is_file() and not path.is_symlink() for path in self.path.rglob("*"))

    def mend(self, record: SetRecord, folder: Path, condition: Survey) -> None:
        """Mend what is lacking and add it to the places. Raises DamagedVolumesError where the parity is not enough."""
        expected = (*record.volumes, *record.beside)
        if not parity_files(folder, record.names):
            raise self._beyond(folder, condition.findings, "there is no parity")
        as_it_is = {file.name: folder / file.name for file in expected if (folder / file.name).is_file()}
        links = {record.names.record: folder / record.names.record, **as_it_is, **condition.places}
        extras = {f"other-{number:04}": path for number, path in enumerate(strangers(expected, folder), 1)}
        mended = self._mend(folder, record.names, links, extras)
        strange = _names_of_another_set(record, mended)
        condition.findings = [_foreign(finding, strange) for finding in condition.findings]
        self.take_mended(condition, expected)
        if condition.lacking(record.volumes):
            reason = f"{mended.lacking:,} more blocks of parity would be needed" if mended.lacking else "par2 gave up"
            raise self._beyond(folder, condition.findings, reason)

    def _mend(self, folder: Path, names: Names, links: Mapping[str, Path], extras: Mapping[str, Path]) -> Mended:
        parity = parity_files(folder, names)
        if not parity:
            raise self._beyond(folder, [Finding(name=names.record, state=VolumeState.DAMAGED)], "there is no parity")
        mended_paths = {path for path in links.values() if path.is_relative_to(self.path)}
        self._clear(self.path, mended_paths)
        for name, path in {**links, **extras}.items():
            if path not in mended_paths and path.exists():
                self._files.make_directory((self.path / name).parent)
                self._files.link(self.path / name, path.absolute())
        own = folder / names.parity
        return mend(own if own in parity else parity[-1], self.path, extras, self._lock)

    def _clear(self, folder: Path, mended_paths: set[Path]) -> None:
        self._files.make_directory(folder)
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                self._clear(path, mended_paths)
            elif path not in mended_paths:
                self._files.remove(path)

    def _beyond(self, folder: Path, findings: Iterable[Finding], reason: str = "") -> DamagedVolumesError:
        because = f": {reason}" if reason else ""
        return DamagedVolumesError(
            f"{folder}: volumes are not as they were written, and cannot be mended{because}. Fetch these once more:",
            [finding.line for finding in findings if not finding.mended],
        )


def _names_of_another_set(record: SetRecord, mended: Mended) -> set[str]:
    """Return the names of the files of which no block is right, though damage would have left some."""
    enough = _ENOUGH_BLOCKS * max(SMALLEST_BLOCK, record.size // BLOCKS)
    files = (*record.volumes, *record.beside)
    return {file.name for file in files if file.name in mended.strange and file.size >= enough}


def _foreign(finding: Finding, strange: Collection[str]) -> Finding:
    if finding.state is not VolumeState.DAMAGED or finding.name not in strange:
        return finding
    return replace(finding, state=VolumeState.OF_ANOTHER_SET, detail="no part of it is of this one")
