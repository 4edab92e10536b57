"""Whose workspace each row of a chunk is in: what lies in an experiment is in that of the experiment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import compress
from threading import local
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.kinds import BY_ROW, DEFAULT_WORKSPACE, EXPERIMENT, TABLES, WORKSPACE, Table, is_identity, owner_id

_COLUMN: Final = "workspace"

Owner = tuple[str, str]
"""(kind, id)"""
Tables = Mapping[str, pa.Table]


class _Thread(local):
    """What a thread knows of the shard that it is at: workspaces of entities, and all workspaces so far."""

    def __init__(self) -> None:
        self.owners: dict[Owner, str] = {}
        self.workspaces: set[str] = set()


class Router:
    """Splits chunks by workspace. Usable by several threads; the chunks of one shard come in order by one thread."""

    def __init__(self) -> None:
        self._experiments: dict[str, str] = {}
        self._thread = _Thread()

    def split(self, chunk: Chunk) -> Iterator[tuple[str, Chunk]]:
        """Yield the parts of a chunk with their workspaces at the source.

        Where entities go on in later chunks, the last of these has a part, perhaps empty, for each workspace that
        they had.
        """
        if chunk.unknown_tables:
            yield DEFAULT_WORKSPACE, Chunk(tables={}, unknown_tables=chunk.unknown_tables)
        tables = {name: rows for name, rows in chunk.tables.items() if TABLES[name].entity != WORKSPACE}
        owners, open_here = self._thread.owners, self._thread.workspaces
        self._learn(tables, owners)
        if not open_here and not owners:
            yield DEFAULT_WORKSPACE, Chunk(tables=tables, artifacts=chunk.artifacts, complete=chunk.complete)
            return
        yield from self._parts(chunk, tables, owners, open_here)

    def _parts(
        self, chunk: Chunk, tables: Tables, owners: dict[Owner, str], open_here: set[str]
    ) -> Iterator[tuple[str, Chunk]]:
        places = {name: self._places(TABLES[name], rows, owners) for name, rows in tables.items()}
        of_files = [owners.get((file.owner_kind, file.owner_id), DEFAULT_WORKSPACE) for file in chunk.artifacts]
        workspaces = {place for column in places.values() for place in pc.unique(column).to_pylist()}
        workspaces |= {*of_files, *open_here} or {DEFAULT_WORKSPACE}
        if chunk.complete:
            owners.clear()
            open_here.clear()
        else:
            open_here |= workspaces
        for workspace in sorted(workspaces):
            part = {name: rows.filter(pc.equal(places[name], workspace)) for name, rows in tables.items()}
            files = list(compress(chunk.artifacts, (place == workspace for place in of_files)))
            yield workspace, Chunk(tables=part, artifacts=files, complete=chunk.complete)

    def _leaves_default(self, tables: Tables) -> bool:
        """Return whether anything, or any experiment until now, lies in another workspace than the default one."""
        return any(place != DEFAULT_WORKSPACE for place in self._experiments.values()) or any(
            place not in (None, DEFAULT_WORKSPACE)
            for name, rows in tables.items()
            if _COLUMN in TABLES[name].column_names
            for place in pc.unique(rows[_COLUMN]).to_pylist()
        )

    def _learn(self, tables: Tables, owners: dict[Owner, str]) -> None:
        """Note the workspaces of entities that start here, if any of them, or any experiment, is not in the default."""
        if "experiments" in tables:
            rows = tables["experiments"]
            places = self._places(TABLES["experiments"], rows, owners).to_pylist()
            self._experiments.update(zip(rows["experiment_id"].to_pylist(), places, strict=True))
        # Where all is in the default workspace, as mostly, no entity need be remembered.
        for name in tables if self._leaves_default(tables) else ():
            table, rows = TABLES[name], tables[name]
            if is_identity(table):
                places = self._places(table, rows, owners).to_pylist()
                for row, place in zip(rows.select(table.owner).to_pylist(), places, strict=True):
                    owners[table.entity or "", owner_id(table, row)] = place

    def _places(self, table: Table, rows: pa.Table, owners: Mapping[Owner, str]) -> pa.Array:
        """Return the workspace of each row; what belongs to nothing known is in the default one."""
        if _COLUMN in table.column_names:
            return pc.fill_null(rows[_COLUMN].combine_chunks(), DEFAULT_WORKSPACE)
        if table.entity == BY_ROW:
            pairs = _rows(rows, ("owner_kind", "owner_id"))
            return pa.array([owners.get(pair, DEFAULT_WORKSPACE) for pair in pairs], pa.string())
        if is_identity(table) or table.entity == EXPERIMENT:
            return _mapped(rows["experiment_id"], self._experiments.get)
        kind = table.entity or ""
        return _mapped(rows[table.owner[0]], lambda owner: owners.get((kind, owner)))


def _mapped(ids: pa.ChunkedArray, place_of: Callable[[str], str | None]) -> pa.Array:
    encoded = ids.combine_chunks().dictionary_encode()
    places = pa.array([place_of(owner) for owner in encoded.dictionary.to_pylist()], pa.string())
    return pc.fill_null(places.take(encoded.indices), DEFAULT_WORKSPACE)


def _rows(rows: pa.Table, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    return zip(*(rows[name].to_pylist() for name in names), strict=True)
