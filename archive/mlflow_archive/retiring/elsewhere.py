"""An archive that lies in what it is the last copy of is none: whoever clears the source would clear it, too."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.location import ArchivePlace, RemotePlace, below, canonical


def check_lies_elsewhere(archive: ArchivePlace, roots: Iterable[str]) -> None:
    """Raise SelectionError where an archive lies in a folder or bucket in which a source keeps artifacts, or above it.

    ``roots`` are locations of the source; those of another scheme, such as ``mlflow-artifacts:``, tell nothing.
    """
    for root in sorted({place for location in roots for place in _with_folder_above(location)}):
        if _shares(archive, root):
            raise SelectionError(
                f"{archive} lies where the source keeps its own files ({root}): it would go with them. Move it to "
                "another folder or bucket, best to another disk, and give it from there"
            )


def _with_folder_above(root: str) -> Iterator[str]:
    """Yield a location, and where it is that of one experiment, as MLflow lays them out, the folder of all."""
    yield root
    above, _, name = root.rstrip("/").rpartition("/")
    if name.isdecimal() and urlsplit(above).path.strip("/"):
        yield above


def _shares(archive: ArchivePlace, root: str) -> bool:
    parts = urlsplit(root)
    if isinstance(archive, RemotePlace):
        place = urlsplit(str(archive))
        return bool(place.netloc) and parts.netloc == place.netloc and _family(parts.scheme) == _family(place.scheme)
    if parts.scheme not in ("", "file"):
        return False
    folder, place_of_archive = os.path.realpath(canonical(root)), os.path.realpath(Path(archive))
    inside = below(place_of_archive, folder) is not None
    return inside or (Path(place_of_archive).is_dir() and below(folder, place_of_archive) is not None)


def _family(scheme: str) -> str:
    """Return one name for the schemes of one kind of bucket."""
    return {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "wasb": "az", "wasbs": "az"}.get(
        scheme, scheme
    )
