"""What has become of a set on the way: which files are as they were written, and where they lie now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from mlflow_archive.packing.joining import sha256_of
from mlflow_archive.packing.volumes import SetFile, SetRecord, set_of, set_of_volume


class VolumeState(StrEnum):
    """What is wrong with a file of a set."""

    MISSING = "missing"
    CUT_OFF = "cut off"
    DAMAGED = "damaged"
    SWAPPED = "swapped"
    RENAMED = "renamed"
    OF_ANOTHER_SET = "of another set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A file that is not as it was written. ``name`` is the name that it has, or should have."""

    name: str
    state: VolumeState
    detail: str = ""
    mended: bool = False

    @property
    def line(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.name}: {self.state}{detail}{', mended' if self.mended else ''}"

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "state": self.state.value, "detail": self.detail, "mended": self.mended}


@dataclass(slots=True, kw_only=True)
class Survey:
    """``places`` has the path of every file that is as it was written, by its name in the record."""

    places: dict[str, Path] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def lacking(self, files: Iterable[SetFile]) -> list[SetFile]:
        """Return those of some files that are nowhere as they were written."""
        return [file for file in files if file.name not in self.places]


def sets_in(folder: Path) -> tuple[list[str], set[str]]:
    """Return the sets that have a record, list or parity in a folder, and all that have a volume there."""
    names = [path.name for path in folder.iterdir()]
    return sorted({base for name in names if (base := set_of(name))}), {
        base for name in names if (base := set_of_volume(name))
    }


def places_by_size(record: SetRecord, folder: Path) -> dict[str, Path] | None:
    """Return where all files are, if each lies under its name: volumes with their size, the others as they were."""
    files = (*record.volumes, *record.beside)
    places = {file.name: folder / file.name for file in files}
    if not all(_size(places[file.name]) == file.size for file in files):
        return None
    if not all(sha256_of(places[file.name]) == file.sha256 for file in record.beside):
        return None
    return places


def survey(record: SetRecord, folder: Path) -> Survey:
    """Read every file of a set that lies in a folder, and look for those that lie there under another name."""
    files = (*record.volumes, *record.beside)
    condition = Survey()
    digests = _digests(files, [folder / file.name for file in files])
    names = {file.sha256: file.name for file in files}
    for file in files:
        digest = digests.get(folder / file.name)
        if digest == file.sha256:
            condition.places[file.name] = folder / file.name
        elif digest in names:
            condition.findings.append(
                _finding(file, VolumeState.SWAPPED, f"it holds what belongs into {names[digest]}")
            )
        else:
            condition.findings.append(_what_is_wrong(file, folder / file.name))
    _place_swapped(condition, files, digests)
    _find_renamed(condition, files, folder)
    condition.findings += _of_other_sets(record, folder, condition.places.values())
    return condition


def _digests(files: Sequence[SetFile], paths: Sequence[Path]) -> dict[Path, str | None]:
    """Return the SHA-256 of those paths that have the size of one of the files."""
    sizes = {file.size for file in files}
    fitting = [path for path in paths if _size(path) in sizes]
    with ThreadPoolExecutor(2, thread_name_prefix="survey") as pool:
        return dict(zip(fitting, pool.map(sha256_of, fitting), strict=True))


def _size(path: Path) -> int | None:
    """Return the size of a regular file, None for what is none or cannot be looked at."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _finding(file: SetFile, state: VolumeState, detail: str = "") -> Finding:
    return Finding(name=file.name, state=state, detail=detail)


def _what_is_wrong(file: SetFile, path: Path) -> Finding:
    size = _size(path)
    if size is None:
        return _finding(file, VolumeState.MISSING)
    if size < file.size:
        return _finding(file, VolumeState.CUT_OFF, f"it has {size:,} of {file.size:,} bytes")
    if size > file.size:
        return _finding(file, VolumeState.DAMAGED, f"it has {size:,} bytes in place of {file.size:,}")
    return _finding(file, VolumeState.DAMAGED)


def _place_swapped(condition: Survey, files: Sequence[SetFile], digests: dict[Path, str | None]) -> None:
    by_digest = {digest: path for path, digest in digests.items() if digest is not None}
    for file in condition.lacking(files):
        if file.sha256 in by_digest:
            condition.places[file.name] = by_digest[file.sha256]


def _find_renamed(condition: Survey, files: Sequence[SetFile], folder: Path) -> None:
    lacking = condition.lacking(files)
    for path, digest in _digests(lacking, strangers(files, folder)).items():
        for file in lacking:
            if digest == file.sha256 and file.name not in condition.places:
                condition.places[file.name] = path
                state = VolumeState.RENAMED
                condition.findings = [finding for finding in condition.findings if finding.name != file.name]
                condition.findings.append(_finding(file, state, f"it is {path.name} now"))


def strangers(files: Sequence[SetFile], folder: Path) -> list[Path]:
    """Return the files of a folder that are not named as one of a set, in the order of their names."""
    names = {file.name for file in files}
    paths = [path for path in folder.iterdir() if path.name not in names and set_of(path.name) is None]
    return sorted(path for path in paths if path.is_file())


def _of_other_sets(record: SetRecord, folder: Path, used: Collection[Path]) -> Iterator[Finding]:
    for path in sorted(folder.iterdir()):
        base = set_of_volume(path.name)
        if base not in (None, record.base) and path not in used:
            yield Finding(name=path.name, state=VolumeState.OF_ANOTHER_SET, detail=f"{base}")
