"""The selected entities of a database, cut into shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from mlflow_archive.flow.chunk import Shard
from mlflow_archive.kinds import AFTER_RUNS, EXPERIMENT, RUN, WORKSPACE
from mlflow_archive.sources.database.selecting import Selected

PER_SHARD: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class IdBlock:
    """What a shard holds: entities of one kind; of experiments their datasets too."""

    kind: str
    ids: tuple[str, ...]


def shards(selected: Selected) -> Iterator[Shard]:
    """Yield workspaces, experiments, runs, then everything else."""
    stage = 0
    yield from _cut(WORKSPACE, selected.ids(WORKSPACE), stage)
    yield from _cut(EXPERIMENT, iter(selected.experiments()), stage + 1)
    yield from _cut(RUN, selected.runs(), stage + 2)
    for number, kind in enumerate(AFTER_RUNS):
        yield from _cut(kind, selected.ids(kind), stage + 3 + number)


def _cut(kind: str, ids: Iterator[str], stage: int) -> Iterator[Shard]:
    while batch := tuple(islice(ids, PER_SHARD)):
        weight = len(batch) if kind == RUN else 0
        yield Shard(name=f"{kind} from {batch[0]}", stage=stage, weight=weight, payload=IdBlock(kind=kind, ids=batch))
