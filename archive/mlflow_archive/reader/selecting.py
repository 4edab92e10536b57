"""What of an archive is selected: the ids of each kind, runs by their depth below their parents."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.kinds import RUN, TABLES
from mlflow_archive.reader.archive import Archive
from mlflow_archive.selecting.catalog import PARENT_TAG, Where, dependencies_in, related_in
from mlflow_archive.selecting.chosen_versions import ChosenVersions
from mlflow_archive.selecting.model_versions import ModelDependencies
from mlflow_archive.selecting.run_levels import by_depth
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.selecting.selector import Selector

_LINK: Final = ("run_id", "value")
_FEW: Final = 1_000
"""So many objects are looked up by the bounds of row groups; more are filtered."""


class ArchiveSelection:
    """The objects of an archive that a selection takes, as sorted arrays: there may be millions.

    Raises SelectionError for each name that matches nothing, as nobody is told of gaps in what is read of an archive.
    """

    def __init__(self, archive: Archive, selection: Selection) -> None:
        self._archive = archive
        self._selector = Selector(ArchiveCatalog(archive), replace(selection, on_missing="fail"))

    @property
    def versions(self) -> ChosenVersions:
        """The versions of registered models and prompts that come."""
        return self._selector.versions

    @cached_property
    def runs(self) -> pa.StringArray:
        """The ids of the runs."""
        return self.ids(RUN)

    def run_levels(self) -> Iterator[pa.StringArray]:
        """Yield the run ids, those without a selected parent first, then their children, and so on."""
        links = (
            (rows["run_id"], rows["value"]) for rows in self._archive.keyed("tags", "key", PARENT_TAG, columns=_LINK)
        )
        return by_depth(self.runs, links)

    def ids(self, kind: str) -> pa.StringArray:
        """Return the objects of a kind by their first key column."""
        return pa.chunked_array(list(self._selector.ids(kind)), pa.string()).unique().drop_null().sort()


class ArchiveCatalog:
    """The Catalog of an archive."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    @property
    def place(self) -> ArchivePlace:
        return self._archive.path

    def rows(self, table: str, columns: Sequence[str], where: Where | None = None) -> Iterator[pa.Table]:
        if where is None:
            yield from self._archive.batches(table, columns=columns)
            return
        by, values = where
        if by == "key" and len(values) == 1:
            yield from self._archive.keyed(table, by, *values, columns=columns)
        elif by == TABLES[table].key[0] and len(values) <= _FEW:
            yield from self._archive.batches(table, columns=columns, owners=values)
        else:
            among = pa.array(sorted(values), pa.string())
            for rows in self._archive.batches(table, columns=[*columns, by]):
                yield rows.filter(pc.is_in(rows[by], value_set=among)).select(list(columns))

    def dependencies(self, names: Sequence[str], versions: ChosenVersions) -> ModelDependencies:
        return dependencies_in(self, names, versions)

    def related(self, runs: Collection[str], *, children: bool) -> Collection[str]:
        return related_in(self, runs, children=children)

    def unreadable(self, kind: str, ids: Collection[str]) -> Collection[str]:
        return ()
