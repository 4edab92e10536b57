"""Datasets of an experiment and which runs took them as input; the inputs of MLflow 3 that are models are left.

<experiment>/datasets/<dataset>/meta.yaml        name, digest, source, schema, profile
<experiment>/<run>/inputs/<input>/meta.yaml      source_id names the dataset's folder; tags
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mlflow_archive.artifact_roots.names import is_utf8, printable
from mlflow_archive.sources.mlruns.keyfiles import OnBad
from mlflow_archive.sources.mlruns.layout import DATASETS
from mlflow_archive.sources.mlruns.meta import META_FILE, Meta, MetaUnreadableError, read_meta

INPUTS = "inputs"
Row = dict[str, str | int | None]


def dataset_rows(experiment_folder: Path, bad: OnBad) -> Iterator[Row]:
    """Yield the rows of ``datasets`` of an experiment."""
    for folder, meta in _metas(experiment_folder / DATASETS, bad):
        try:
            name, digest = _identity(meta)
        except MetaUnreadableError as error:
            bad(f"{DATASETS}/{folder}", str(error))
            continue
        yield {
            "experiment_id": experiment_folder.name,
            "name": name,
            "digest": digest,
            "dataset_uuid": folder,
            "source_type": meta.text("source_type") or "",
            "source": meta.text("source") or "",
            "schema": meta.text("schema"),
            "profile": meta.text("profile"),
        }


def input_rows(run_folder: Path, experiment_folder: Path, bad: OnBad) -> Iterator[tuple[Row, list[Row]]]:
    """Yield the rows of ``dataset_inputs`` of a run, each with its rows of ``dataset_input_tags``."""
    run_id = run_folder.name
    for folder, meta in _metas(run_folder / INPUTS, bad):
        if meta.text("source_type") != "DATASET":
            continue
        dataset = meta.text("source_id") or ""
        try:
            name, digest = _identity(read_meta(_dataset_folder(experiment_folder, dataset)))
        except MetaUnreadableError as error:
            bad(f"{INPUTS}/{folder}", f"the dataset {dataset} of this input cannot be read: {error}")
            continue
        row: Row = {"run_id": run_id, "dataset_name": name, "dataset_digest": digest}
        tags: list[Row] = [{**row, "key": key, "value": value or ""} for key, value in meta.tags.items()]
        yield {**row, "input_uuid": folder}, tags


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
