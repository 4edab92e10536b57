"""Which artifacts a text such as ``4b1f0c/model/MLmodel`` means: the object that owns them, and the path below that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import FILES, LOGGED_MODEL, RUN
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.details import made_models
from mlflow_archive.reader.inspection.listing import Record, list_artifacts
from mlflow_archive.reader.inspection.model_versions import find_version, place_of_files
from mlflow_archive.reader.inspection.objects import ObjectId, ObjectIds, only_one, owners_named

_SCHEMES: Final = ("runs", "models")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactReference:
    """An object by kind and owner id, and a path among its artifacts, empty for all of them."""

    kind: str
    owner_id: str
    path: str = ""

    @property
    def owner(self) -> str:
        """The object as people read it: ``run 4b1f…``."""
        return f"{self.kind.replace('_', ' ')} {self.owner_id}"


def find_artifacts(archive: Archive, text: str) -> ArtifactReference:
    """Return what ``NAME`` or ``NAME/PATH`` means, NAME being an id, the start of one, or a name.

    ``runs:/RUN/PATH``, ``models:/m-…/PATH``, ``models:/NAME/3/PATH`` and the like mean what they do in MLflow. Ids are
    looked for first, then the beginnings of ids, then names; a name may hold ``/`` itself. Raises SelectionError if
    nothing is named so, or several objects are.
    """
    if version := find_version(archive, text):
        kind, owner_id, path = place_of_files(archive, version)
        return ArtifactReference(kind=kind, owner_id=owner_id, path=path)
    splits = list(_splits(without_scheme(text)))
    head, path = splits[0]
    archive.anticipate({"runs": (head,), "artifacts": (head,), "blobs": ()})
    if archive.table("runs", columns=["run_id"], owners=[head]).num_rows:
        return ArtifactReference(kind=RUN, owner_id=head, path=path)  # asked most, and found without reading all ids
    ids = ObjectIds(archive, FILES)
    for name, rest in splits:
        if exact := ids.equal(name):
            return _place(archive, name, exact, rest)
    if starting := ids.starting(head):
        return _place(archive, head, starting, path)
    for name, rest in splits:
        # A run and the model it made often have one name; the run is meant, as `show` has it.
        for kind in FILES:
            if owner_ids := owners_named(archive, kind, name):
                return _place(archive, name, [(kind, owner_id) for owner_id in owner_ids], rest)
    *kinds, last = [kind.replace("_", " ") for kind in FILES]
    raise SelectionError(
        f"no {', '.join(kinds)} or {last} of {archive.path} has the id or name {head!r}; "
        f"`mlflow-archive ls {archive.path} artifacts` lists all artifacts"
    )


def without_scheme(text: str) -> str:
    """Return what stands behind ``runs:/`` or, of a logged model, ``models:/``; other texts as they are."""
    scheme, colon, rest = text.partition(":/")
    return rest.lstrip("/") if colon and scheme in _SCHEMES else text


def artifacts_at(archive: Archive, place: ArtifactReference) -> list[Record]:
    """Return the artifacts at or below a place, by path, as :func:`list_artifacts` does.

    Of a run, also those of the logged models it made, in a folder of the model's name: ``runs:/RUN/model`` is where
    MLflow itself looks for them, and where MLflow 2 had them. Where two models have one name, the newest is meant.
    """
    rows = list_artifacts(archive, place.owner_id, place.path, kind=place.kind)
    by_path = {row["path"]: row for row in rows}
    if place.kind != RUN or place.path in by_path:
        return rows
    first, _, rest = place.path.partition("/")
    for model in made_models(archive, place.owner_id):
        name = model["name"]
        if name and (not first or first == name):
            for row in list_artifacts(archive, model["model_id"], rest, kind=LOGGED_MODEL):
                by_path.setdefault(f"{name}/{row['path']}", {**row, "path": f"{name}/{row['path']}"})
    return [by_path[path] for path in sorted(by_path)]


def _splits(text: str) -> Iterator[tuple[str, str]]:
    parts = text.split("/")
    for at in range(1, len(parts) + 1):
        yield "/".join(parts[:at]), "/".join(parts[at:])


def _place(archive: Archive, name: str, candidates: list[ObjectId], path: str) -> ArtifactReference:
    kind, owner_id = only_one(archive, name, candidates, hint="give more of the id")
    return ArtifactReference(kind=kind, owner_id=owner_id, path=path)
