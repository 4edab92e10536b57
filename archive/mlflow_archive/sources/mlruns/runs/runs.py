"""One run of a file store: its fields, params, tags, inputs and artifacts; its history is read apart.

Fields that MLflow of the time did not write are what MLflow takes them for: no ``status`` is RUNNING, no
``lifecycle_stage`` is active. ``run_name`` is the run's own name, else the tag ``mlflow.runName``, else ``name`` of
MLflow 0.x, else null. The folders' names are the ids: a run that lies in another experiment than its meta.yaml says
belongs to the one it lies in. Where the folder and its meta.yaml disagree about the run's id it is unreadable, for
MLflow too: most likely it is a copy made by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from mlflow_archive.artifact_roots.local import FoundFile, list_files
from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format.fingerprint import LatestMetric, run_fingerprint
from mlflow_archive.format.gaps import ARTIFACT_LISTING, ARTIFACT_MISSING
from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import RUN
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.mlruns.keyfiles import OnBad, read_values
from mlflow_archive.sources.mlruns.layout import TAGS, ExperimentFolder, RunFolder
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.meta import FieldMalformedError, Meta, MetaUnreadableError, read_meta
from mlflow_archive.sources.mlruns.runs.artifacts import declared_paths, missing_paths
from mlflow_archive.sources.mlruns.runs.experiments import ACTIVE, DELETED
from mlflow_archive.sources.mlruns.runs.inputs import Row, RunEdges, read_edges
from mlflow_archive.sources.mlruns.times import integer_or_gap
from mlflow_archive.sources.reading.gaplist import GapList
from mlflow_archive.sources.reading.rows import Rows

RUN_NAME_TAG: Final = "mlflow.runName"
PARAMS: Final = "params"
METRICS: Final = "metrics"
_STATUS: Final = MappingProxyType({"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"})
_SOURCE_TYPE: Final = MappingProxyType(
    {"1": "NOTEBOOK", "2": "JOB", "3": "PROJECT", "4": "LOCAL", "5": "UNKNOWN", "1000": "UNKNOWN"}
)


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """A run but for its history. ``info`` has the columns of ``runs``; ``gaps`` is what could not be read of it."""

    folder: RunFolder
    info: Row
    params: Mapping[str, str]
    tags: Mapping[str, str]
    gaps: GapList
    edges: RunEdges = field(default_factory=RunEdges)
    artifacts: list[FoundFile] = field(default_factory=list)

    @property
    def run_id(self) -> str:
        return self.folder.run_id

    @property
    def inputs(self) -> list[tuple[Row, list[Row]]]:
        return self.edges.datasets

    def fingerprint(self, latest: Iterable[LatestMetric]) -> str:
        """Return the run's fingerprint."""
        artifacts = [(file.path, file.size) for file in self.artifacts]
        return run_fingerprint(self.info, self.params, self.tags, latest, artifacts)

    def add_to(self, rows: Rows) -> None:
        """Add the rows of the run but its points, artifacts, gaps and fingerprint."""
        rows.add("runs", self.info)
        for table, values in (("params", self.params), ("tags", self.tags)):
            for key, value in values.items():
                rows.add(table, {"run_id": self.run_id, "key": key, "value": value})
        for row, tags in self.inputs:
            rows.add("dataset_inputs", row)
            for tag in tags:
                rows.add("dataset_input_tags", tag)
        for table, found in (("model_inputs", self.edges.model_inputs), ("model_outputs", self.edges.model_outputs)):
            for row in found:
                rows.add(table, row)

    def artifact_files(self) -> list[ArtifactFile]:
        """Return the artifacts as the pipeline wants them."""
        return [
            ArtifactFile(owner_kind=RUN, owner_id=self.run_id, path=file.path, size=file.size, open=file.open)
            for file in self.artifacts
        ]


def read_run_meta(run: RunFolder) -> Meta:
    """Read a run's meta.yaml and check whose it is.

    Raises MetaUnreadableError.
    """
    meta = read_meta(run.path)
    stated = meta.text("run_id", "run_uuid")
    if stated is None:
        raise MetaUnreadableError("its meta.yaml names no run (run_id or run_uuid)")
    if stated != run.run_id:
        raise MetaUnreadableError(f"its meta.yaml is that of run {stated}, but the folder is named {run.run_id}")
    return meta


def is_deleted(run: RunFolder, meta: Meta) -> bool:
    """Say whether a run is deleted."""
    return run.trashed or meta.text("lifecycle_stage") == DELETED


def start_time(meta: Meta) -> int | None:
    """Return when a run started, None where that is not known."""
    try:
        return meta.integer("start_time")
    except FieldMalformedError:
        return None


def read_run(run: RunFolder, experiment: ExperimentFolder, places: ArtifactPlaces, selection: Selection) -> RunRecord:
    """Read a run but for its history.

    Raises MetaUnreadableError if nothing of it can be told.
    """
    meta = read_run_meta(run)
    gaps = GapList(owner_kind=RUN, owner_id=run.run_id)
    tags = read_values(run.path / TAGS, gaps.under(TAGS))
    record = RunRecord(
        folder=run,
        info=_info(run, experiment, meta, tags, gaps),
        params=read_values(run.path / PARAMS, gaps.under(PARAMS)),
        tags=tags,
        gaps=gaps,
        edges=read_edges(run.path, experiment.path, gaps.under("")),
    )
    if selection.artifacts:
        _find_artifacts(record, experiment, meta.text("artifact_uri"), places, selection)
    return record


def _info(run: RunFolder, experiment: ExperimentFolder, meta: Meta, tags: Mapping[str, str], gaps: GapList) -> Row:
    bad = gaps.under("")
    uri = meta.text("artifact_uri")
    return {
        "run_id": run.run_id,
        "run_uuid": meta.text("run_uuid"),
        "experiment_id": experiment.experiment_id,
        "run_name": meta.text("run_name") or tags.get(RUN_NAME_TAG) or meta.text("name") or None,
        "user_id": meta.text("user_id"),
        "status": _status(meta, bad),
        "start_time": integer_or_gap(meta, "start_time", bad),
        "end_time": integer_or_gap(meta, "end_time", bad),
        "lifecycle_stage": DELETED if is_deleted(run, meta) else ACTIVE,
        "artifact_uri": None if uri is None else without_password(uri),
        "deleted_time": integer_or_gap(meta, "deleted_time", bad),
        "source_type": _SOURCE_TYPE.get(text := meta.text("source_type") or "", text or None),
        "source_name": meta.text("source_name"),
        "entry_point_name": meta.text("entry_point_name"),
        "source_version": meta.text("source_version"),
    }


def _status(meta: Meta, bad: OnBad) -> str | None:
    text = meta.text("status")
    if text is None:
        return "RUNNING"
    if text in _STATUS.values():
        return text
    if text not in _STATUS:
        bad("status", f"status is {text!r}, expected 1 to 5 or a name such as FINISHED")
    return _STATUS.get(text)


def _find_artifacts(
    record: RunRecord, experiment: ExperimentFolder, uri: str | None, places: ArtifactPlaces, selection: Selection
) -> None:
    place = places.find(record.folder.path, uri)
    found = [] if place.folder is None else list_files(place.folder, record.gaps.add)
    if place.unreachable is not None:
        reason = f"artifacts lie at {place.unreachable}, which a file store export cannot reach; use --artifact-map"
        record.gaps.add("", ARTIFACT_LISTING, reason)
    for path in missing_paths(declared_paths(record.tags, experiment.path), found):
        if not selection.artifact_globs or any(fnmatchcase(path, glob) for glob in selection.artifact_globs):
            record.gaps.add(path, ARTIFACT_MISSING, "the run declares a model there, but no file lies at or under it")
    record.artifacts = [file for file in found if selection.wants_artifact(file.path, file.size)]
