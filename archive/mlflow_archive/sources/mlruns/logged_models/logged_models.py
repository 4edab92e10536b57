"""One logged model of MLflow 3 in a file store.

Fields that MLflow of the time did not write are what MLflow takes them for: no ``status`` is READY, no
``lifecycle_stage`` is active. The folder's name is the id, and the experiment is the one the folder lies in.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Final

from mlflow_archive.artifact_roots.local import list_files
from mlflow_archive.format.gaps import ARTIFACT_LISTING, METRIC_UNREADABLE
from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import LOGGED_MODEL
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns.entity import EntityRecord
from mlflow_archive.sources.mlruns.keyfiles import OnBad, read_values
from mlflow_archive.sources.mlruns.layout import TAGS, ExperimentFolder
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.logged_models.model_metrics import model_metric_rows
from mlflow_archive.sources.mlruns.meta import Meta, MetaUnreadableError, read_meta
from mlflow_archive.sources.mlruns.runs.experiments import ACTIVE, DELETED
from mlflow_archive.sources.mlruns.runs.runs import METRICS, PARAMS
from mlflow_archive.sources.mlruns.times import integer_or_gap

# mlflow.entities.LoggedModelStatus.to_int
_STATUS: Final = MappingProxyType({"0": "UNSPECIFIED", "1": "PENDING", "2": "READY", "3": "FAILED"})


def read_model_meta(folder: Path) -> Meta:
    """Read a logged model's meta.yaml and check whose it is.

    Raises MetaUnreadableError.
    """
    meta = read_meta(folder)
    stated = meta.text("model_id")
    if stated is None:
        raise MetaUnreadableError("its meta.yaml names no logged model (model_id)")
    if stated != folder.name:
        raise MetaUnreadableError(f"its meta.yaml is that of {stated}, but the folder is named {folder.name}")
    return meta


def is_deleted_model(folder: Path) -> bool:
    """Say whether a logged model is deleted; of one that cannot be read it is not known, and it counts as active."""
    try:
        return read_model_meta(folder).text("lifecycle_stage") == DELETED
    except MetaUnreadableError:
        return False


def source_run_of(folder: Path) -> str | None:
    """Return the id of the run that made a logged model, None where that is not known."""
    try:
        return read_model_meta(folder).text("source_run_id")
    except MetaUnreadableError:
        return None


def read_logged_model(
    folder: Path, experiment: ExperimentFolder, places: ArtifactPlaces, selection: Selection
) -> EntityRecord:
    """Read a logged model.

    Raises MetaUnreadableError if nothing of it can be told.
    """
    meta = read_model_meta(folder)
    record = EntityRecord.new(LOGGED_MODEL, folder.name)
    owner = {"model_id": folder.name, "experiment_id": experiment.experiment_id}
    record.add("logged_models", {**owner, **_fields(meta, record.bad())})
    for table, name in (("logged_model_params", PARAMS), ("logged_model_tags", TAGS)):
        for key, value in read_values(folder / name, record.bad(name)).items():
            record.add(table, {**owner, "key": key, "value": value})
    bad = record.gaps.under(METRICS, METRIC_UNREADABLE)
    for row in model_metric_rows(folder / METRICS, folder.name, experiment.experiment_id, bad):
        record.add("logged_model_metrics", row)
    if selection.artifacts:
        add_artifacts(record, folder, meta.text("artifact_location"), places, selection)
    return record


def add_artifacts(
    record: EntityRecord, folder: Path, location: str | None, places: ArtifactPlaces, selection: Selection
) -> None:
    """Add the selected artifacts of an object; that they cannot be reached becomes a gap."""
    place = places.find(folder, location)
    found = [] if place.folder is None else list_files(place.folder, record.gaps.add)
    if place.unreachable is not None:
        reason = f"artifacts lie at {place.unreachable}, which a file store export cannot reach; use --artifact-map"
        record.gaps.add("", ARTIFACT_LISTING, reason)
    record.files = [file for file in found if selection.wants_artifact(file.path, file.size)]


def _fields(meta: Meta, bad: OnBad) -> dict[str, str | int | None]:
    name, location = meta.text("name"), meta.text("artifact_location")
    if name is None:
        bad("name", "its meta.yaml has no name; the id is kept as its name")
    return {
        "name": name if name is not None else meta.text("model_id"),
        "artifact_location": None if location is None else without_password(location),
        "creation_timestamp": integer_or_gap(meta, "creation_timestamp", bad),
        "last_updated_timestamp": integer_or_gap(meta, "last_updated_timestamp", bad),
        "status": _status(meta, bad),
        "lifecycle_stage": meta.text("lifecycle_stage") or ACTIVE,
        "model_type": meta.text("model_type"),
        "source_run_id": meta.text("source_run_id"),
        "status_message": meta.text("status_message"),
    }


def _status(meta: Meta, bad: OnBad) -> str:
    text = meta.text("status")
    if text is None:
        return "READY"
    if not text.isdecimal() and text not in _STATUS.values():
        bad("status", f"status is {text!r}, expected 0 to 3 or a name such as READY")
    return _STATUS.get(text, text)
