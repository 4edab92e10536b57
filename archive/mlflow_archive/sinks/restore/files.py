"""The artifact files that a restore writes; an error takes them back."""

from __future__ import annotations

import json
import tempfile
from threading import Lock

from mlflow_archive.artifact_roots import ArtifactRoots, ArtifactWriteError
from mlflow_archive.pipeline import ArtifactFile


class WrittenFiles:
    """Writes artifacts below a root, and remembers, on disk, which of them were not there before.

    Used by several threads. Something that was there already and is written anew stays when the others go.
    """

    def __init__(self, roots: ArtifactRoots, root: str | None) -> None:
        self._roots, self._root = roots, root
        self._lock = Lock()
        self._new_root: bool | None = None
        self._journal = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")  # noqa: SIM115 - closed by both ends

    def write(self, uri: str, file: ArtifactFile) -> None:
        """Write a file to its path below ``uri``. Raises ArtifactWriteError, ArtifactUnreadableError."""
        new = self._is_new_root() or not self._roots.exists(uri, file.path)
        with file.open() as stream:
            self._roots.write(uri, file.path, stream)
        if new:
            with self._lock:
                self._journal.write(json.dumps([uri, file.path]) + "\n")

    def _is_new_root(self) -> bool:
        """Say whether nothing lay below the root when the first file came: then all is new, and nothing is asked."""
        with self._lock:
            if self._new_root is None:
                self._new_root = self._root is not None and self._roots.is_empty(self._root)
            return self._new_root

    def keep(self) -> None:
        """Forget what was written: it stays."""
        self._journal.close()

    def take_back(self) -> list[str]:
        """Remove what was written and was not there before; return what could not be removed, with the reason.

        A second call, or one after ``keep``, does nothing.
        """
        if self._journal.closed:
            return []
        left = []
        root = self._root or ""
        with self._lock, self._journal:
            self._journal.seek(0)
            for line in self._journal:
                uri, path = json.loads(line)
                try:
                    # From the root, so that folders that were made go, too.
                    self._roots.remove(root, f"{uri.removeprefix(root).strip('/')}/{path}".strip("/"))
                except ArtifactWriteError as error:
                    left.append(str(error))
        return left
