"""The artifacts of one object as a small tree of folders and files, read straight out of the archive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO

from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.reader.inspection.artifact_owner import ArtifactReference, artifacts_at
from mlflow_archive.reader.inspection.listing import Record, list_artifacts


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """One file; ``size`` in bytes, ``digest`` the SHA-256 of its bytes in hex."""

    path: str
    size: int
    digest: str
    _blobs: Blobs

    def open(self) -> BinaryIO:
        """Open it as a seekable binary stream; who opens it closes it. Raises DamagedError."""
        return self._blobs.open(self.digest)

    def read_bytes(self) -> bytes:
        """Return its bytes, checked against the digest. Raises DamagedError."""
        with self.open() as stream:
            return stream.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return its text. Raises DamagedError, UnicodeDecodeError."""
        return self.read_bytes().decode(encoding)


class ArtifactFolder(Mapping[str, "StoredArtifact | ArtifactFolder"]):
    """A folder: iterates over the names in it; ``folder["model/MLmodel"]`` goes down several at once.

    Raises KeyError for a path that is not there.
    """

    def __init__(self, files: Mapping[str, StoredArtifact], prefix: str = "") -> None:
        self._files = files
        self._prefix = prefix

    def __getitem__(self, path: str) -> StoredArtifact | ArtifactFolder:
        full = self._prefix + path.strip("/")
        if full in self._files:
            return self._files[full]
        below = {name: file for name, file in self._files.items() if name.startswith(full + "/")}
        if not below:
            raise KeyError(f"no artifact {full!r}; there are {', '.join(sorted(self._files)[:10]) or 'none'}")
        return ArtifactFolder(below, full + "/")

    def __iter__(self) -> Iterator[str]:
        names = (name[len(self._prefix) :].partition("/")[0] for name in sorted(self._files))
        return iter(dict.fromkeys(names))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def files(self) -> Iterator[StoredArtifact]:
        """Yield all files at or below this folder, by path."""
        yield from (self._files[name] for name in sorted(self._files))

    def tree(self) -> Iterator[tuple[int, str, StoredArtifact | None]]:
        """Yield depth, name and file of everything below, folders (without a file) before what is in them."""
        for name in self:
            entry = self[name]
            if isinstance(entry, StoredArtifact):
                yield 0, name, entry
            else:
                yield 0, name, None
                yield from ((depth + 1, below, file) for depth, below, file in entry.tree())

    def __repr__(self) -> str:
        return "\n".join(
            f"{'  ' * depth}{name}{'/' if file is None else f'  {file.size:,} bytes'}"
            for depth, name, file in self.tree()
        )


def artifacts_of(archive: Archive, kind: str, owner_id: str) -> ArtifactFolder:
    """Return the artifacts that an object itself has as a tree."""
    return _tree(archive, list_artifacts(archive, owner_id, kind=kind))


def tree_at(archive: Archive, place: ArtifactReference) -> ArtifactFolder:
    """Return all artifacts of an object as a tree; a run has a folder for each logged model it made, too."""
    return _tree(archive, artifacts_at(archive, replace(place, path="")))


def _tree(archive: Archive, rows: Iterable[Record]) -> ArtifactFolder:
    blobs = Blobs(archive)
    return ArtifactFolder({row["path"]: StoredArtifact(row["path"], row["size"], row["digest"], blobs) for row in rows})
