"""One logged model of MLflow 3 in a file store.

Fields that MLflow of the time did not write are what MLflow takes them for: no ``status`` is READY, no
``lifecycle_stage`` is active. The folder's name is the id, and the experiment is the one the folder lies in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mlflow_archive.format.gaps import METRIC_UNREADABLE
from mlflow_archive.kinds import LOGGED_MODEL
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns.keyfiles import key_files, read_values
from mlflow_archive.sources.mlruns.layout import METRICS, PARAMS, TAGS, ExperimentFolder
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.meta import Meta, MetaUnreadableError, read_meta
from mlflow_archive.sources.mlruns.metric_lines import read_lines
from mlflow_archive.sources.reading.fields import Fields, row_of
from mlflow_archive.sources.reading.gaplist import OnBad
from mlflow_archive.sources.reading.points import Dataset
from mlflow_archive.sources.reading.records import ACTIVE, Entity
from mlflow_archive.sources.reading.rows import Row

# mlflow.entities.LoggedModelStatus.to_int
_STATUS: Final = MappingProxyType({"0": "UNSPECIFIED", "1": "PENDING", "2": "READY", "3": "FAILED"})

_Place = tuple[int, int, str]
"""Time, step, run id."""
_Measured = tuple[float, Dataset | None]


def read_model_meta(folder: Path) -> Meta:
    """Read a logged model's meta.yaml and check whose it is.

    Raises MetaUnreadableError.
    """
    meta = read_meta(folder)
    model_id = meta.text("model_id")
    if model_id is None:
        raise MetaUnreadableError("its meta.yaml names no logged model (model_id)")
    if model_id != folder.name:
        raise MetaUnreadableError(f"its meta.yaml is that of {model_id}, but the folder is named {folder.name}")
    return meta


def source_run_of(folder: Path) -> str | None:
    """Return the id of the run that made a logged model, None where that is not known."""
    try:
        return read_model_meta(folder).text("source_run_id")
    except MetaUnreadableError:
        return None


def read_logged_model(
    folder: Path, experiment: ExperimentFolder, places: ArtifactPlaces, selection: Selection
) -> Entity:
    """Read a logged model.

    Raises MetaUnreadableError if nothing can be said of it.
    """
    meta = read_model_meta(folder)
    entity = Entity.new(LOGGED_MODEL, folder.name)
    gaps, ids = entity.gaps, {"model_id": folder.name, "experiment_id": experiment.experiment_id}
    fields = meta.fields(gaps.under(""))
    name = fields.text("name")
    if name is None:
        fields.bad("name", "its meta.yaml has no name; the id is kept as its name")
        name = folder.name
    stage = fields.text("lifecycle_stage") or ACTIVE
    own = {**ids, "name": name, "status": _status(fields), "lifecycle_stage": stage}
    entity.add("logged_models", **row_of("logged_models", fields, **own))
    gaps.unread += fields.unread()
    for table, name in (("logged_model_params", PARAMS), ("logged_model_tags", TAGS)):
        entity.add_pairs(table, read_values(folder / name, gaps.under(name)), **ids)
    for row in _metric_rows(folder / METRICS, gaps.under(METRICS, METRIC_UNREADABLE)):
        entity.add("logged_model_metrics", **ids, **row)
    if selection.artifacts:
        entity.take_files(places.files(folder, meta.text("artifact_location"), gaps), selection)
    return entity


def _status(fields: Fields) -> str:
    text = fields.text("status")
    if text is None:
        return "READY"
    if not text.isdecimal() and text not in _STATUS.values():
        fields.bad("status", f"status is {text!r}, expected 0 to 3 or a name such as READY")
    return _STATUS.get(text, text)


def _metric_rows(folder: Path, bad: OnBad) -> Iterator[Row]:
    """Yield rows of ``logged_model_metrics``, but for the ids of the logged model, from below a ``metrics`` folder.

    MLflow's database holds one point of a metric for each time, step and run, and an archive does too; a file store may
    hold several. Of these the one that MLflow shows, the highest, is kept, and a gap reports the others.
    """
    for key, path in key_files(folder, bad):
        for (time, step, run_id), (value, dataset) in _points(key, path, bad).items():
            name, digest = dataset or (None, None)
            place: Row = {"key": key, "timestamp": time, "step": step, "run_id": run_id}
            yield {**place, "value": value, "dataset_name": name, "dataset_digest": digest}


def _points(key: str, path: Path, bad: OnBad) -> dict[_Place, _Measured]:
    points: dict[_Place, _Measured] = {}
    left_out: list[float] = []
    for step, time, value, run_id, dataset in read_lines(key, path, bad, with_run_id=True):
        place, point = (time, step, run_id), (value, dataset)
        earlier = points.setdefault(place, point)
        if _same(earlier, point):
            continue
        higher, lower = (point, earlier) if _rank(value) > _rank(earlier[0]) else (earlier, point)
        points[place] = higher
        left_out.append(lower[0])
    if left_out:
        bad(key, f"{len(left_out)} points have time, step and run of another and are left out, such as {left_out[0]}")
    return points


def _same(a: _Measured, b: _Measured) -> bool:
    return _rank(a[0]) == _rank(b[0]) and a[1] == b[1] and math.isnan(a[0]) == math.isnan(b[0])


def _rank(value: float) -> float:
    return 0.0 if math.isnan(value) else value
