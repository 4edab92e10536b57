"""What a source of files lends to others of its own, and what it hears from them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from mlflow_archive.flow.chunk import Shard
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.reading.unknown_fields import Counts, UnknownFields


class SelectionLender:
    """Half of a :class:`SharedSource` whose shards are read by all who know what was selected.

    What is in the files may change meanwhile, for this source as for the others.
    """

    has_moment = False

    def __init__(self) -> None:
        self._unknown = UnknownFields()
        self._selection = Selection()

    def lend(self, folder: Path | None = None) -> Selection:
        return self._selection

    def borrow(self, lent: object) -> None:
        self._selection = cast(Selection, lent)

    def ready(self, shard: Shard) -> Shard:
        return shard

    def take_findings(self) -> Counts:
        return self._unknown.take()

    def add_findings(self, findings: object) -> None:
        self._unknown.add_counts(cast(Counts, findings))
