"""One registered model or prompt of a file store; MLflow keeps a prompt as a registered model with a mark.

models/<name>/meta.yaml                     creation_timestamp, last_updated_timestamp, description
models/<name>/tags/, aliases/<alias>        an alias holds the number of its version
models/<name>/version-<number>/meta.yaml, tags/

The folder's name is the model's, but that a file system may have spelled its accents otherwise. A model or version of
which the meta.yaml cannot be read is kept with what else there is, and a gap. Deleted versions are there as rows in the
stage ``Deleted_Internal``, as in a database.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any, Final

from mlflow_archive.artifact_roots.names import printable
from mlflow_archive.errors import StoreError
from mlflow_archive.format.gaps import OBJECT_UNREADABLE
from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import DEFAULT_WORKSPACE, REGISTERED_MODEL, named_owner
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns.entity import EntityRecord
from mlflow_archive.sources.mlruns.index import StoreIndex
from mlflow_archive.sources.mlruns.keyfiles import read_values
from mlflow_archive.sources.mlruns.layout import TAGS, VERSION_PREFIX, version_folders
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.meta import Meta, MetaUnreadableError, read_meta
from mlflow_archive.sources.mlruns.registry.version_files import VersionFiles
from mlflow_archive.sources.mlruns.times import integer_or_gap

ALIASES: Final = "aliases"
PROMPT_TAG: Final = "mlflow.prompt.is_prompt"
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_EMPTY: Final = Meta(scalars={}, tags={})


def model_name(folder: Path) -> str:
    """Return the name of a registered model."""
    return _name(folder, _meta_or_empty(folder))


def read_registered_model(
    folder: Path, index: StoreIndex, places: ArtifactPlaces, selection: Selection
) -> EntityRecord:
    """Read a registered model with its versions."""
    problem = ""
    try:
        meta = read_meta(folder)
    except MetaUnreadableError as error:
        meta, problem = _EMPTY, str(error)
    name, workspace = _name(folder, meta), meta.text("workspace") or DEFAULT_WORKSPACE
    record = EntityRecord.new(REGISTERED_MODEL, named_owner(name, workspace))
    if problem:
        record.gaps.add("", OBJECT_UNREADABLE, f"{problem}; its versions, tags and aliases are kept")
    stated = meta.text("name")
    if stated is not None and stated != name:
        record.bad()("name", f"its meta.yaml names it {stated}; it is kept under the name of its folder")
    owner = {"name": name, "workspace": workspace}
    record.add("registered_models", {**owner, **_times(meta, record), "description": meta.text("description")})
    tags = read_values(folder / TAGS, record.bad(TAGS))
    for key, value in tags.items():
        record.add("registered_model_tags", {**owner, "key": key, "value": value})
    _add_aliases(record, folder, owner)
    files = None
    if selection.artifacts and tags.get(PROMPT_TAG, "").lower() != "true":  # a prompt's text is a tag
        files = VersionFiles(record=record, index=index, places=places, selection=selection)
    for version in _versions(record, folder):
        _add_version(record, folder / f"{VERSION_PREFIX}{version}", version, owner, files)
    return record


def version_metas(folder: Path) -> list[Meta]:
    """Return the meta.yaml of each version of a registered model that can be read."""
    return [_meta_or_empty(each) for each in version_folders(folder)]


def _versions(record: EntityRecord, folder: Path) -> list[int]:
    try:
        found = version_folders(folder)
    except StoreError as error:
        record.gaps.add("", OBJECT_UNREADABLE, str(error))
        return []
    numbers: list[int] = []
    for each in found:
        text = each.name.removeprefix(VERSION_PREFIX)
        if _NUMBER.fullmatch(text):
            numbers.append(int(text))
        else:
            record.gaps.add(printable(each.name), OBJECT_UNREADABLE, "its folder's name ends in no version number")
    return sorted(numbers)


def _add_aliases(record: EntityRecord, folder: Path, owner: dict[str, Any]) -> None:
    for alias, text in read_values(folder / ALIASES, record.bad(ALIASES)).items():
        if _NUMBER.fullmatch(text.strip()):
            record.add("registered_model_aliases", {**owner, "alias": alias, "version": int(text)})
        else:
            record.bad(ALIASES)(alias, f"it holds {text!r}, expected the number of a version")


def _add_version(
    record: EntityRecord, folder: Path, version: int, owner: dict[str, Any], files: VersionFiles | None
) -> None:
    key = {**owner, "version": version}
    try:
        meta = read_meta(folder)
    except MetaUnreadableError as error:
        meta = _EMPTY
        record.gaps.add(folder.name, OBJECT_UNREADABLE, f"{error}; its number and tags are kept")
    stated = meta.text("version")
    if stated is not None and stated != str(version):
        record.bad(folder.name)("version", f"its meta.yaml says {stated}; it is kept as {version}, as its folder says")
    _check_model_id(record, folder, meta)
    texts = ("description", "user_id", "current_stage", "run_id", "run_link", "status", "status_message")
    row = {
        **key,
        **_times(meta, record, folder.name),
        **{name: meta.text(name) for name in texts},
        **{name: _location(meta, name) for name in ("source", "storage_location")},
    }
    record.add("model_versions", row)
    place = f"{folder.name}/{TAGS}"
    for tag, value in read_values(folder / TAGS, record.bad(place)).items():
        record.add("model_version_tags", {**key, "key": tag, "value": value})
    if files is not None:
        files.add(version, meta)


def _check_model_id(record: EntityRecord, folder: Path, meta: Meta) -> None:
    """Add a gap where a version states a logged model that nothing else of it names: a table has no place for it."""
    model_id = meta.text("model_id")
    if model_id and not any(model_id in (_location(meta, name) or "") for name in ("source", "storage_location")):
        record.bad(folder.name)("model_id", f"it states the logged model {model_id}, which an archive cannot hold")


def _times(meta: Meta, record: EntityRecord, folder: str = "") -> dict[str, int | None]:
    bad = record.bad(folder)
    return {
        "creation_time": integer_or_gap(meta, "creation_timestamp", bad),
        "last_updated_time": integer_or_gap(meta, "last_updated_timestamp", bad),
    }


def _location(meta: Meta, name: str) -> str | None:
    location = meta.text(name)
    return None if location is None else without_password(location)


def _name(folder: Path, meta: Meta) -> str:
    stated, name = meta.text("name"), printable(folder.name)
    same = stated is not None and unicodedata.normalize("NFC", stated) == unicodedata.normalize("NFC", name)
    return stated if same and stated is not None else name


def _meta_or_empty(folder: Path) -> Meta:
    try:
        return read_meta(folder)
    except MetaUnreadableError:
        return _EMPTY
