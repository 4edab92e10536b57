"""What the index holds of each object: its id, what it stands on, where it lies; little enough to hold all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflow_archive.kinds import DEFAULT_WORKSPACE, named_owner
from mlflow_archive.sources.exim.documents import Document, DocumentUnreadableError
from mlflow_archive.sources.exim.fields import Malformed, integer_of, text_of, time_of
from mlflow_archive.sources.exim.layout import ARTIFACTS, MODEL_FILE, PROMPT_FILE

ACTIVE: Final = "active"
DELETED: Final = "deleted"
PARENT_TAG: Final = "mlflow.parentRunId"
SOURCE_RUN: Final = "mlflow.sourceRun"
_LOGGED_MODEL = re.compile(r"models:?/(m-[^/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentEntry:
    """An experiment; without ``path`` there is no document of it."""

    experiment_id: str
    name: str
    deleted: bool = False
    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """A run; ``artifacts`` are the folders that may hold some, of copies too. ``start_time`` is in ms."""

    run_id: str
    experiment_id: str
    path: Path
    artifacts: tuple[Path, ...]
    start_time: int | None = None
    deleted: bool = False
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedModelEntry:
    model_id: str
    experiment_id: str
    path: Path
    run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceEntry:
    trace_id: str
    experiment_id: str
    path: Path
    run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetEntry:
    """An evaluation dataset."""

    dataset_id: str
    experiments: tuple[str, ...]
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionEntry:
    """What a version of a registered model stands on: a run, and perhaps a logged model."""

    number: str
    run_id: str | None = None
    model_id: str | None = None
    experiment_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """What one document says of a registered model or prompt; the documents of one name belong together."""

    name: str
    workspace: str
    path: Path
    versions: tuple[VersionEntry, ...] = ()

    @property
    def owner_id(self) -> str:
        """How other tables name it."""
        return named_owner(self.name, self.workspace)


def run_entry(document: Document) -> RunEntry:
    """Return the entry of a ``run.json``. Raises DocumentUnreadableError."""
    info = _part(document, "info")
    tags = document.body.get("tags")
    parent = tags.get(PARENT_TAG) if isinstance(tags, Mapping) else None
    return RunEntry(
        run_id=_id(document, info, "run_id", "run_uuid"),
        experiment_id=_id(document, info, "experiment_id"),
        path=document.path,
        artifacts=(document.path.parent / ARTIFACTS,),
        start_time=_time(info, "start_time"),
        deleted=info.get("lifecycle_stage") == DELETED,
        parent=parent if isinstance(parent, str) else None,
    )


def experiment_entry(document: Document) -> ExperimentEntry:
    """Return the entry of an ``experiment.json``. Raises DocumentUnreadableError."""
    found = _part(document, "experiment")
    return ExperimentEntry(
        experiment_id=_id(document, found, "experiment_id"),
        name=_id(document, found, "name"),
        deleted=found.get("lifecycle_stage") == DELETED,
        path=document.path,
    )


def logged_model_entry(document: Document) -> LoggedModelEntry:
    """Return the entry of a ``logged_model.json``. Raises DocumentUnreadableError."""
    return LoggedModelEntry(
        model_id=_id(document, document.body, "model_id"),
        experiment_id=_id(document, document.body, "experiment_id"),
        path=document.path,
        run_id=_optional(document.body, "source_run_id"),
    )


def trace_entry(document: Document) -> TraceEntry:
    """Return the entry of a ``trace.json``, of MLflow 2 or 3. Raises DocumentUnreadableError."""
    info = _part(document, "info")
    metadata = info.get("trace_metadata") or info.get("request_metadata")
    return TraceEntry(
        trace_id=_id(document, info, "trace_id", "request_id"),
        experiment_id=_id(document, {**_location(info), **_given(info, "experiment_id")}, "experiment_id"),
        path=document.path,
        run_id=_optional(metadata, SOURCE_RUN) if isinstance(metadata, Mapping) else None,
    )


def dataset_entry(document: Document) -> DatasetEntry:
    """Return the entry of an ``evaluation_dataset.json``. Raises DocumentUnreadableError."""
    found = _part(document, "evaluation_dataset")
    experiments = found.get("experiment_ids")
    return DatasetEntry(
        dataset_id=_id(document, found, "dataset_id"),
        experiments=tuple(str(each) for each in experiments) if isinstance(experiments, list) else (),
        path=document.path,
    )


def model_entry(document: Document) -> ModelEntry:
    """Return the entry of a ``model.json``, ``version.json`` or ``prompt.json``. Raises DocumentUnreadableError."""
    if document.path.name == PROMPT_FILE:
        prompt = _part(document, "prompt")
        number = VersionEntry(number=_id(document, prompt, "version"))
        name = _id(document, prompt, "name")
        return ModelEntry(name=name, workspace=DEFAULT_WORKSPACE, path=document.path, versions=(number,))
    found = _part(document, "registered_model" if document.path.name == MODEL_FILE else "model_version")
    versions = list(versions_in(document))
    workspaces = [_optional(each, "workspace") for each in (found, *versions)]
    return ModelEntry(
        name=_id(document, found, "name"),
        workspace=next((name for name in workspaces if name), DEFAULT_WORKSPACE),
        path=document.path,
        versions=tuple(_version(each) for each in versions),
    )


def versions_in(document: Document) -> Iterator[Mapping[str, Any]]:
    """Yield the versions that a ``model.json`` or ``version.json`` describes.

    Also those that the tool left out as their run was not there to export: they are versions all the same.
    """
    if document.path.name != MODEL_FILE:
        yield _part(document, "model_version")
        return
    found = _part(document, "registered_model")
    listed = found.get("versions", found.get("latest_versions"))
    yield from (each for each in listed or () if isinstance(each, Mapping)) if isinstance(listed, list) else ()
    for failed in failed_versions(document):
        if isinstance(failed.get("version"), Mapping):
            yield failed["version"]


def failed_versions(document: Document) -> Iterator[Mapping[str, Any]]:
    """Yield what a ``model.json`` says of versions that the tool could not export."""
    failed = document.info.get("failed_versions")
    yield from (each for each in failed if isinstance(each, Mapping)) if isinstance(failed, list) else ()


def _version(found: Mapping[str, Any]) -> VersionEntry:
    sources = (_optional(found, "model_id"), _optional(found, "_source"), _optional(found, "source"))
    matches = (
        _LOGGED_MODEL.search(f"models:/{each}" if number == 0 else each) for number, each in enumerate(sources) if each
    )
    return VersionEntry(
        number=str(found.get("version")),
        run_id=_optional(found, "run_id"),
        model_id=next((match[1] for match in matches if match), None),
        experiment_name=_optional(found, "_experiment_name"),
    )


def _part(document: Document, name: str) -> Mapping[str, Any]:
    found = document.body.get(name)
    if not isinstance(found, Mapping):
        raise DocumentUnreadableError(f"{document.place} has no part `{name}`")
    return found


def _id(document: Document, found: Mapping[str, Any], *names: str) -> str:
    for name in names:
        if found.get(name) not in (None, ""):
            try:
                return text_of(found[name])
            except Malformed as error:
                raise DocumentUnreadableError(f"{document.place}: {name}: {error}") from error
    raise DocumentUnreadableError(f"{document.place} states no {' or '.join(names)}")


def _optional(found: Mapping[str, Any], name: str) -> str | None:
    value = found.get(name)
    return value if isinstance(value, str) and value else None


def _time(found: Mapping[str, Any], name: str) -> int | None:
    for each in (name, f"_{name}"):
        try:
            if found.get(each) is not None:
                return time_of(found[each])
        except Malformed:
            continue  # told when the run is read
    return None


def _location(info: Mapping[str, Any]) -> Mapping[str, Any]:
    place = info.get("trace_location")
    found = place.get("mlflow_experiment") if isinstance(place, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _given(info: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {name: info[name]} if info.get(name) else {}


def number_of(version: str) -> int | None:
    """Return the number of a version, None where that is no number."""
    try:
        return integer_of(version)
    except Malformed:
        return None
