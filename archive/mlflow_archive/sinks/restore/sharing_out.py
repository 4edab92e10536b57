"""The artifact files of a restore, written by workers that open the archive themselves."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from mlflow_archive.artifact_roots import ArtifactRoots, ArtifactWriteError
from mlflow_archive.errors import MlflowArchiveError, TargetError
from mlflow_archive.flow.chunk import ArtifactUnreadableError
from mlflow_archive.flow.pieces import in_pieces
from mlflow_archive.flow.report import Progress
from mlflow_archive.format import refusals
from mlflow_archive.reader.archive_at import ArchiveAt
from mlflow_archive.reader.blobs import Blobs, StoredExtent
from mlflow_archive.reader.source import open_blob
from mlflow_archive.sinks.restore.files import WrittenFiles
from mlflow_archive.workers.crew import Crew, first_and_more
from mlflow_archive.workers.kept import close_kept, keeping
from mlflow_archive.workers.pools import Pool, first_refusal

_MOST_BYTES: Final = 64 * 1024 * 1024
_MOST_FILES: Final = 256


@dataclass(frozen=True, slots=True)
class FileToWrite:
    """An artifact of an archive, by its owner, path, size in bytes and digest, and the place ``to`` below ``uri``."""

    owner_kind: str
    owner_id: str
    path: str
    size: int
    digest: str
    uri: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRefused:
    """Why a file was not written; ``everywhere`` as in ArtifactWriteError."""

    code: str
    reason: str
    everywhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FileTask:
    """Some files, with all that it takes to read and write them; plain data.

    ``scratch`` is the folder in which a file lies until it is whole, None where the root is no folder.
    """

    token: str
    archive: ArchiveAt
    artifacts_destination: str | None
    scratch: Path | None
    files: tuple[FileToWrite, ...]

    def __repr__(self) -> str:
        """Return what messages call it."""
        return first_and_more([f"{file.owner_kind} {file.owner_id}, artifact {file.path!r}" for file in self.files])


class _Opened:
    """An archive and the places of artifacts, open in one thread of a worker for the files of one restore."""

    def __init__(self, task: FileTask) -> None:
        self._archive = task.archive.open()
        self._blobs = Blobs(self._archive)
        self._roots = ArtifactRoots(artifacts_destination=task.artifacts_destination)

    def write(self, task: FileTask) -> list[FileRefused | None]:
        """Write the files of a task."""
        pieces = self._blobs.pieces({file.digest for file in task.files})
        return [self._written(file, pieces.get(file.digest, []), task.scratch) for file in task.files]

    def _written(self, file: FileToWrite, pieces: list[StoredExtent], scratch: Path | None) -> FileRefused | None:
        try:
            with open_blob(self._blobs, file.digest, pieces) as stream:
                self._roots.write(file.uri, file.to, stream, scratch=scratch)
        except ArtifactWriteError as error:
            return FileRefused(code=error.code, reason=str(error), everywhere=error.everywhere)
        except ArtifactUnreadableError as error:
            return FileRefused(code=refusals.ARTIFACT_REFUSED, reason=str(error))
        return None

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()


def write_files(task: FileTask) -> tuple[FileTask, list[FileRefused | None]]:
    """Write some files: what a worker does. Return the task with what became of each."""
    with keeping(task.token, lambda: _Opened(task)) as opened:
        return task, opened.write(task)


def try_places(task: FileTask) -> str:
    """Return why this worker cannot read the archive, or write where the artifacts go; nothing where it can."""
    if task.scratch is not None and not task.scratch.is_dir():
        return f"{task.scratch.parent} is another folder there"
    try:
        with closing(_Opened(task)):
            return ""
    except (MlflowArchiveError, OSError) as error:
        return str(error)


class SharedFiles:
    """Keeps what files are to be written, and has workers write them when all rows are there."""

    def __init__(self, archive: ArchiveAt, pool: Pool, progress: Progress) -> None:
        self._archive, self._pool, self._progress = archive, pool, progress
        self._lock = Lock()
        self._listed = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed at the end

    def add(self, file: FileToWrite) -> None:
        """Note a file; called by several threads."""
        with self._lock:
            self._listed.write(json.dumps(astuple(file)) + "\n")

    def write(
        self,
        written: WrittenFiles,
        artifacts_destination: str | None,
        ended: Callable[[FileToWrite, FileRefused | None], None],
    ) -> None:
        """Have all files written; ``ended`` hears what became of each. Each is announced to ``written`` first.

        Raises what ``ended`` raises, TargetError where a worker cannot see what it needs, WorkError; nothing is being
        written then.
        """
        token = secrets.token_hex()

        def take(done: tuple[FileTask, list[FileRefused | None]]) -> None:
            for file, refused in zip(done[0].files, done[1], strict=True):
                ended(file, refused)

        crew: Crew[FileTask, tuple[FileTask, list[FileRefused | None]]] = Crew(
            self._pool,
            write_files,
            take,
            ahead=2 * self._pool.size,
            tell=self._progress.note,
            after="Nothing was restored; mend that and give the same command again",
        )
        try:
            for number, files in enumerate(self._pieces()):
                announced = tuple(file for file in files if _announce(written, file, ended))
                scratch = written.scratch
                task = FileTask(
                    token=token,
                    archive=self._archive,
                    artifacts_destination=artifacts_destination,
                    scratch=scratch,
                    files=announced,
                )
                if not number:
                    self._try(task)
                if announced:
                    crew.give(task)
            crew.wait()
        finally:
            crew.end()
            self._pool.everywhere(close_kept, token)

    def _try(self, task: FileTask) -> None:
        if refused := first_refusal(self._pool, try_places, task):
            raise TargetError(
                f"a worker cannot open what all of them need, the archive and the artifact root: {refused}"
            )

    def _pieces(self) -> Iterator[list[FileToWrite]]:
        self._listed.seek(0)
        files = (FileToWrite(*json.loads(line)) for line in self._listed)
        return in_pieces(files, lambda file: file.size, _MOST_BYTES, _MOST_FILES)

    def close(self) -> None:
        """Forget the files, and let go of the workers."""
        self._listed.close()
        self._pool.close()


def _announce(
    written: WrittenFiles, file: FileToWrite, ended: Callable[[FileToWrite, FileRefused | None], None]
) -> bool:
    try:
        written.announce(file.uri, file.to)
    except ArtifactWriteError as error:
        ended(file, FileRefused(code=error.code, reason=str(error), everywhere=error.everywhere))
        return False
    return True
