"""What the index has of each object: its id, what it stands on, where it lies; little enough to keep all in memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflow_archive.kinds import DEFAULT_WORKSPACE, named_owner
from mlflow_archive.selecting.model_versions import PROMPT_EXPERIMENTS, prompt_experiments
from mlflow_archive.sources.exim.documents import Document, DocumentUnreadableError
from mlflow_archive.sources.exim.layout import ARTIFACTS, MODEL_FILE, PROMPT_FILE
from mlflow_archive.sources.exim.tool_fields import time_of
from mlflow_archive.sources.reading.fields import ValueMalformedError, integer_of, text_of
from mlflow_archive.sources.reading.records import DELETED

PARENT_TAG: Final = "mlflow.parentRunId"
SOURCE_RUN: Final = "mlflow.sourceRun"
IS_PROMPT: Final = "mlflow.prompt.is_prompt"
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
    """A run; ``artifacts`` are the folders that may hold its files, those of copies too. ``start_time`` is in ms."""

    run_id: str
    experiment_id: str
    path: Path
    artifacts: tuple[Path, ...]
    start_time: int | None = None
    deleted: bool = False
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedModelEntry:
    """A logged model; ``run_id`` is the run that made it."""

    model_id: str
    experiment_id: str
    path: Path
    run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceEntry:
    """A trace; ``run_id`` is the run that it was made in, ``request_time`` when it began, 0 if unknown."""

    trace_id: str
    experiment_id: str
    path: Path
    run_id: str | None = None
    request_time: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetEntry:
    """An evaluation dataset."""

    dataset_id: str
    name: str
    experiments: tuple[str, ...]
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionEntry:
    """What a version of a registered model stands on: a run, and perhaps a logged model."""

    number: str
    run_id: str | None = None
    model_id: str | None = None
    experiment_name: str | None = None
    stage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """What one document says of a registered model or prompt; the documents of one name belong together."""

    name: str
    workspace: str
    path: Path
    versions: tuple[VersionEntry, ...] = ()
    experiments: frozenset[str] = frozenset()
    """Those to which a prompt belongs."""
    is_prompt: bool = False

    @property
    def owner_id(self) -> str:
        """The id by which other tables refer to it."""
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
    experiment = _part(document, "experiment")
    return ExperimentEntry(
        experiment_id=_id(document, experiment, "experiment_id"),
        name=_id(document, experiment, "name"),
        deleted=experiment.get("lifecycle_stage") == DELETED,
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
        experiment_id=_id(document, info if info.get("experiment_id") else _location(info), "experiment_id"),
        path=document.path,
        run_id=_optional(metadata, SOURCE_RUN) if isinstance(metadata, Mapping) else None,
        request_time=_time(info, "request_time") or _time(info, "timestamp_ms") or 0,
    )


def dataset_entry(document: Document) -> DatasetEntry:
    """Return the entry of an ``evaluation_dataset.json``. Raises DocumentUnreadableError."""
    dataset = _part(document, "evaluation_dataset")
    experiments = dataset.get("experiment_ids")
    return DatasetEntry(
        dataset_id=_id(document, dataset, "dataset_id"),
        name=_optional(dataset, "name") or "",
        experiments=tuple(str(experiment_id) for experiment_id in experiments) if isinstance(experiments, list) else (),
        path=document.path,
    )


def model_entry(document: Document) -> ModelEntry:
    """Return the entry of a ``model.json``, ``version.json`` or ``prompt.json``. Raises DocumentUnreadableError."""
    if document.path.name == PROMPT_FILE:
        prompt = _part(document, "prompt")
        number = VersionEntry(number=_id(document, prompt, "version"))
        name = _id(document, prompt, "name")
        return ModelEntry(
            name=name, workspace=DEFAULT_WORKSPACE, path=document.path, versions=(number,), is_prompt=True
        )
    described = _part(document, "registered_model" if document.path.name == MODEL_FILE else "model_version")
    versions = list(versions_in(document))
    workspaces = [_optional(part, "workspace") for part in (described, *versions)]
    tags = _tags_in(described.get("tags"))
    belongs = tags.get(PROMPT_EXPERIMENTS)
    return ModelEntry(
        name=_id(document, described, "name"),
        workspace=next((name for name in workspaces if name), DEFAULT_WORKSPACE),
        path=document.path,
        versions=tuple(_version(version) for version in versions),
        experiments=prompt_experiments([belongs] if isinstance(belongs, str) else []),
        is_prompt=str(tags.get(IS_PROMPT)).lower() == "true",
    )


def _tags_in(tags: object) -> dict[object, object]:
    """Return the tags of a registered model: an object, or a list of keys and values."""
    if isinstance(tags, Mapping):
        return dict(tags)
    entries = [tag for tag in tags if isinstance(tag, Mapping)] if isinstance(tags, list) else []
    return {tag.get("key"): tag.get("value") for tag in entries}


def versions_in(document: Document) -> Iterator[Mapping[str, Any]]:
    """Yield the versions that a ``model.json`` or ``version.json`` describes.

    Also those that the tool left out as their run could not be exported: they are versions all the same.
    """
    if document.path.name != MODEL_FILE:
        yield _part(document, "model_version")
        return
    model = _part(document, "registered_model")
    listed = model.get("versions", model.get("latest_versions"))
    yield from (version for version in listed if isinstance(version, Mapping)) if isinstance(listed, list) else ()
    for failed in failed_versions(document):
        if isinstance(failed.get("version"), Mapping):
            yield failed["version"]


def failed_versions(document: Document) -> Iterator[Mapping[str, Any]]:
    """Yield what a ``model.json`` says of versions that the tool could not export."""
    failed = document.info.get("failed_versions")
    yield from (failure for failure in failed if isinstance(failure, Mapping)) if isinstance(failed, list) else ()


def _version(version: Mapping[str, Any]) -> VersionEntry:
    model_id = _optional(version, "model_id")
    sources = (model_id and f"models:/{model_id}", _optional(version, "_source"), _optional(version, "source"))
    matches = (_LOGGED_MODEL.search(source) for source in sources if source)
    return VersionEntry(
        number=str(version.get("version")),
        run_id=_optional(version, "run_id"),
        model_id=next((match[1] for match in matches if match), None),
        experiment_name=_optional(version, "_experiment_name"),
        stage=_optional(version, "current_stage"),
    )


def _part(document: Document, name: str) -> Mapping[str, Any]:
    part = document.body.get(name)
    if not isinstance(part, Mapping):
        raise DocumentUnreadableError(f"{document.place} has no part `{name}`")
    return part


def _id(document: Document, part: Mapping[str, Any], *names: str) -> str:
    for name in names:
        if part.get(name) not in (None, ""):
            try:
                return text_of(part[name])
            except ValueMalformedError as error:
                raise DocumentUnreadableError(f"{document.place}: {name}: {error}") from error
    raise DocumentUnreadableError(f"{document.place} states no {' or '.join(names)}")


def _optional(part: Mapping[str, Any], name: str) -> str | None:
    value = part.get(name)
    return value if isinstance(value, str) and value else None


def _time(info: Mapping[str, Any], name: str) -> int | None:
    for field in (name, f"_{name}"):
        try:
            if info.get(field) is not None:
                return time_of(info[field])
        except ValueMalformedError:
            continue  # reported when the run is read
    return None


def _location(info: Mapping[str, Any]) -> Mapping[str, Any]:
    place = info.get("trace_location")
    experiment = place.get("mlflow_experiment") if isinstance(place, Mapping) else None
    return experiment if isinstance(experiment, Mapping) else {}


def number_of(version: str) -> int | None:
    """Return the number of a version, None where that is not a number."""
    try:
        return integer_of(version)
    except ValueMalformedError:
        return None
