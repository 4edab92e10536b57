"""What a selection names and a source does not have: an error, or gaps of an export that goes on without it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields

import pyarrow as pa

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import Chunk, Gap, Shard
from mlflow_archive.format.gaps import NOT_THERE
from mlflow_archive.kinds import TABLES
from mlflow_archive.selecting.selection import Selection


class Absences:
    """Collects the absences of one plan."""

    def __init__(self, selection: Selection) -> None:
        self._fails = selection.on_missing == "fail"
        self._gaps: list[Gap] = []

    def add(self, kind: str, missing: Collection[str], asked: Collection[str], error: SelectionError) -> None:
        """Take ids or patterns that match nothing; raise ``error`` if that are all, or a selection wants it so."""
        if missing and (self._fails or set(missing) >= set(asked)):
            raise error
        reason = "it was asked for, and nothing among what else is selected has this id or name"
        self._gaps += [
            Gap(owner_kind=kind, owner_id=name, path="", code=NOT_THERE, reason=reason) for name in sorted(set(missing))
        ]

    def shards(self) -> Iterator[Shard]:
        """Yield a shard of the gaps, if there are any."""
        if self._gaps:
            rows = [{field.name: getattr(gap, field.name) for field in fields(gap)} for gap in self._gaps]
            chunk = Chunk(tables={"gaps": pa.Table.from_pylist(rows, schema=TABLES["gaps"].schema)})
            yield Shard(name="what is not there but was asked for", payload=chunk)


def absences(missing: Sequence[tuple[str, str]]) -> Iterator[Shard]:
    """Yield a shard of gaps for objects or patterns by kind and name, if there are any; its payload is a chunk."""
    if missing:
        rows = [
            {
                "owner_kind": kind,
                "owner_id": name,
                "path": "",
                "code": NOT_THERE,
                "reason": "it was asked for, and nothing among what else is selected has this id or name",
            }
            for kind, name in missing
        ]
        chunk = Chunk(tables={"gaps": pa.Table.from_pylist(rows, schema=TABLES["gaps"].schema)})
        yield Shard(name="what is not there but was asked for", payload=chunk)
