"""The artifact files of a run: what lies in a folder, what the run declares, and how to open one.

A run declares models in its tag ``mlflow.log-model.history``. A tag that is no JSON (old servers cut long values)
declares nothing that could be named. Models of MLflow 3 lie beside the runs and are another kind of object.
"""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from mlflow_archive.format.gaps import (
    ARTIFACT_LISTING,
    ARTIFACT_MISSING,
    ARTIFACT_NAME,
    ARTIFACT_SIZE,
    ARTIFACT_UNREADABLE,
)
from mlflow_archive.pipeline import ArtifactUnreadableError
from mlflow_archive.sources.mlruns.keyfiles import is_utf8, printable
from mlflow_archive.sources.mlruns.layout import MODELS, holds_files
from mlflow_archive.sources.mlruns.location import ARTIFACTS

OnGap = Callable[[str, str, str], None]
"""Told path, gap code and reason of an artifact that cannot be carried."""

HISTORY_TAG = "mlflow.log-model.history"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A readable artifact file: its path below the artifact root as MLflow shows it, its place and size in bytes."""

    path: str
    place: Path
    size: int

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open for reading; raises ArtifactUnreadableError, also while it is read."""
        return closing(cast(BinaryIO, io.BufferedReader(_ArtifactReader(self), 1024 * 1024)))


def list_files(root: Path, gap: OnGap) -> list[FoundFile]:
    """Return all files below an artifact root by path; what cannot be read or kept is told to ``gap``."""
    found: list[FoundFile] = []
    real_root = Path(os.path.realpath(root))

    def cannot_list(error: OSError) -> None:
        gap(_relative(Path(error.filename), root), ARTIFACT_LISTING, f"the folder cannot be listed: {error.strerror}")

    for parent, folders, names in os.walk(root, onerror=cannot_list):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in (*names, *links):
            place = Path(parent, name)
            path = _relative(place, root)
            if not is_utf8(place.relative_to(root).as_posix()):
                gap(path, ARTIFACT_NAME, "its file name is not UTF-8")
                continue
            try:
                found.append(_examine(place, path, real_root))
            except ArtifactUnreadableError as error:
                gap(path, error.code, str(error))
    return sorted(found, key=lambda file: file.path)


def _relative(place: Path, root: Path) -> str:
    return "" if place == root else printable(place.relative_to(root).as_posix())


def _examine(place: Path, path: str, real_root: Path) -> FoundFile:
    """Return a regular file, or the regular file in the same root that a link leads to."""
    try:
        if place.is_symlink():
            target = place.resolve(strict=True)
            if not target.is_relative_to(real_root):
                raise _unreadable(f"it is a link that leads out of the artifact folder, to {printable(str(target))}")
            place = target
        found = place.lstat()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise _unreadable(f"it cannot be reached: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a link to a folder" if stat.S_ISDIR(found.st_mode) else "neither file nor folder"
        raise _unreadable(f"it is {kind}")
    return FoundFile(path=path, place=place, size=found.st_size)


def _unreadable(reason: str) -> ArtifactUnreadableError:
    return ArtifactUnreadableError(reason, code=ARTIFACT_UNREADABLE)


class _ArtifactReader(io.RawIOBase):
    """A file whose errors say that this artifact, not the whole store, cannot be read."""

    def __init__(self, file: FoundFile) -> None:
        super().__init__()
        self._path = file.path
        try:
            descriptor = os.open(file.place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ArtifactUnreadableError(
                f"{file.path} was there when the run was listed and is gone", code=ARTIFACT_MISSING
            ) from None
        except OSError as error:
            raise _unreadable(f"{file.path} cannot be opened: {error.strerror}") from error
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        size = os.fstat(descriptor).st_size
        if size != file.size:
            self.close()
            raise ArtifactUnreadableError(
                f"{file.path} has {size} bytes; there were {file.size} when the run was listed", code=ARTIFACT_SIZE
            )

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        try:
            return self._file.readinto(buffer)
        except OSError as error:
            raise _unreadable(f"{self._path} cannot be read: {error.strerror}") from error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
        super().close()


def declared_paths(tags: Mapping[str, str], experiment_folder: Path) -> Iterator[str]:
    """Yield the artifact paths that a run's tags declare, without those that are models of MLflow 3 found there."""
    try:
        history = json.loads(tags.get(HISTORY_TAG) or "[]")
    except (ValueError, RecursionError):
        return
    for entry in history if isinstance(history, list) else []:
        path = entry.get("artifact_path") if isinstance(entry, dict) else None
        if isinstance(path, str) and not _is_logged_model(entry, experiment_folder):
            yield path.strip("/")


def _is_logged_model(entry: Mapping[str, Any], experiment_folder: Path) -> bool:
    model_id = entry.get("model_id")
    if not isinstance(model_id, str) or model_id in ("", ".", "..") or "/" in model_id:
        return False
    return holds_files(experiment_folder / MODELS / model_id / ARTIFACTS)


def missing_paths(declared: Iterator[str], found: Sequence[FoundFile]) -> list[str]:
    """Return the declared paths at or under which no file was found."""
    paths = [file.path for file in found]
    here = partial(_holds, paths)
    return sorted({path for path in declared if not here(path)})


def _holds(paths: Sequence[str], declared: str) -> bool:
    return any(path == declared or not declared or path.startswith(declared + "/") for path in paths)
