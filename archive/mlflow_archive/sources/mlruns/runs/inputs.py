"""Datasets of an experiment, which runs took them as input, and which runs took or made which logged models.

<experiment>/datasets/<dataset>/meta.yaml        name, digest, source, schema, profile
<experiment>/<run>/inputs/<input>/meta.yaml      source_id names the dataset's folder, or a logged model; tags
<experiment>/<run>/outputs/<model>/meta.yaml     destination_id is the logged model, step
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mlflow_archive.artifact_roots.names import is_utf8, printable
from mlflow_archive.sources.mlruns.layout import DATASETS, holds_files
from mlflow_archive.sources.mlruns.meta import META_FILE, Meta, MetaUnreadableError, read_meta
from mlflow_archive.sources.reading.fields import Fields, row_of
from mlflow_archive.sources.reading.gaplist import GapList, OnBad
from mlflow_archive.sources.reading.records import RunEdges
from mlflow_archive.sources.reading.rows import Row, pair_rows

INPUTS = "inputs"
OUTPUTS = "outputs"
_EDGE = ("source_type", "source_id", "destination_type", "destination_id")
"""What an edge joins: the run whose folder it is in, and what it is named after."""


def dataset_rows(experiment_folder: Path, gaps: GapList) -> Iterator[Row]:
    """Yield the rows of ``datasets`` of an experiment."""
    bad = gaps.under("")
    for folder, meta in _metas(experiment_folder / DATASETS, bad):
        try:
            name, digest = _identity(meta)
        except MetaUnreadableError as error:
            bad(f"{DATASETS}/{folder}", str(error))
            continue
        fields = meta.fields(bad, f"{DATASETS}/{folder}", path=DATASETS)
        own = {"experiment_id": experiment_folder.name, "name": name, "digest": digest, "dataset_uuid": folder}
        texts = {name: fields.text(name) or "" for name in ("source_type", "source")}
        yield row_of("datasets", fields, **own, **texts)
        gaps.unread += fields.unread()


def read_edges(run_folder: Path, experiment_folder: Path, gaps: GapList) -> RunEdges:
    """Return the inputs and outputs of a run."""
    edges, bad = RunEdges(), gaps.under("")
    for folder, meta in _metas(run_folder / INPUTS, bad):
        fields = meta.fields(bad, f"{INPUTS}/{folder}", path=INPUTS)
        fields.known(*_EDGE)
        try:
            if fields.text("source_type") == "DATASET":
                edges.datasets.append(_dataset_input(run_folder.name, folder, fields, experiment_folder))
            else:
                edges.model_inputs.append(_model_input(run_folder.name, folder, fields))
        except MetaUnreadableError as error:
            fields.leave_out("", str(error))
        gaps.unread += fields.unread()
    for folder, meta in _metas(run_folder / OUTPUTS, bad):
        fields = meta.fields(bad, f"{OUTPUTS}/{folder}", path=OUTPUTS)
        fields.known(*_EDGE)
        try:
            edges.model_outputs.append(_model_output(run_folder.name, fields))
        except MetaUnreadableError as error:
            fields.leave_out("", str(error))
        gaps.unread += fields.unread()
    return edges


def _dataset_input(run_id: str, folder: str, meta: Fields, experiment_folder: Path) -> tuple[Row, list[Row]]:
    dataset = meta.text("source_id") or ""
    try:
        name, digest = _identity(read_meta(_dataset_folder(experiment_folder, dataset)))
    except MetaUnreadableError as error:
        raise MetaUnreadableError(f"the dataset {dataset} of this input cannot be read: {error}") from error
    row: Row = {"run_id": run_id, "dataset_name": name, "dataset_digest": digest}
    tags: list[Row] = pair_rows(meta.pairs("tags"), **row)
    return {**row, "input_uuid": folder}, tags


def _model_input(run_id: str, folder: str, meta: Fields) -> Row:
    kind = meta.text("source_type")
    if kind != "MODEL":
        raise MetaUnreadableError(f"its source_type is {kind!r}, expected DATASET or MODEL")
    model_id = meta.text("source_id", "destination_id")
    if not model_id:
        raise MetaUnreadableError("it names no model (source_id)")
    return {"run_id": run_id, "model_id": model_id, "step": 0, "input_uuid": folder}


def _model_output(run_id: str, meta: Fields) -> Row:
    kind = meta.text("destination_type")
    if kind != "MODEL_OUTPUT":
        raise MetaUnreadableError(f"its destination_type is {kind!r}, expected MODEL_OUTPUT")
    model_id = meta.text("destination_id", "source_id")
    if not model_id:
        raise MetaUnreadableError("it names no model (destination_id)")
    return {"run_id": run_id, "model_id": model_id, "step": meta.integer("step") or 0}


def _dataset_folder(experiment_folder: Path, dataset: str) -> Path:
    if dataset in ("", ".", "..") or "/" in dataset:
        raise MetaUnreadableError(f"its source_id is {dataset!r}, expected the name of a folder")
    return experiment_folder / DATASETS / dataset


def _identity(meta: Meta) -> tuple[str, str]:
    name, digest = meta.text("name"), meta.text("digest")
    if name is None or digest is None:
        raise MetaUnreadableError("its meta.yaml names no dataset (name and digest)")
    return name, digest


def _metas(folder: Path, bad: OnBad) -> Iterator[tuple[str, Meta]]:
    """Yield (name, meta.yaml) of the folders in a folder that have one."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        bad(folder.name, f"the folder cannot be listed: {error.strerror}")
        return
    for name in names:
        place = f"{folder.name}/{printable(name)}"
        if not is_utf8(name):
            bad(place, "its folder has a name that is not UTF-8")
        elif os.path.lexists(folder / name / META_FILE):
            try:
                yield name, read_meta(folder / name)
            except MetaUnreadableError as error:
                bad(place, str(error))
        elif holds_files(folder / name) and (folder / name).is_dir():
            bad(place, f"its folder holds files but no {META_FILE}")
