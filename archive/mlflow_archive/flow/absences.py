"""What a selection names and a source does not have: an error, or gaps of an export that goes on without it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import Gap, Shard, gap_shards
from mlflow_archive.format.gaps import NOT_THERE
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
        return gap_shards("what is not there but was asked for", self._gaps)


def absences(missing: Sequence[tuple[str, str]]) -> Iterator[Shard]:
    """Return a shard of gaps for objects or patterns by kind and name, if there are any; its payload is a chunk."""
    reason = "it was asked for, and nothing among what else is selected has this id or name"
    gaps = [Gap(owner_kind=kind, owner_id=name, path="", code=NOT_THERE, reason=reason) for kind, name in missing]
    return gap_shards("what is not there but was asked for", gaps)
