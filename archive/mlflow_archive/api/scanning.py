"""Scan from Python; see ``mlflow-archive scan``.

>>> report = ma.scan("backup.mlfa")  # doctest: +SKIP
>>> report.clean, report.counts  # doctest: +SKIP
"""

from __future__ import annotations

from mlflow_archive.api.progress import OnProgress, as_progress
from mlflow_archive.flow.report import Progress
from mlflow_archive.format.location import ArchivePath
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.scanning.archive import scan_archive
from mlflow_archive.scanning.report import ScanReport


def scan(
    archive: ArchivePath, *, base: ArchivePath | None = None, progress: Progress | OnProgress | None = None
) -> ScanReport:
    """Look for credentials, e-mail addresses, IBANs and card numbers in an archive; nothing in it is changed.

    ``report.finds`` says where each is, with its value masked; ``report.rules()`` is a file of rules that takes them
    out. A delta takes its ``base``, too. Raises MissingExtraError, ArchiveError, SelectionError.
    """
    with open_archive(archive, base=base) as opened:
        return scan_archive(opened, as_progress(progress))
