"""An archive of which some tables have other rows than lie in it: what a server would hold after a change there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import Archive


class ChangedArchive(Archive):
    """Reads ``tables`` in place of those of an open archive, which stays open when this one is left."""

    def __init__(self, archive: Archive, tables: Mapping[str, pa.Table]) -> None:
        earlier = archive._changed if isinstance(archive, ChangedArchive) else {}
        self.__dict__.update(archive.__dict__)
        self._changed: Mapping[str, pa.Table] = {**earlier, **tables}

    def batches(
        self, name: str, *, columns: Sequence[str] | None = None, owners: Collection[str] | None = None
    ) -> Iterator[pa.Table]:
        if name not in self._changed:
            yield from super().batches(name, columns=columns, owners=owners)
            return
        rows = self._changed[name]
        if owners is not None:
            rows = rows.filter(pc.is_in(rows[TABLES[name].key[0]], pa.array(sorted(set(owners)), pa.string())))
        if rows.num_rows:
            yield rows if columns is None else rows.select([c for c in TABLES[name].column_names if c in columns])

    def keyed(
        self, name: str, key: str, value: str, *, columns: Sequence[str], owners: Collection[str] | None = None
    ) -> Iterator[pa.Table]:
        if name not in self._changed:
            yield from super().keyed(name, key, value, columns=columns, owners=owners)
            return
        for rows in self.batches(name, owners=owners):
            yield rows.filter(pc.equal(rows[key], value)).select([c for c in TABLES[name].column_names if c in columns])


def in_memory(archive: Archive) -> Archive:
    """Return an open archive whose tables are read once, for what reads it many times."""
    return ChangedArchive(archive, {name: archive.table(name) for name in TABLES})
