"""One run of a file store: its fields, params, tags, inputs and artifacts; its history is read apart.

Fields that MLflow of the time did not write are what MLflow takes them for: no ``status`` is RUNNING, no
``lifecycle_stage`` is active. ``run_name`` is the run's own name, else the tag ``mlflow.runName``, else ``name`` of
MLflow 0.x, else null. The folders' names are the ids: a run that lies in another experiment than its meta.yaml says
belongs to the one it lies in. Where the folder and its meta.yaml disagree about the run's id it is unreadable, for
MLflow too: most likely it is a copy made by hand.

A run declares models in its tag ``mlflow.log-model.history``. A tag that is not JSON (old servers cut long values)
declares nothing that could be named. Models of MLflow 3 lie beside the runs and are another kind of object.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from mlflow_archive.artifact_roots.declared import HISTORY_TAG
from mlflow_archive.format.gaps import ARTIFACT_MISSING
from mlflow_archive.format.json_text import parse_json
from mlflow_archive.kinds import RUN
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns.keyfiles import read_values
from mlflow_archive.sources.mlruns.layout import (
    ARTIFACTS,
    MODELS,
    PARAMS,
    TAGS,
    ExperimentFolder,
    RunFolder,
    holds_files,
)
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.meta import Meta, MetaUnreadableError, read_meta
from mlflow_archive.sources.mlruns.runs.inputs import read_edges
from mlflow_archive.sources.reading.fields import Fields, ValueMalformedError, integer_of, row_of
from mlflow_archive.sources.reading.gaplist import GapList
from mlflow_archive.sources.reading.records import ACTIVE, DELETED, RUN_NAME_TAG, RunRecord, selected_files

_STATUS: Final = MappingProxyType({"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"})
_SOURCE_TYPE: Final = MappingProxyType(
    {"1": "NOTEBOOK", "2": "JOB", "3": "PROJECT", "4": "LOCAL", "5": "UNKNOWN", "1000": "UNKNOWN"}
)


def read_run_meta(run: RunFolder) -> Meta:
    """Read a run's meta.yaml and check whose it is.

    Raises MetaUnreadableError.
    """
    meta = read_meta(run.path)
    run_id = meta.text("run_id", "run_uuid")
    if run_id is None:
        raise MetaUnreadableError("its meta.yaml names no run (run_id or run_uuid)")
    if run_id != run.run_id:
        raise MetaUnreadableError(f"its meta.yaml is that of run {run_id}, but the folder is named {run.run_id}")
    return meta


def is_deleted(run: RunFolder, meta: Meta) -> bool:
    """Return whether a run is deleted."""
    return run.trashed or meta.text("lifecycle_stage") == DELETED


def start_time(meta: Meta) -> int | None:
    """Return when a run started, None where that is not known."""
    text = meta.text("start_time")
    try:
        return None if text is None else integer_of(text)
    except ValueMalformedError:
        return None


def read_run(run: RunFolder, experiment: ExperimentFolder, places: ArtifactPlaces, selection: Selection) -> RunRecord:
    """Read a run but for its history.

    Raises MetaUnreadableError if nothing can be said of it.
    """
    meta = read_run_meta(run)
    gaps = GapList(owner_kind=RUN, owner_id=run.run_id)
    tags = read_values(run.path / TAGS, gaps.under(TAGS))
    record = RunRecord(
        run_id=run.run_id,
        info=_info(run, experiment, meta, tags, gaps),
        params=read_values(run.path / PARAMS, gaps.under(PARAMS)),
        tags=tags,
        gaps=gaps,
        edges=read_edges(run.path, experiment.path, gaps),
    )
    if selection.artifacts:
        files = places.files(run.path, meta.text("artifact_uri"), gaps)
        record.files = selected_files(RUN, run.run_id, files, selection)
        for path in _missing_models(tags, experiment.path, [file.path for file in files]):
            if not selection.artifact_globs or any(fnmatchcase(path, glob) for glob in selection.artifact_globs):
                gaps.add(path, ARTIFACT_MISSING, "the run declares a model there, but no file lies at or under it")
    return record


def _info(
    run: RunFolder, experiment: ExperimentFolder, meta: Meta, tags: Mapping[str, str], gaps: GapList
) -> dict[str, str | int | None]:
    fields = meta.fields(gaps.under(""))
    name = fields.text("name")
    row = row_of(
        "runs",
        fields,
        run_id=run.run_id,
        experiment_id=experiment.experiment_id,
        run_name=fields.text("run_name") or tags.get(RUN_NAME_TAG) or name or None,
        status=_status(fields),
        lifecycle_stage=DELETED if is_deleted(run, meta) else ACTIVE,
        source_type=_SOURCE_TYPE.get(text := fields.text("source_type") or "", text or None),
    )
    gaps.unread += fields.unread()
    return row


def _status(fields: Fields) -> str | None:
    text = fields.text("status")
    if text is None:
        return "RUNNING"
    if text in _STATUS.values():
        return text
    if text not in _STATUS:
        fields.bad("status", f"status is {text!r}, expected 1 to 5 or a name such as FINISHED")
    return _STATUS.get(text)


def _missing_models(tags: Mapping[str, str], experiment_folder: Path, paths: Collection[str]) -> list[str]:
    """Return the artifact paths that a run's tags declare and at or under which no file lies."""
    declared = set(_declared_paths(tags, experiment_folder))
    return sorted(path for path in declared if not any(_lies_below(file, path) for file in paths))


def _lies_below(file: str, path: str) -> bool:
    return not path or file == path or file.startswith(path + "/")


def _declared_paths(tags: Mapping[str, str], experiment_folder: Path) -> Iterator[str]:
    """Yield the artifact paths that a run's tags declare, without those that are models of MLflow 3 lying here."""
    try:
        history = parse_json(tags.get(HISTORY_TAG) or "[]")
    except ValueError:
        return
    for entry in history if isinstance(history, list) else []:
        path = entry.get("artifact_path") if isinstance(entry, dict) else None
        if isinstance(path, str) and not _is_logged_model(entry, experiment_folder):
            yield path.strip("/")


def _is_logged_model(entry: Mapping[str, Any], experiment_folder: Path) -> bool:
    model_id = entry.get("model_id")
    if not isinstance(model_id, str) or model_id in ("", ".", "..") or "/" in model_id:
        return False
    return holds_files(experiment_folder / MODELS / model_id / ARTIFACTS)
