"""The row groups that were read last: who reads an archive by ids in ascending order needs each group several times."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.reader.stored.parts import Part

KEPT_BYTES: Final = 56 * 1024 * 1024
"""Two row groups of each table of runs; with less, each is read again for every shard once runs are many."""


@dataclass(frozen=True, slots=True)
class _Group:
    rows: pa.Table
    in_order: bool


class RecentGroups:
    """Reads rows by their first key column; keeps whole row groups up to KEPT_BYTES; safe for several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._groups: OrderedDict[tuple[object, ...], _Group] = OrderedDict()
        self._bytes = 0

    def rows(self, part: Part, ids: Sequence[str], columns: Sequence[str] | None) -> Iterator[pa.Table]:
        """Yield the rows of a part whose first key is one of the sorted ids, a row group at a time."""
        key = part.table.key[0]
        id_array = pa.array(ids, pa.string())
        for group in part.row_groups():
            if group.may_hold(ids):
                recent = self._group(part, group.index, columns)
                rows = _between(recent.rows, key, ids[0], ids[-1]) if recent.in_order else recent.rows
                yield rows.filter(pc.is_in(rows[key], id_array))

    def group(self, part: Part, index: int) -> pa.Table:
        """Return a row group with all columns, in the order of its key also where the part is not."""
        recent = self._group(part, index, None)
        if recent.in_order:
            return recent.rows
        return recent.rows.take(pc.sort_indices(recent.rows, sort_keys=[(part.table.key[0], "ascending")]))

    def _group(self, part: Part, index: int, columns: Sequence[str] | None) -> _Group:
        place = (part.name, index, None if columns is None else tuple(columns))
        with self._lock:
            if place in self._groups:
                self._groups.move_to_end(place)
                return self._groups[place]
        rows = part.read(index, columns)
        keys = rows[part.table.key[0]]
        # What the format demands; a part that breaks it must not hide rows.
        recent = _Group(rows, pc.all(pc.less_equal(keys[:-1], keys[1:])).as_py() is not False)
        with self._lock:
            if place not in self._groups:
                self._groups[place] = recent
                self._bytes += rows.nbytes
                while self._bytes > KEPT_BYTES:
                    self._bytes -= self._groups.popitem(last=False)[1].rows.nbytes
        return recent

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._groups.clear()
            self._bytes = 0


def _between(rows: pa.Table, key: str, low: str, high: str) -> pa.Table:
    """Return the rows, in the order of their key, from the first with ``low`` to the last with ``high``."""
    keys = rows[key]
    numbers = range(rows.num_rows)
    first = bisect_left(numbers, low, key=lambda at: keys[at].as_py())
    last = bisect_right(numbers, high, lo=first, key=lambda at: keys[at].as_py())
    return rows.slice(first, last - first)
