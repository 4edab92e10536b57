"""Artifacts of one object, from the chunk to the target's place for them."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import ArtifactElsewhereError, ArtifactFile
from mlflow_archive.format import refusals
from mlflow_archive.sinks.replay.target.target import TargetArtifacts
from mlflow_archive.sinks.replay.writing.artifacts import ArtifactNameError
from mlflow_archive.sinks.replay.writing.failures import check_one_item, executed_perhaps
from mlflow_archive.sinks.replay.writing.receipt import Receipt
from mlflow_archive.sinks.replay.writing.references import (
    LARGEST_MLMODEL,
    Mapped,
    is_mlmodel,
    models_in_mlmodel,
    remap_mlmodel,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactOwner:
    """Whose artifacts: ``kind`` and ``source_id`` are for the receipt, ``mapped`` for the ids in MLmodel files.

    ``prefix`` starts the path of each artifact and is left away in the target.
    """

    kind: str
    source_id: str
    mapped: Mapped
    prefix: str = ""


def copy_artifacts(
    artifacts: Sequence[ArtifactFile],
    owner: ArtifactOwner,
    place: TargetArtifacts,
    sizes: Mapping[str, int],
    receipt: Receipt,
) -> list[ArtifactFile]:
    """Write the artifacts that are missing or of another size in ``sizes``; what cannot be is refused, one by one.

    Where the target failed (5xx), or the bytes lie in the base of a delta, the receipt knows that the owner lacks a
    file, so that it stays marked as incomplete.

    Returns the MLmodel files that still name logged models which ``owner.mapped`` does not know.
    """
    unresolved = []
    for artifact in artifacts:
        try:
            if not _copy(artifact, owner, place, sizes, receipt):
                unresolved.append(artifact)
        except (ItemError, ServerError) as exc:
            check_one_item(exc)
            later = isinstance(exc, ArtifactElsewhereError) or (isinstance(exc, ServerError) and executed_perhaps(exc))
            if later:
                receipt.without_file(owner.kind, owner.source_id)
            receipt.refuse(owner.kind, owner.source_id, artifact.path, artifact_refusal(exc), str(exc))
    return unresolved


def artifact_refusal(exc: ItemError | ServerError) -> str:
    """Return the code of a refusal of an artifact: whether its name is the reason, or something else."""
    of_name = isinstance(exc, ArtifactNameError) or (
        isinstance(exc, ServerError) and exc.status == HTTPStatus.BAD_REQUEST
    )
    return refusals.ARTIFACT_NAME if of_name else refusals.ARTIFACT_REFUSED


def refuse_artifacts(artifacts: Sequence[ArtifactFile], owner: ArtifactOwner, exc: ItemError, receipt: Receipt) -> None:
    """Refuse all of them, as where the place they go to cannot be written."""
    for artifact in artifacts:
        receipt.refuse(owner.kind, owner.source_id, artifact.path, refusals.ARTIFACT_REFUSED, str(exc))


def _copy(
    artifact: ArtifactFile, owner: ArtifactOwner, place: TargetArtifacts, sizes: Mapping[str, int], receipt: Receipt
) -> bool:
    path = artifact.path.removeprefix(owner.prefix)
    existing_size = sizes.get(path)
    if existing_size is not None and existing_size == artifact.size and not is_mlmodel(path):
        return True
    resolved = True
    with artifact.open() as opened:
        data: BinaryIO = opened
        size = data.seek(0, os.SEEK_END)
        data.seek(0)
        if is_mlmodel(path) and size <= LARGEST_MLMODEL:
            original = data.read()
            mapped = remap_mlmodel(original, owner.mapped)
            data, size = io.BytesIO(mapped), len(mapped)
            receipt.changed("mlmodel_run_id", int(mapped != original))
            resolved = all(owner.mapped(model) is not None for model in models_in_mlmodel(original))
        place.put(path, data, size)
    receipt.count("artifacts")
    receipt.count("bytes", size)
    return resolved
