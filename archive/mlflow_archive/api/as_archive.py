"""Anything that can be exported, as an open archive; what is not an archive is exported into a temporary one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow_archive.errors import NotAnArchiveError, SelectionError, TargetError
from mlflow_archive.flow.report import Progress
from mlflow_archive.format.earlier import AskedAt
from mlflow_archive.format.layout import SINGLE_FILE_SUFFIX
from mlflow_archive.format.location import RemotePlace
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.storage.private_folder import PrivateFolder


@contextmanager
def as_archive(
    place: str,
    *,
    selection: Selection | None = None,
    jobs: int = 4,
    progress: Progress | None = None,
    gaps: bool = False,
    at: AskedAt | None = None,
) -> Iterator[Archive]:
    """Open what a path or tracking URI names.

    An archive is opened as it is, or as it was (``at``), and ``selection`` does not count; a server, database or folder
    is exported into a temporary archive first, which is removed at the end. Raises what these raise; TargetError where
    what could not be read would be taken for missing: a source with gaps, unless these are welcome; SelectionError for
    a delta, and with ``at`` for what is no archive.
    """
    if _may_be_archive(place):
        try:
            opened = open_archive(place, at=at)
        except NotAnArchiveError:
            if "://" in place or place.endswith(SINGLE_FILE_SUFFIX):
                raise
        else:
            with opened:
                opened.require_whole("a comparison")
                yield opened
            return
    if at is not None:
        raise SelectionError(f"{place} is no archive: only an archive can be compared as it was after an export")
    from mlflow_archive.api.verbs import ExportOptions, export  # noqa: PLC0415 - looking needs no writer

    with PrivateFolder() as folder:
        target = folder.path / "archive"
        report = export(target, place, options=ExportOptions(jobs=jobs), selection=selection, progress=progress)
        if not (report.complete or gaps):
            first = report.gaps[0]
            raise TargetError(
                f"{place} cannot be compared: {len(report.gaps)} things could not be read, such as {first.owner_kind} "
                f"{first.owner_id} {first.path}: {first.reason}"
            )
        with open_archive(target) as opened:
            yield opened


def _may_be_archive(place: str) -> bool:
    """Return whether a path or URL may name an archive; a server is one whose URL does not end as a single file."""
    if "://" not in place:
        return Path(place).exists() or place.endswith(SINGLE_FILE_SUFFIX)
    remote = RemotePlace(place)
    return remote.is_bucket or (remote.is_web and remote.name.endswith(SINGLE_FILE_SUFFIX))
