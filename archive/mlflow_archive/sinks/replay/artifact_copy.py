"""Artifacts of one run, from the chunk to the target's place for them."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import BinaryIO

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.format import refusals
from mlflow_archive.pipeline import ArtifactFile
from mlflow_archive.sinks.replay.artifacts import ArtifactNameError
from mlflow_archive.sinks.replay.failures import is_about_one_item
from mlflow_archive.sinks.replay.receipt import Receipt
from mlflow_archive.sinks.replay.references import LARGEST_MLMODEL, is_mlmodel, remap_mlmodel
from mlflow_archive.sinks.replay.rows import RunRows
from mlflow_archive.sinks.replay.target import ArtifactPlace


def copy_artifacts(
    rows: RunRows, target_id: str, place: ArtifactPlace, sizes: Mapping[str, int], receipt: Receipt
) -> None:
    """Write the artifacts that are missing or of another size in ``sizes``; what cannot be is refused, one by one."""
    for artifact in rows.artifacts:
        try:
            _copy(artifact, source_id=rows.run_id, target_id=target_id, place=place, sizes=sizes, receipt=receipt)
        except (ItemError, ServerError) as exc:
            if not is_about_one_item(exc):
                raise
            of_name = isinstance(exc, ArtifactNameError) or (
                isinstance(exc, ServerError) and exc.status == HTTPStatus.BAD_REQUEST
            )
            code = refusals.ARTIFACT_NAME if of_name else refusals.ARTIFACT_REFUSED
            receipt.refuse("run", rows.run_id, artifact.path, code, str(exc))


def _copy(
    artifact: ArtifactFile,
    *,
    source_id: str,
    target_id: str,
    place: ArtifactPlace,
    sizes: Mapping[str, int],
    receipt: Receipt,
) -> None:
    there = sizes.get(artifact.path)
    if there is not None and there == artifact.size and not is_mlmodel(artifact.path):
        return
    with artifact.open() as opened:
        data: BinaryIO = opened
        size = data.seek(0, os.SEEK_END)
        data.seek(0)
        if is_mlmodel(artifact.path) and size <= LARGEST_MLMODEL:
            original = data.read()
            mapped = remap_mlmodel(original, {source_id: target_id}.get)
            data, size = io.BytesIO(mapped), len(mapped)
            receipt.changed("mlmodel_run_id", int(mapped != original))
        place.put(artifact.path, data, size)
    receipt.count("artifacts")
    receipt.count("bytes", size)
