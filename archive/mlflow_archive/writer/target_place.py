"""From a place to what writes an archive there."""

from __future__ import annotations

import os
from pathlib import Path

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.layout import SINGLE_FILE_SUFFIX
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.storage.files import Files
from mlflow_archive.writer.base import Base
from mlflow_archive.writer.target import ArchiveTarget


def target_at(
    place: ArchivePlace,
    *,
    append: bool,
    files: Files,
    of_base: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
) -> ArchiveTarget:
    """Return the target at a path or in a bucket, of a delta of ``of_base`` if given; for a dry run only looked at.

    Raises what ArchiveTarget does, SelectionError for a web server, RemotePlaceError, MissingExtraError.
    """
    if isinstance(place, Path):
        return ArchiveTarget(place, append=append, files=files, of_base=of_base)
    if not place.is_bucket:
        raise SelectionError(f"{place}: an archive is only read from a web server; write it to a path or a bucket")
    from mlflow_archive.writer.bucket_target import BucketFileTarget, BucketTarget  # noqa: PLC0415 - seldom

    if place.name.endswith(SINGLE_FILE_SUFFIX):
        return BucketFileTarget(place, append=append, files=files, of_base=of_base)
    return BucketTarget(place, append=append, files=files, of_base=of_base, completes=not dry_run)


def base_at(place: ArchivePlace, *, append: bool, files: Files, of_base: str | os.PathLike[str] | None) -> Base | None:
    """Return what an export there would continue, None for nothing; nothing is written. Raises as that would."""
    return target_at(place, append=append, files=files, of_base=of_base, dry_run=True).give_up()
