"""One registered model or prompt of a file store; MLflow keeps a prompt as a registered model with a mark.

models/<name>/meta.yaml                     creation_timestamp, last_updated_timestamp, description
models/<name>/tags/, aliases/<alias>        an alias holds the number of its version
models/<name>/version-<number>/meta.yaml, tags/

The folder's name is the model's, but that a file system may have spelled its accents otherwise. A model or version of
which the meta.yaml cannot be read is kept with what else there is, and a gap. Deleted versions are rows in the
stage ``Deleted_Internal``, as in a database.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mlflow_archive.artifact_roots.names import printable
from mlflow_archive.errors import StoreError
from mlflow_archive.format.gaps import OBJECT_UNREADABLE
from mlflow_archive.kinds import DEFAULT_WORKSPACE, REGISTERED_MODEL, named_owner
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.selecting.selector import Selector
from mlflow_archive.sources.mlruns.index import StoreIndex
from mlflow_archive.sources.mlruns.keyfiles import read_values
from mlflow_archive.sources.mlruns.layout import TAGS, VERSION_PREFIX, version_folders
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.meta import Meta, MetaUnreadableError, read_meta
from mlflow_archive.sources.mlruns.registry.version_files import VersionFiles
from mlflow_archive.sources.reading.fields import Fields, row_of
from mlflow_archive.sources.reading.gaplist import GapList
from mlflow_archive.sources.reading.records import Entity

ALIASES: Final = "aliases"
_TIMES: Final = {"creation_time": "creation_timestamp", "last_updated_time": "last_updated_timestamp"}
PROMPT_TAG: Final = "mlflow.prompt.is_prompt"
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_EMPTY: Final = Meta()


def model_name(folder: Path) -> str:
    """Return the name of a registered model."""
    return _name(folder, _meta_or_empty(folder))


def model_identity(folder: Path) -> Mapping[str, str]:
    """Return what names a registered model: its name and workspace."""
    meta = _meta_or_empty(folder)
    return {"name": _name(folder, meta), "workspace": meta.text("workspace") or DEFAULT_WORKSPACE}


def read_registered_model(
    folder: Path, index: StoreIndex, places: ArtifactPlaces, selection: Selection, selector: Selector
) -> Entity:
    """Read a registered model with those of its versions that come."""
    problem = ""
    try:
        meta = read_meta(folder)
    except MetaUnreadableError as error:
        meta, problem = _EMPTY, str(error)
    name, workspace = _name(folder, meta), meta.text("workspace") or DEFAULT_WORKSPACE
    entity = Entity.new(REGISTERED_MODEL, named_owner(name, workspace))
    gaps, identity = entity.gaps, {"name": name, "workspace": workspace}
    if problem:
        gaps.add("", OBJECT_UNREADABLE, f"{problem}; its versions, tags and aliases are kept")
    fields = meta.fields(gaps.under(""))
    name_in_file = fields.text("name")
    if name_in_file is not None and name_in_file != name:
        fields.bad("name", f"its meta.yaml names it {name_in_file}; it is kept under the name of its folder")
    entity.add("registered_models", **row_of("registered_models", fields, _TIMES, **identity))
    fields.known("aliases", "latest_versions")  # which have files of their own
    gaps.unread += fields.unread()
    tags = read_values(folder / TAGS, gaps.under(TAGS))
    entity.add_pairs("registered_model_tags", tags, **identity)
    _add_aliases(entity, folder, identity)
    files = None
    if selection.artifacts and tags.get(PROMPT_TAG, "").lower() != "true":  # a prompt's text is a tag
        files = VersionFiles(entity=entity, index=index, places=places, selection=selection, carries=selector.among)
    for version in _versions(entity.gaps, folder):
        if not selector.versions.takes(entity.owner_id, version):
            continue
        version_folder = folder / f"{VERSION_PREFIX}{version}"
        meta = _add_version(entity, version_folder, {**identity, "version": version})
        if files is not None:
            files.add(version, meta)
    return entity


def version_metas(folder: Path) -> list[tuple[int | None, Meta]]:
    """Return the number of each version of a registered model, as its folder has it, and its meta.yaml.

    That is empty where it cannot be read.
    """
    return [(_number_of(version_folder), _meta_or_empty(version_folder)) for version_folder in version_folders(folder)]


def _versions(gaps: GapList, folder: Path) -> list[int]:
    try:
        folders = version_folders(folder)
    except StoreError as error:
        gaps.add("", OBJECT_UNREADABLE, str(error))
        return []
    numbers: list[int] = []
    for version_folder in folders:
        if (number := _number_of(version_folder)) is not None:
            numbers.append(number)
        else:
            gaps.add(printable(version_folder.name), OBJECT_UNREADABLE, "its folder's name ends in no version number")
    return sorted(numbers)


def _number_of(version_folder: Path) -> int | None:
    text = version_folder.name.removeprefix(VERSION_PREFIX)
    return int(text) if _NUMBER.fullmatch(text) else None


def _add_aliases(entity: Entity, folder: Path, identity: Mapping[str, str]) -> None:
    bad = entity.gaps.under(ALIASES)
    for alias, text in read_values(folder / ALIASES, bad).items():
        if _NUMBER.fullmatch(text.strip()):
            entity.add("registered_model_aliases", **identity, alias=alias, version=int(text))
        else:
            bad(alias, f"it holds {text!r}, expected the number of a version")


def _add_version(entity: Entity, folder: Path, identity: Mapping[str, str | int]) -> Meta:
    """Add the rows of a version and return its meta.yaml, an empty one where it cannot be read."""
    try:
        meta = read_meta(folder)
    except MetaUnreadableError as error:
        meta = _EMPTY
        entity.gaps.add(folder.name, OBJECT_UNREADABLE, f"{error}; its number and tags are kept")
    fields = meta.fields(entity.gaps.under(folder.name), path="versions")
    number, version = fields.text("version"), str(identity["version"])
    if number is not None and number != version:
        fields.bad("version", f"its meta.yaml says {number}; it is kept as {version}, as its folder says")
    _check_model_id(fields)
    entity.add("model_versions", **row_of("model_versions", fields, _TIMES, **identity))
    fields.known("aliases", "params", "metrics")  # files of the model, and of the logged model it was made of
    entity.gaps.unread += fields.unread()
    tags = read_values(folder / TAGS, entity.gaps.under(f"{folder.name}/{TAGS}"))
    entity.add_pairs("model_version_tags", tags, **identity)
    return meta


def _check_model_id(version: Fields) -> None:
    """Add a gap for a logged model that only ``model_id`` of a version names: no table has a column for that."""
    model_id = version.text("model_id")
    if model_id and not any(model_id in (version.location(name) or "") for name in ("source", "storage_location")):
        version.bad("model_id", f"it states the logged model {model_id}, which an archive cannot hold")


def _name(folder: Path, meta: Meta) -> str:
    name_in_file, name = meta.text("name"), printable(folder.name)
    if name_in_file is None or unicodedata.normalize("NFC", name_in_file) != unicodedata.normalize("NFC", name):
        return name
    return name_in_file


def _meta_or_empty(folder: Path) -> Meta:
    try:
        return read_meta(folder)
    except MetaUnreadableError:
        return _EMPTY
