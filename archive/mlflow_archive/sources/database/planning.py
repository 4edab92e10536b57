"""The selected entities of a database, cut into shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from mlflow_archive.flow.chunk import Chunk, Shard
from mlflow_archive.flow.report import Progress
from mlflow_archive.kinds import AFTER_RUNS, EXPERIMENT, KINDS, RUN, WORKSPACE
from mlflow_archive.selecting.selector import Selector

PER_SHARD: Final = 128
_SHARDS: Final = 64
_AT_MOST: Final = 512
"""Of so many objects that there are enough shards for all threads, each takes more: every shard asks a dozen times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdBlock:
    """What a shard holds: entities of one kind; of experiments their datasets too."""

    kind: str
    ids: tuple[str, ...]


def shards(selector: Selector, progress: Progress, leftovers: Callable[[], Iterator[Chunk]]) -> Iterator[Shard]:
    """Yield workspaces, experiments, runs, then everything else; ``leftovers`` are looked for while runs are read."""
    for stage, kind in enumerate((WORKSPACE, EXPERIMENT, RUN, *AFTER_RUNS)):
        if kind == RUN:
            yield Shard(name="rows that belong to nothing", stage=stage, payload=leftovers)
        pieces = list(selector.ids(kind))
        number = sum(map(len, pieces))
        progress.expect(KINDS[kind].plural, number)
        per_shard = min(max(PER_SHARD, number // _SHARDS), _AT_MOST)
        yield from _cut(kind, (owner_id for piece in pieces for owner_id in piece.to_pylist()), stage, per_shard)


def _cut(kind: str, ids: Iterator[str], stage: int, per_shard: int) -> Iterator[Shard]:
    while batch := tuple(islice(ids, per_shard)):
        payload = IdBlock(kind=kind, ids=batch)
        yield Shard(name=f"{kind} from {batch[0]}", stage=stage, kind=kind, weight=len(batch), payload=payload)
