"""The archive that a command reads: by itself, or a delta beside its base."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from mlflow_archive.errors import ElsewhereError, QueryError, SelectionError
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive_cli.parameters import ARCHIVE

base_option = click.option(
    "--base", type=ARCHIVE, metavar="BASE", help="ARCHIVE is a delta: read what it does not hold from this archive."
)


@contextmanager
def opened_archive(archive: ArchivePlace, base: ArchivePlace | None) -> Iterator[Archive]:
    """Open an archive. Whoever asks a delta alone for what it does not hold hears where that may be.

    Raises SelectionError for a base of another archive id, and what ``open_archive`` raises.
    """
    with open_archive(archive, base=base) as opened:
        try:
            yield opened
        except (ElsewhereError, QueryError):
            raise
        except SelectionError as error:
            delta = opened.manifest.delta
            if delta is None:
                raise
            place = f"{archive} is a delta and holds only what is new; the rest lies in its base, archive {delta.base}"
            raise SelectionError(f"{error}. {place}: give it with --base") from error
