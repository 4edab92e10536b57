"""From a place to what writes an archive there."""

from __future__ import annotations

from pathlib import Path

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.layout import SINGLE_FILE_SUFFIX
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.reader.archive import Archive
from mlflow_archive.storage.files import Files
from mlflow_archive.writer.target import ArchiveTarget


def target_at(place: ArchivePlace, *, append: bool, files: Files, dry_run: bool = False) -> ArchiveTarget:
    """Return the target at a path or in a bucket; for a dry run only looked at.

    Raises what ArchiveTarget does, SelectionError for a web server, RemotePlaceError, MissingExtraError.
    """
    if isinstance(place, Path):
        return ArchiveTarget(place, append=append, files=files)
    if not place.is_bucket:
        raise SelectionError(f"{place}: an archive is only read from a web server; write it to a path or a bucket")
    from mlflow_archive.writer.bucket_target import BucketFileTarget, BucketTarget  # noqa: PLC0415 - seldom

    if place.name.endswith(SINGLE_FILE_SUFFIX):
        return BucketFileTarget(place, append=append, files=files)
    return BucketTarget(place, append=append, files=files, completes=not dry_run)


def base_at(place: ArchivePlace, *, append: bool, files: Files) -> Archive | None:
    """Return the archive that an export there would add to, None for none; nothing is written. Raises as that would."""
    target = target_at(place, append=append, files=files, dry_run=True)
    if isinstance(place, Path):
        return target.base
    base, target.base = target.base, None
    target.close()
    return base
