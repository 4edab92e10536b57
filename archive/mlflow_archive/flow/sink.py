"""Where records are written to. A new sink gets every command at once."""

from __future__ import annotations

from typing import Protocol

from mlflow_archive.flow.chunk import Chunk, Known
from mlflow_archive.flow.report import Report
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.selecting.selection import Selection


class Sink(Protocol):
    """Where records are written to."""

    def begin(self, facts: SourceFacts, selection: Selection) -> Known:
        """Get ready and return what the sink holds already; called once, before ``write``."""

    def write(self, chunk: Chunk) -> None:
        """Take a chunk; called from several threads, the chunks of one shard in order by one thread.

        What this item alone cannot carry is kept as a gap; an exception ends the copy.
        """

    def finish(self) -> Report:
        """Commit and return what was done. Without this call nothing is committed."""

    def abort(self) -> None:
        """Called instead of ``finish`` after an exception. Keeps what a later run can continue from."""
