"""The artifacts of an archive as an fsspec filesystem, so that pandas and others read them in place.

    pandas.read_csv("mlfa://run/<run id>/data.csv", storage_options={"archive": "backup.mlfa"})
    fsspec.open("mlfa://run/<run id>/data.csv::backup.mlfa")

Paths are ``<kind>/<owner id>/<artifact path>``; an owner id is percent-encoded, as names of models may hold ``/``.
"""

from __future__ import annotations

from typing import Any, BinaryIO, ClassVar
from urllib.parse import quote, unquote

from fsspec.spec import AbstractFileSystem

from mlflow_archive.api.artifact_tree import ArtifactFolder, StoredArtifact, tree_at
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.inspection.artifact_owner import ArtifactReference


class ArchiveFileSystem(AbstractFileSystem):  # type: ignore[misc] # fsspec is untyped
    """Read-only. ``archive`` is the path of the archive; ``fo`` is what fsspec calls it in chained URLs."""

    protocol: ClassVar = "mlfa"
    root_marker: ClassVar = ""
    cachable: ClassVar = False

    def __init__(self, archive: str | None = None, fo: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        path = archive if archive is not None else fo
        if path is None:
            raise ValueError('say which archive: storage_options={"archive": PATH}')
        self._archive: Archive = open_archive(str(path).removeprefix("file://"))
        self._trees: dict[tuple[str, str], ArtifactFolder] = {}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """List kinds, owners, or the files and folders of an owner."""
        kind, owner, rest = _split(self._strip_protocol(path))
        entries = (
            [_entry(name, None) for name in self._names(kind, owner)] if not owner else self._below(kind, owner, rest)
        )
        return entries if detail else [entry["name"] for entry in entries]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return name, size and type of what lies at a path. Raises FileNotFoundError."""
        plain = self._strip_protocol(path)
        kind, owner, rest = _split(plain)
        if not rest:
            names = self._names("", "") if kind and not owner else self._names(kind, "") if owner else []
            if plain and plain not in names:
                raise FileNotFoundError(path)
            return _entry(plain, None)
        entry = self._find(kind, owner, rest)
        return _entry(plain, entry if isinstance(entry, StoredArtifact) else None)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> BinaryIO:
        if mode != "rb":
            raise ValueError(f"an archive is read-only; {mode!r} is not possible")
        entry = self._find(*_split(self._strip_protocol(path)))
        if not isinstance(entry, StoredArtifact):
            raise IsADirectoryError(path)
        return entry.open()

    def _names(self, kind: str, owner: str) -> list[str]:
        owners: set[tuple[str, str]] = set()
        for rows in self._archive.batches("artifacts", columns=["owner_kind", "owner_id"]):
            owners.update(zip(rows["owner_kind"].to_pylist(), rows["owner_id"].to_pylist(), strict=True))
        if not kind:
            return sorted({of_kind for of_kind, _ in owners})
        return sorted(f"{kind}/{quote(owner_id, safe='')}" for of_kind, owner_id in owners if of_kind == kind)

    def _tree(self, kind: str, owner: str) -> ArtifactFolder:
        if (kind, owner) not in self._trees:
            self._trees[kind, owner] = tree_at(self._archive, ArtifactReference(kind=kind, owner_id=unquote(owner)))
        return self._trees[kind, owner]

    def _find(self, kind: str, owner: str, rest: str) -> StoredArtifact | ArtifactFolder:
        tree = self._tree(kind, owner)
        try:
            return tree[rest] if rest else tree
        except KeyError as error:
            raise FileNotFoundError(f"{kind}/{owner}/{rest}") from error

    def _below(self, kind: str, owner: str, rest: str) -> list[dict[str, Any]]:
        entry = self._find(kind, owner, rest)
        prefix = "/".join(part for part in (kind, owner, rest) if part)
        if isinstance(entry, StoredArtifact):
            return [_entry(prefix, entry)]
        children = ((name, entry[name]) for name in entry)
        return [
            _entry(f"{prefix}/{name}", child if isinstance(child, StoredArtifact) else None) for name, child in children
        ]


def _split(path: str) -> tuple[str, str, str]:
    kind, _, rest = path.strip("/").partition("/")
    owner, _, rest = rest.partition("/")
    return kind, owner, rest


def _entry(name: str, file: StoredArtifact | None) -> dict[str, Any]:
    if file is None:
        return {"name": name, "type": "directory", "size": 0}
    return {"name": name, "type": "file", "size": file.size, "sha256": file.digest}
