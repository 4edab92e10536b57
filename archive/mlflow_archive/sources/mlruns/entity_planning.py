"""Which logged models and traces of a store are selected, cut into shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from mlflow_archive.errors import StoreError
from mlflow_archive.flow.chunk import Shard
from mlflow_archive.kinds import LOGGED_MODEL
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.filtering.trace_filter import SearchedTrace, TraceFilter
from mlflow_archive.sources.mlruns.entity import EntityRecord
from mlflow_archive.sources.mlruns.layout import ExperimentFolder
from mlflow_archive.sources.mlruns.location import ArtifactPlaces
from mlflow_archive.sources.mlruns.logged_models import logged_models
from mlflow_archive.sources.mlruns.meta import MetaUnreadableError
from mlflow_archive.sources.mlruns.runs.experiments import Experiment
from mlflow_archive.sources.mlruns.standing import Standing
from mlflow_archive.sources.mlruns.traces import traces

PER_SHARD: Final = 100
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedEntities:
    """What a shard holds: logged models or traces of one experiment.

    ``copies`` are further folders with the id of an object found before; they are left out with a gap.
    """

    kind: str
    experiment: Experiment
    selection: Selection
    folders: tuple[Path, ...] = ()
    copies: tuple[Path, ...] = ()
    listing_problem: str = ""


@dataclass(slots=True, kw_only=True)
class TakenRuns:
    """The runs that were selected by id or filter, and the logged models they took or made."""

    run_ids: set[str] = field(default_factory=set)
    model_ids: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class EntityPlanner:
    """Plans the logged models and traces of an export, after its runs.

    With ``taken`` only those of these runs are selected, with ``standing`` only those named there.
    """

    selection: Selection
    places: ArtifactPlaces
    taken: TakenRuns | None = None
    standing: Standing | None = None
    trace_matches: TraceFilter | None = None
    _seen: set[str] = field(default_factory=set)

    def shards(self, kind: str, experiments: Iterable[Experiment], stage: int) -> Iterator[Shard]:
        """Yield the shards of a kind, lazily."""
        self._seen.clear()
        for experiment in experiments:
            yield from self._shards_of(kind, experiment, stage)

    def _shards_of(self, kind: str, experiment: Experiment, stage: int) -> Iterator[Shard]:
        copies: list[Path] = []
        found = self._unique(self._selected(kind, experiment.folder), copies)
        number = 0
        while True:
            part, problem = take(found, PER_SHARD)
            if part or copies or problem:
                payload = SelectedEntities(
                    kind=kind,
                    experiment=experiment,
                    selection=self.selection,
                    folders=part,
                    copies=tuple(copies),
                    listing_problem=problem,
                )
                name = f"experiment {experiment.experiment_id}, {kind.replace('_', ' ')}s from {number}"
                yield Shard(name=name, stage=stage, payload=payload)
            copies.clear()
            number += len(part)
            if len(part) < PER_SHARD:
                return

    def _unique(self, folders: Iterable[Path], copies: list[Path]) -> Iterator[Path]:
        for folder in folders:
            if folder.name in self._seen:
                copies.append(folder)
            else:
                self._seen.add(folder.name)
                yield folder

    def _selected(self, kind: str, experiment: ExperimentFolder) -> Iterator[Path]:
        if kind == LOGGED_MODEL:
            return filter(self._wants_model, experiment.logged_models())
        if self.standing is not None:
            return iter(())
        wanted = filter(self._wants_trace, experiment.traces())
        return wanted if self.trace_matches is None else self._matching(wanted, experiment, self.trace_matches)

    def _wants_model(self, folder: Path) -> bool:
        if self.standing is not None and folder.name not in self.standing.model_ids:
            return False
        if not self.selection.deleted and logged_models.is_deleted_model(folder):
            return False
        taken = self.taken
        return taken is None or folder.name in taken.model_ids or logged_models.source_run_of(folder) in taken.run_ids

    def _wants_trace(self, folder: Path) -> bool:
        return self.taken is None or traces.source_run_of(folder) in self.taken.run_ids

    def _matching(self, folders: Iterator[Path], experiment: ExperimentFolder, matches: TraceFilter) -> Iterator[Path]:
        """Yield the traces that a filter takes; those that cannot be read too, so that they are reported."""
        while some := tuple(islice(folders, PER_SHARD)):
            records = {folder: self._record(folder, experiment) for folder in some}
            searched = {folder: _searched(record) for folder, record in records.items() if record is not None}
            held = matches(list(searched.values()))
            ids = {trace.trace_id for trace in held}
            yield from (folder for folder in some if folder not in searched or folder.name in ids)

    def _record(self, folder: Path, experiment: ExperimentFolder) -> EntityRecord | None:
        try:
            return traces.read_trace(folder, experiment, self.places, Selection(artifacts=False))
        except MetaUnreadableError:
            return None


def _searched(record: EntityRecord) -> SearchedTrace:
    tables = {
        name: {str(row["key"]): str(row["value"]) for row in record.rows.get(name, ())}
        for name in ("trace_tags", "trace_metadata")
    }
    return SearchedTrace(info=record.rows["traces"][0], tags=tables["trace_tags"], metadata=tables["trace_metadata"])


def take(found: Iterator[T], count: int) -> tuple[tuple[T, ...], str]:
    """Return up to ``count`` things, and why there are no more where a folder cannot be listed."""
    taken: list[T] = []
    try:
        taken.extend(islice(found, count))
    except StoreError as error:
        return tuple(taken), str(error)
    return tuple(taken), ""
