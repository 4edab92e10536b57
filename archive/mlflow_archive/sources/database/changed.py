"""Of some objects those that changed since the sink got them, as chunks: the rest of an append."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Gap, Known
from mlflow_archive.format.fingerprint import Fingerprint
from mlflow_archive.kinds import TABLES
from mlflow_archive.sources.database.gaps import MalformedValues, fingerprint_rows, with_gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadObjects:
    """Objects of one kind that were read: rows by table, files by id, gaps.

    ``malformed`` gets gaps of values while their rows are read. ``fingerprints``, by id, are asked for before any other
    row is read where the sink knows one of these objects, else when all rows were.
    """

    kind: str
    tables: Mapping[str, pa.Table]
    ids: Sequence[str]
    fingerprints: Callable[[], Mapping[str, Fingerprint]]
    files: Mapping[str, Sequence[ArtifactFile]]
    gaps: list[Gap]
    malformed: MalformedValues

    def changed_ids(self, known: Known) -> list[str]:
        """Return those that the sink does not hold as they are; one with gaps is never known."""
        if not knows_one(known, self.kind, self.ids):
            return list(self.ids)
        incomplete, values = self._incomplete(), self.fingerprints()
        return [i for i, v in values.items() if i in incomplete or not v.agrees_with(known(self.kind, i))]

    def chunks(
        self, changed: Sequence[str], largest: str, pieces: Callable[[Sequence[str]], Iterable[pa.Table]]
    ) -> Iterator[Chunk]:
        """Yield the chunks of some of them: ``pieces`` are the rows of the table ``largest``.

        What came before a piece is given once it is known that more follows: the last has gaps and fingerprints.
        Where nothing has changed there is at most a chunk of gaps.
        """
        if self.ids and not changed:
            if gaps := self._all_gaps():
                yield Chunk(tables=with_gaps({}, gaps))
            return
        last = self._tables_of(changed)
        files = [file for owner_id in changed for file in self.files.get(owner_id, ())]
        for rows in pieces(changed):
            if largest in last:
                yield Chunk(tables=last, artifacts=files, complete=False)
                last, files = {}, []
            last[largest] = rows
        gaps = self._all_gaps()
        with_gap = self._incomplete()
        values = self.fingerprints()
        whole = {owner_id: values[owner_id] for owner_id in changed if owner_id not in with_gap}
        last["fingerprints"] = fingerprint_rows(self.kind, whole)
        yield Chunk(tables=with_gaps(last, gaps), artifacts=files)

    def _tables_of(self, changed: Sequence[str]) -> dict[str, pa.Table]:
        if len(changed) == len(self.ids) and self._incomplete() <= set(self.ids):
            return dict(self.tables)
        ids = pa.array(changed, pa.string())
        return {n: rows.filter(pc.is_in(rows[TABLES[n].owner[0]], value_set=ids)) for n, rows in self.tables.items()}

    def _all_gaps(self) -> list[Gap]:
        gaps = (*self.gaps, *self.malformed.gaps())
        return list({(gap.owner_id, gap.path, gap.code): gap for gap in gaps}.values())

    def _incomplete(self) -> set[str]:
        return {gap.owner_id for gap in self._all_gaps()}


def knows_one(known: Known, kind: str, ids: Sequence[str]) -> bool:
    """Return whether the sink knows any of some objects."""
    return any(known(kind, owner_id) is not None for owner_id in ids)
