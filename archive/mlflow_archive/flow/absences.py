"""What a selection names and a source does not have, as gaps of an export that goes on without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa

from mlflow_archive.flow.chunk import Chunk, Shard
from mlflow_archive.format.gaps import NOT_THERE
from mlflow_archive.kinds import TABLES

_REASON: Final = "it was asked for, and nothing among what else is selected has this id or name"


def absences(missing: Sequence[tuple[str, str]]) -> Iterator[Shard]:
    """Yield a shard of gaps for ids or patterns, each as (kind, name), if there are any; its payload is a chunk."""
    if missing:
        gap = {"path": "", "code": NOT_THERE, "reason": _REASON}
        rows = [{"owner_kind": kind, "owner_id": name, **gap} for kind, name in missing]
        chunk = Chunk(tables={"gaps": pa.Table.from_pylist(rows, schema=TABLES["gaps"].schema)})
        yield Shard(name="what is not there but was asked for", payload=chunk)
