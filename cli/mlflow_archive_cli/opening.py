"""The archive that a command reads: by itself or a delta beside its base, as it is or as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from mlflow_archive.errors import ElsewhereError, QueryError, SelectionError
from mlflow_archive.format.earlier import At
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive_cli.parameters import ARCHIVE, export_or_time

base_option = click.option(
    "--base", type=ARCHIVE, metavar="BASE", help="ARCHIVE is a delta: read what it does not hold from this archive."
)
at_option = click.option(
    "--at",
    type=export_or_time,
    metavar="N|DATE",
    help="ARCHIVE as it was after its export N, or after the newest that was made at DATE or before: ISO 8601, UTC "
    "where no zone is given; a date alone is the end of that day.",
)


@contextmanager
def opened_archive(archive: ArchivePlace, base: ArchivePlace | None, at: At | None = None) -> Iterator[Archive]:
    """Open an archive, as it is or as it was. Who asks a delta alone for what it does not hold hears where that may be.

    Raises SelectionError for a base of another archive id, and what ``open_archive`` raises.
    """
    with open_archive(archive, base=base, at=at) as opened:
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
