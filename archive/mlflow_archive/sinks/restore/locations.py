"""Where restored artifacts lie: the locations in rows are rewritten as the bytes move."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa

from mlflow_archive.artifact_roots import ArtifactRoots
from mlflow_archive.artifact_roots.roots import PROXY, is_local
from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format.location import canonical
from mlflow_archive.kinds import (
    EXPERIMENT,
    FILES,
    LOGGED_MODEL,
    REGISTERED_MODEL,
    RUN,
    TABLES,
    TRACE,
    UPLOADS,
    owner_id,
)
from mlflow_archive.kinds.owner_id import name_in_workspace
from mlflow_archive.kinds.version_source import is_reference
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.reader.archive import owner_ids
from mlflow_archive.sinks.restore.database import RestoreDatabase
from mlflow_archive.sinks.restore.existing import TextsById

_IDS: Final = {"runs": RUN, "logged_models": LOGGED_MODEL, "traces": TRACE}
_COLUMNS: Final = {"runs": "artifact_uri", "logged_models": "artifact_location"}
_ARTIFACT_TAG: Final = "mlflow.artifactLocation"
_ARCHIVE_TAG: Final = "mlflow.trace.archiveLocation"
_VERSION_COLUMNS: Final = ("source", "storage_location")
_OF_VERSIONS: Final = frozenset(kind for kind, files in FILES.items() if files.versions)
_UPLOADED: Final = {uploads.versions: kind for kind, uploads in UPLOADS.items()}
LOCATED: Final = frozenset({"experiments", *_IDS})
"""Tables of objects with a location, or whose experiment one follows from."""
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]|^\.|^$")
_LONGEST_NAME: Final = 100


@dataclass(slots=True)
class ChunkOwners:
    """The experiments that the owners of artifacts lie in, and which versions bring files of their own."""

    experiments: dict[tuple[str, str], str] = field(default_factory=dict)
    versions: set[tuple[str, str, str]] = field(default_factory=set)


class Locations:
    """Locations below a new root, laid out as MLflow lays them out; without a root they stay as they are.

    Files of model versions lie in ``models/<name>/<version>`` below it. A relative folder becomes absolute, as the
    server will run elsewhere. Used by several threads.
    """

    def __init__(self, root: str | None, *, artifacts_destination: str | None = None) -> None:
        self._root = None if root is None else _absolute(root).rstrip("/")
        # MLflow reads archived spans straight from where they are, never through its proxy.
        direct = ArtifactRoots(artifacts_destination=artifacts_destination).resolve(self._root or "")
        self._archive_root = _absolute(direct).rstrip("/")
        self._moved: dict[str, str] = {}
        self._existing: dict[str, TextsById] = {}
        self._lock = Lock()

    @property
    def root(self) -> str | None:
        """What all new locations begin with, None where they stay as they are."""
        return self._root

    def begin(self, database: RestoreDatabase) -> None:
        """Read where the objects lie that the target has already."""
        if self._root is None or database.fresh:
            return
        for name, column in {"experiments": "artifact_location", **_COLUMNS}.items():
            fields = MAPS[name].fields
            rows = database.rows(name, (fields[TABLES[name].key[0]], fields[column]))
            self._existing[TABLES[name].entity or ""] = TextsById((str(i), str(uri)) for i, uri in rows if uri)

    def learn(self, tables: Mapping[str, pa.Table], files: Sequence[ArtifactFile], owners: ChunkOwners) -> None:
        """Note of each owner in a chunk in which experiment it lies, and where its artifacts were until now."""
        if self._root is None:
            return
        if (rows := tables.get("experiments")) is not None:
            for experiment_id, old in _pairs(rows, "experiment_id", "artifact_location"):
                self._note_move(old, self._existing_place(EXPERIMENT, experiment_id) or f"{self._root}/{experiment_id}")
        for name in _IDS:
            if name in tables:
                self._learn_places(name, tables[name], owners)
        of_versions = (file for file in files if file.owner_kind in _OF_VERSIONS)
        owners.versions.update((file.owner_kind, file.owner_id, file.path.partition("/")[0]) for file in of_versions)

    def _learn_places(self, name: str, rows: pa.Table, owners: ChunkOwners) -> None:
        kind, key = _IDS[name], TABLES[name].key[0]
        owners.experiments.update({(kind, i): e for i, e in _pairs(rows, key, "experiment_id")})
        if column := _COLUMNS.get(name):
            for owner_id, old in _pairs(rows, key, column):
                self._note_move(old, self._existing_place(kind, owner_id) or self.of(owners, kind, owner_id))

    def _existing_place(self, kind: str, owner_id: str) -> str | None:
        places = self._existing.get(kind)
        return None if places is None else places.get(owner_id)

    def _note_move(self, old: str | None, new: str) -> None:
        """Remember where something has gone, unless that follows from the rest: most lies below its experiment."""
        if old and self._followed(old) != new:
            with self._lock:
                self._moved[canonical(old)] = new

    def _followed(self, old: str) -> str | None:
        """Return where a location has gone with the folder it lies in, None where it has not moved."""
        place = canonical(old)
        base, rest = place, ""
        while base:
            if (new := self._moved.get(base)) is not None:
                return f"{new}{rest}"
            base, slash, last = base.rpartition("/")
            rest = f"{slash}{last}{rest}"
        return None

    def of(self, owners: ChunkOwners, kind: str, owner_id: str, *, root: str | None = None) -> str:
        """Return where the artifacts of an object lie. Raises LookupError for one that was not restored."""
        root = root or self._root
        if kind == REGISTERED_MODEL:
            return f"{root}/models/{safe_name(owner_id)}"
        if uploads := UPLOADS.get(kind):
            folder = uploads.folder_of(owner_id)
            if folder is None:
                raise LookupError(f"{owner_id!r} is no name of a {kind} that MLflow takes")
            return f"{root}/{folder}"
        experiment_id = owners.experiments.get((kind, owner_id))
        if experiment_id is None:
            raise LookupError(f"{kind} {owner_id} is not among what is restored")
        return f"{root}/{experiment_id}/{FILES[kind].folder}{owner_id}/artifacts"

    def placed(self, file: ArtifactFile) -> ArtifactFile:
        """Return a file with its path below the place of its owner."""
        number, slash, rest = file.path.partition("/")
        uploads = UPLOADS.get(file.owner_kind)
        if uploads is None or not number.isdecimal():
            return file
        return replace(file, path=f"{uploads.folder_of_version(number)}{slash}{rest}")

    def rewritten(self, name: str, rows: pa.Table, owners: ChunkOwners) -> pa.Table:
        """Return rows of an archive table with their locations rewritten."""
        if self._root is None:
            return rows
        if name == "experiments":
            ids = rows["experiment_id"].to_pylist()
            return _with(rows, "artifact_location", [f"{self._root}/{experiment_id}" for experiment_id in ids])
        if name in _COLUMNS:
            kind = _IDS[name]
            ids = rows[TABLES[name].key[0]].to_pylist()
            return _with(rows, _COLUMNS[name], [self.of(owners, kind, i) for i in ids])
        if name == "trace_tags":
            return self._trace_tags(rows, owners)
        if name in _UPLOADED:
            return self._uploads(_UPLOADED[name], rows, owners)
        return self._versions(rows, owners) if name == "model_versions" else rows

    def _trace_tags(self, rows: pa.Table, owners: ChunkOwners) -> pa.Table:
        tags = zip(*(rows[column].to_pylist() for column in ("trace_id", "key", "value")), strict=True)
        roots = {_ARTIFACT_TAG: self._root or "", _ARCHIVE_TAG: self._archive_root}
        values = [self.of(owners, TRACE, i, root=roots[key]) if key in roots else v for i, key, v in tags]
        return _with(rows, "value", values)

    def _uploads(self, kind: str, rows: pa.Table, owners: ChunkOwners) -> pa.Table:
        """Return versions with the places of their uploaded files; MLflow looks for these behind its own proxy."""
        uploads = UPLOADS[kind]
        root = self._root if self._root and self._root.startswith(f"{PROXY}:") else f"{PROXY}:"
        sources: list[str | None] = []
        for row in rows.to_pylist():
            number, owner = str(row["version"]), owner_id(TABLES[uploads.versions], row)
            place = f"{root}/{uploads.folder}/{name_in_workspace(row)}/{uploads.folder_of_version(number)}"
            sources.append(place if (kind, owner, number) in owners.versions else row["source"])
        return _with(rows, "source", sources)

    def _versions(self, rows: pa.Table, owners: ChunkOwners) -> pa.Table:
        places: dict[str, list[str | None]] = {column: [] for column in _VERSION_COLUMNS}
        ids = owner_ids(rows, TABLES["model_versions"]).to_pylist()
        for owner, row in zip(ids, rows.select(["version", *_VERSION_COLUMNS]).to_pylist(), strict=True):
            own = None
            if (REGISTERED_MODEL, owner, str(row["version"])) in owners.versions:
                own = f"{self.of(owners, REGISTERED_MODEL, owner)}/{row['version']}"
            source, stored = row["source"], row["storage_location"]
            places["source"].append(source if is_reference(source) else self._new_place(source, own))
            # A version is read from its source where it has no other location.
            needed = stored is not None or (own is not None and is_reference(source))
            places["storage_location"].append(self._new_place(stored, own) if needed else None)
        for column, values in places.items():
            rows = _with(rows, column, values)
        return rows

    def _new_place(self, old: str | None, own: str | None) -> str | None:
        if own is not None:
            return own
        return old if not old else self._followed(old) or old


def _absolute(place: str) -> str:
    if not is_local(place) or place.lower().startswith("file:"):
        return place
    path = Path(place).absolute()
    # MLflow would decode a plain path, and look for %20 under a space.
    return str(path) if unquote(str(path)) == str(path) else path.as_uri()


def safe_name(name: str) -> str:
    """Return a name as one part of a path or URL; all but plain ones get a digest, so that no two are the same.

    Plain ones have no capital letters: some file systems do not tell these from small ones.

    >>> safe_name("churn"), safe_name("a/b c")
    ('churn', 'a_b_c-0af99a60')
    """
    safe = _UNSAFE.sub("_", name)[:_LONGEST_NAME]
    return safe if safe == name.lower() else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _pairs(rows: pa.Table, first: str, second: str) -> list[tuple[Any, Any]]:
    return list(zip(rows[first].to_pylist(), rows[second].to_pylist(), strict=True))


def _with(rows: pa.Table, name: str, values: Sequence[str | None]) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), rows.schema.field(name), pa.array(values, pa.string()))
