"""What a selection names and a source does not have, as gaps of an export that goes on without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mlflow_archive.flow.chunk import Gap, Shard, gap_shards
from mlflow_archive.format.gaps import NOT_THERE

_REASON: Final = "it was asked for, and nothing among what else is selected has this id or name"


def absences(missing: Sequence[tuple[str, str]]) -> Iterator[Shard]:
    """Yield a shard of gaps for ids or patterns, each as (kind, name), if there are any; its payload is a chunk."""
    gaps = [Gap(owner_kind=kind, owner_id=name, path="", code=NOT_THERE, reason=_REASON) for kind, name in missing]
    return gap_shards("what is not there but was asked for", gaps)
