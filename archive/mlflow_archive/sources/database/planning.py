"""Which entities of a database are selected, cut into shards."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from sqlalchemy import select, table

from mlflow_archive.backend.mapping import MAPS, ROOTS
from mlflow_archive.errors import SelectionError
from mlflow_archive.format.tables import EVALUATION_DATASET, EXPERIMENT, LOGGED_MODEL, RUN, TRACE, WORKSPACE
from mlflow_archive.pipeline import Selection, Shard
from mlflow_archive.sources.database.snapshot import Snapshot, column_of

PER_SHARD: Final = 128
_NAMED_IN_ERRORS: Final = 5
_ASKED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What a shard holds: entities of one kind; of experiments their datasets too."""

    kind: str
    ids: tuple[str, ...]


Matching = Callable[[Sequence[str]], Sequence[str]]
"""Of these runs, those that a filter takes."""


class Planner:
    """Plans one export. Raises SelectionError before the first shard for what matches nothing."""

    def __init__(self, snapshot: Snapshot, selection: Selection, shown: str, matching: Matching | None = None) -> None:
        self._snapshot, self._selection, self._shown = snapshot, selection, shown
        self._matching = matching
        self.experiments = self._experiments()
        """Id to name, in the order of the database."""
        self._check_runs()

    @property
    def everything(self) -> bool:
        """Whether nothing is left out by experiment, run or time."""
        s = self._selection
        return not (s.experiments or s.runs or s.filter_string) and s.since_ms is None and s.until_ms is None

    def shards(self) -> Iterator[Shard]:
        """Yield workspaces, experiments, runs, then everything else."""
        stage = 0
        if self.everything:
            yield from self._cut(WORKSPACE, self._all(WORKSPACE), stage)
        only_theirs = self._selection.runs or self._matching
        experiments = self._experiments_of_runs() if only_theirs else list(self.experiments)
        yield from self._cut(EXPERIMENT, iter(experiments), stage + 1)
        yield from self._cut(RUN, self.runs(), stage + 2)
        for number, kind in enumerate(kind for kind in ROOTS if kind not in (WORKSPACE, EXPERIMENT, RUN, "dataset")):
            yield from self._cut(kind, self._ids(kind), stage + 3 + number)

    def runs(self) -> Iterator[str]:
        """Yield the ids of the selected runs, sorted."""
        found = self._in_reach()
        if self._matching is None:
            yield from found
            return
        for some in _slices(list(found), PER_SHARD):
            yield from self._matching(some)

    def _in_reach(self) -> Iterator[str]:
        names = ("run_uuid", "experiment_id", "lifecycle_stage", "start_time")
        for run_id, experiment, stage, start in self._rows("runs", names, order_by="run_uuid"):
            if self._selection.runs and run_id not in self._selection.runs:
                continue
            if str(experiment) in self.experiments and self._wants(stage, start):
                yield str(run_id)

    def _wants(self, stage: object, start: Any) -> bool:
        in_window = self._selection.in_window(start if isinstance(start, int) else None)
        return in_window and (self._selection.deleted or stage != "deleted")

    def _experiments(self) -> dict[str, str]:
        rows = self._rows("experiments", ("experiment_id", "name", "lifecycle_stage"), order_by="experiment_id")
        found = [(str(i), str(name)) for i, name, stage in rows if self._selection.deleted or stage != "deleted"]
        if unmatched := self._selection.unmatched_experiments(found):
            names = ", ".join(f"{name!r} (id {number})" for number, name in found[:_NAMED_IN_ERRORS]) or "none"
            more = f" and {len(found) - _NAMED_IN_ERRORS} more" if len(found) > _NAMED_IN_ERRORS else ""
            hint = "" if self._selection.deleted else "; deleted ones are left out"
            missing = ", ".join(map(repr, unmatched))
            raise SelectionError(f"no experiment of {self._shown} matches {missing}; there are {names}{more}{hint}")
        return {number: name for number, name in found if self._selection.matches_experiment(number, name)}

    def _check_runs(self) -> None:
        if self._selection.runs:
            missing = set(self._selection.runs) - set(self._in_reach())
            if missing:
                hint = "" if self._selection.deleted else "; deleted ones are left out"
                named = ", ".join(sorted(missing))
                raise SelectionError(f"no run {named} in the selected experiments of {self._shown}{hint}")

    def _experiments_of_runs(self) -> list[str]:
        runs = set(self.runs())
        pairs = self._rows("runs", ("run_uuid", "experiment_id"))
        wanted = {str(experiment) for run_id, experiment in pairs if run_id in runs}
        return [experiment for experiment in self.experiments if experiment in wanted]

    def _ids(self, kind: str) -> Iterator[str]:
        """Yield the selected entities of a kind; what lies in no experiment only where everything is selected."""
        root = ROOTS[kind]
        if root.stored_in not in self._snapshot.schema.columns:
            return iter(())
        if self._selection.runs or self._selection.filter_string:
            return iter(sorted(self._of_runs(kind)))
        if kind == EVALUATION_DATASET and not self.everything:
            return iter(
                sorted(self._linked("evaluation_dataset_experiments", "dataset_id", "experiment_id", self.experiments))
            )
        if root.parent is not None:
            return self._in_experiments(kind)
        return self._all(kind) if self.everything else iter(())

    def _in_experiments(self, kind: str) -> Iterator[str]:
        root = ROOTS[kind]
        names = (root.root_id, "experiment_id", "lifecycle_stage")
        for owner, experiment, stage in self._rows(root.stored_in, names, order_by=root.root_id):
            if str(experiment) in self.experiments and (self._selection.deleted or stage != "deleted"):
                yield str(owner)

    def _all(self, kind: str) -> Iterator[str]:
        root = ROOTS[kind]
        if root.stored_in not in self._snapshot.schema.columns:
            return
        last = None
        for (owner,) in self._rows(root.stored_in, (root.root_id,), order_by=root.root_id):
            if owner != last:  # one name in several workspaces is read once
                yield str(owner)
            last = owner

    def _of_runs(self, kind: str) -> set[str]:
        runs = set(self.runs())
        if kind == LOGGED_MODEL:
            made = self._linked("logged_models", "model_id", "source_run_id", runs)
            edges = [self._linked(name, "model_id", "run_id", runs) for name in ("model_inputs", "model_outputs")]
            return made.union(*edges)
        return self._linked("trace_links", "trace_id", "destination_id", runs) if kind == TRACE else set()

    def _linked(self, name: str, wanted: str, by: str, among: Collection[str]) -> set[str]:
        """Return the values of a column of an archive table whose column ``by`` is one of ``among``."""
        each = MAPS[name]
        if each.stored_in not in self._snapshot.schema.columns:
            return set()
        found: set[str] = set()
        own = table(each.stored_in)
        for some in _slices(sorted(among), _ASKED_AT_ONCE):
            query = select(column_of(own, each.fields[wanted]).label("id")).select_from(own)
            query = query.where(column_of(own, each.fields[by]).in_(some))
            for place, value in each.where.items():
                query = query.where(column_of(own, place) == value)
            for batch in self._snapshot.fetch(query):
                found.update(str(value) for value in _objects(batch["id"]))
        return found

    def _rows(self, name: str, columns: Sequence[str], *, order_by: str | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield some columns of a table; a column that this revision lacks is None."""
        own = table(name)
        there = [each for each in columns if each in self._snapshot.schema.columns[name]]
        query = select(*(column_of(own, each).label(each) for each in there)).select_from(own)
        if order_by is not None:
            query = query.order_by(column_of(own, order_by))
        for batch in self._snapshot.fetch(query):
            length = len(next(iter(batch.values())))
            values = [_objects(batch[each]) if each in batch else [None] * length for each in columns]
            yield from zip(*values, strict=True)

    def _cut(self, kind: str, ids: Iterator[str], stage: int) -> Iterator[Shard]:
        while some := tuple(islice(ids, PER_SHARD)):
            weight = len(some) if kind == RUN else 0
            yield Shard(name=f"{kind} from {some[0]}", stage=stage, weight=weight, payload=Block(kind=kind, ids=some))


def _slices(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for at in range(0, len(values), size):
        yield values[at : at + size]


def _objects(values: Any) -> list[Any]:
    return values if isinstance(values, list) else values.to_pylist()
