"""Rows on their way into Arrow tables of ``kinds``."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Gap
from mlflow_archive.format.fingerprint import Fingerprint
from mlflow_archive.kinds import TABLES
from mlflow_archive.sources.reading.gaplist import GapList
from mlflow_archive.sources.reading.points import Points

Cell = str | int | float | None
Row = Mapping[str, Cell]
"""Column -> value; times are milliseconds, absent columns null."""

INT64: Final = range(-(2**63), 2**63)
"""The integers that the tables can hold."""


def pair_rows(pairs: Mapping[str, Cell], **own: Cell) -> list[Any]:
    """Return the rows of a table of keys and values, each with the columns ``own``."""
    return [{**own, "key": key, "value": value} for key, value in pairs.items()]


class Rows:
    """Collects what one chunk will hold."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._rows: dict[str, list[Row]] = {}
        self._run_ids: list[str] = []
        self._points = Points()
        self._artifacts: list[ArtifactFile] = []
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._rows or self._run_ids or self._artifacts)

    @property
    def points(self) -> int:
        """How many metric points were added."""
        return len(self._run_ids)

    @property
    def size(self) -> int:
        """How many rows were added, metric points aside."""
        return self._size

    def add(self, table: str, row: Row) -> None:
        """Add a row to a table."""
        self._size += 1
        self._rows.setdefault(table, []).append(row)

    def add_all(self, rows: Mapping[str, Iterable[Row]]) -> None:
        """Add rows by table."""
        for table, rows_of_table in rows.items():
            for row in rows_of_table:
                self.add(table, row)

    def add_gaps(self, gaps: GapList) -> None:
        """Add a row of ``gaps`` for each gap."""
        for gap in gaps.by_place.values():
            self.add("gaps", gap.row())

    def add_gap(self, kind: str, owner_id: str, path: str, code: str, reason: str) -> None:
        """Add a row of ``gaps``."""
        self.add("gaps", Gap(owner_kind=kind, owner_id=owner_id, path=path, code=code, reason=reason).row())

    def add_points(self, run_id: str, points: Points) -> None:
        """Add points of a run."""
        self._run_ids.extend([run_id] * len(points))
        self._points.extend(points)

    def finish(self, gaps: GapList, files: Iterable[ArtifactFile], fingerprint: Fingerprint | None) -> None:
        """Add what ends the rows of the owner of ``gaps``: its artifacts, gaps and fingerprint, where it has one."""
        self._artifacts.extend(files)
        self.add_gaps(gaps)
        if fingerprint is not None:
            self.add("fingerprints", fingerprint.row(gaps.owner_kind, gaps.owner_id))

    def merge(self, part: Rows) -> None:
        """Add all rows of ``part``."""
        self._size += part._size
        for table, rows in part._rows.items():
            self._rows.setdefault(table, []).extend(rows)
        self._run_ids.extend(part._run_ids)
        self._points.extend(part._points)
        self._artifacts.extend(part._artifacts)

    def drain(self, *, size: int = 0, points: int = 0) -> Iterator[Chunk]:
        """Yield all rows as a chunk and begin anew, if there are any, and as many as that."""
        if self and self.size >= size and self.points >= points:
            yield self.chunk()
            self._clear()

    def chunk(self, *, complete: bool = True) -> Chunk:
        """Return the rows as a chunk."""
        tables = {name: pa.Table.from_pylist(rows, schema=TABLES[name].schema) for name, rows in self._rows.items()}
        if self._run_ids:
            tables["metrics"] = self._metrics()
        return Chunk(tables=tables, artifacts=tuple(self._artifacts), complete=complete)

    def _metrics(self) -> pa.Table:
        points, schema = self._points, TABLES["metrics"].schema
        names = [dataset and dataset[0] for dataset in points.datasets]
        digests = [dataset and dataset[1] for dataset in points.datasets]
        columns = {
            "run_id": pa.array(self._run_ids, pa.string()),
            "key": pa.array(points.keys, pa.string()),
            "step": _view(points.steps, pa.int64()),
            "timestamp": _view(points.times, schema.field("timestamp").type),
            "value": _view(points.values, pa.float64()),
            "dataset_name": pa.array(names, pa.string()),
            "dataset_digest": pa.array(digests, pa.string()),
        }
        return pa.Table.from_pydict(columns, schema=schema)


def _view(numbers: array[Any], kind: pa.DataType) -> pa.Array:
    """Return 64-bit numbers as an Arrow array of a 64-bit type, without a copy."""
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])
