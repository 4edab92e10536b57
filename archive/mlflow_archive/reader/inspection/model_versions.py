"""Versions of registered models and prompts, by MLflow's own URIs: ``models:/churn/3``, ``prompts:/ask@live``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import IDENTITIES, LOGGED_MODEL, MODEL_VERSION, REGISTERED_MODEL, RUN, named_owner
from mlflow_archive.kinds.version_source import OF_MODEL, OF_RUN, TOMBSTONE
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.inspection.listing import Record, list_artifacts
from mlflow_archive.reader.inspection.objects import ObjectDetails
from mlflow_archive.reader.inspection.rows import plain_rows
from mlflow_archive.selecting.no_match import no_match

_SCHEMES: Final = ("models", "prompts")
_LATEST: Final = "latest"
_LONGEST_CHAIN: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionReference:
    """A version of a registered model or prompt, and a path among its files, empty for all of them."""

    row: Record
    path: str = ""

    @property
    def owner_id(self) -> str:
        """The ``owner_id`` of the registered model."""
        return named_owner(self.row["name"], self.row["workspace"])


def find_version(archive: Archive, uri: str) -> VersionReference | None:
    """Return the version that a URI of MLflow means; None for a text that is no such URI.

    ``models:/NAME/VERSION``, ``models:/NAME/latest``, ``models:/NAME/STAGE`` and ``models:/NAME@ALIAS``, each with a
    path behind it, and ``prompts:/`` likewise. Raises SelectionError where the archive has none of that name or number.
    """
    scheme, _, rest = uri.partition(":/")
    if scheme not in _SCHEMES or not rest or OF_MODEL.fullmatch(uri):
        return None
    table = IDENTITIES[REGISTERED_MODEL]
    rows = archive.table(table.name, columns=list(table.owner)).to_pylist()
    models = {named_owner(row["name"], row["workspace"]): row for row in rows}
    parts = rest.strip("/").split("/")
    for at in range(1, len(parts) + 1):  # a name may hold ``/``, and stands behind that of its workspace
        head = "/".join(parts[:at])
        name, _, alias = head.rpartition("@")
        if head in models:
            number = parts[at] if at < len(parts) else _LATEST
            return VersionReference(row=_of_number(archive, models[head], number), path="/".join(parts[at + 1 :]))
        if name in models:
            return VersionReference(row=_of_alias(archive, models[name], alias), path="/".join(parts[at:]))
    wanted = parts[0].partition("@")[0]
    raise no_match("registered model or prompt", archive.path, [wanted], {name: repr(name) for name in models})


def version_details(archive: Archive, reference: VersionReference) -> ObjectDetails:
    """Read everything about a version: its row, tags, aliases and files."""
    number, row = reference.row["version"], reference.row

    def own(table: str) -> list[Record]:
        return [other for other in _rows(archive, table, row) if other["version"] == number]

    aliases = [{"alias": other["alias"]} for other in own("registered_model_aliases")]
    return ObjectDetails(
        kind=MODEL_VERSION,
        owner_id=f"{reference.owner_id}/{number}",
        info=row,
        pairs={"tags": {other["key"]: other["value"] for other in own("model_version_tags")}},
        tables={"aliases": aliases} if aliases else {},
        artifacts=_files(archive, row),
        gaps=[],
    )


def place_of_files(archive: Archive, reference: VersionReference) -> tuple[str, str, str]:
    """Return kind, owner id and path of what has a version's files: its model, or the run or logged model it is of.

    A version that is a copy of another one has the files of that.
    """
    row = reference.row
    for _ in range(_LONGEST_CHAIN):
        folder = f"{row['version']}"
        if list_artifacts(archive, named_owner(row["name"], row["workspace"]), folder, kind=REGISTERED_MODEL):
            return REGISTERED_MODEL, named_owner(row["name"], row["workspace"]), _joined(folder, reference.path)
        locations = [location for location in (row["source"], row["storage_location"]) if location]
        for kind, pattern in ((LOGGED_MODEL, OF_MODEL), (RUN, OF_RUN)):
            for location in locations:
                if match := pattern.fullmatch(location):
                    path = _joined(match[2] or match[4] or "", reference.path)
                    return kind, match[1] or match[3], path
        original = find_version(archive, row["source"] or "")
        if original is None:
            break
        row = original.row
    raise SelectionError(
        f"version {reference.row['version']} of {reference.row['name']!r} has no files in {archive.path}; its source "
        f"is {reference.row['source']!r}"
    )


def _files(archive: Archive, row: Record) -> list[Record]:
    try:
        kind, owner_id, path = place_of_files(archive, VersionReference(row=row))
    except SelectionError:
        return []  # a prompt, or one whose files lie elsewhere: its source says where
    return list_artifacts(archive, owner_id, path, kind=kind)


def _joined(*parts: str) -> str:
    return "/".join(filter(None, (part.strip("/") for part in parts)))


def _rows(archive: Archive, table: str, model: Record) -> list[Record]:
    rows = plain_rows(archive.table(table, owners=[model["name"]]))
    return [row for row in rows if all(row[name] == model[name] for name in IDENTITIES[REGISTERED_MODEL].owner)]


def versions_of(archive: Archive, model: Record) -> list[Record]:
    """Return the rows of the versions of a registered model by number, without those that are deleted."""
    versions = [row for row in _rows(archive, "model_versions", model) if row["current_stage"] != TOMBSTONE]
    return sorted(versions, key=lambda row: int(row["version"]))


def _of_number(archive: Archive, model: Record, number: str) -> Record:
    versions = versions_of(archive, model)
    for row in reversed(versions):
        if number in (str(row["version"]), row["current_stage"]) or number == _LATEST:
            return row
    numbers = ", ".join(str(row["version"]) for row in versions) or "none"
    raise SelectionError(f"{model['name']!r} has no version {number!r} in {archive.path}; there are {numbers}")


def _of_alias(archive: Archive, model: Record, alias: str) -> Record:
    aliases = _rows(archive, "registered_model_aliases", model)
    for row in aliases:
        if row["alias"] == alias:
            return _of_number(archive, model, str(row["version"]))
    names = ", ".join(repr(row["alias"]) for row in aliases) or "none"
    raise SelectionError(f"{model['name']!r} has no alias {alias!r} in {archive.path}; there are {names}")
