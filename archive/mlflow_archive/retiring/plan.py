"""What would go: one reading of all that is selected, each object judged."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from mlflow_archive.flow.chunk import nothing_known
from mlflow_archive.flow.copy import chunks_of
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.flow.source import Source
from mlflow_archive.kinds import RUN, TRACE
from mlflow_archive.retiring.judging import Judge, Rules, Stay, milliseconds
from mlflow_archive.retiring.kept import KeptEntities
from mlflow_archive.retiring.reading import EntityReading, SourceEntity
from mlflow_archive.retiring.receipt import HELD, LEFT, RetiredObject
from mlflow_archive.retiring.site import DELETED, Address, Entangled, Foundation, Site
from mlflow_archive.selecting.selection import Selection

if TYPE_CHECKING:
    from mlflow_archive.retiring.server_site import ServerSite


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAndArchive:
    """A site and an archive, side by side. ``hidden`` are columns that one of them does not show."""

    site: Site
    kept_entities: KeptEntities
    hidden: frozenset[str]
    rules: Rules
    progress: Progress

    @contextmanager
    def moment(self) -> Iterator[SiteMoment]:
        """Give the site as it is now. Nothing may be deleted before it ends. Raises as a source does."""
        with closing(self.site.source()) as source:
            source.facts()
            yield SiteMoment(self, source)

    def look_alone(self, address: Address) -> SourceEntity | None:
        """Return an object of a server, read by its id, None where it does not show it; a trace without its links."""
        chunks = cast("ServerSite", self.site).by_id(address)
        return EntityReading(self.kept_entities, self.hidden, self.progress).alone(chunks, address.kind)

    def judge(self, foundation: Foundation, entangled: Entangled, going: Collection[str]) -> Judge:
        """Return the judge of what was read."""
        return Judge(
            kept_entities=self.kept_entities,
            rules=self.rules,
            foundation=foundation,
            entangled=entangled,
            going=going,
            there=self._there,
        )

    def _there(self, runs: Collection[str]) -> list[str]:
        return [run_id for _, run_id in self.site.stages([Address(kind=RUN, id=run_id) for run_id in runs])]


@dataclass(frozen=True, slots=True)
class SiteMoment:
    """A site as it is at one moment, as far as it has such, read as often as is wanted; raises as a source does."""

    sides: SiteAndArchive
    source: Source

    def objects(self, selection: Selection) -> Iterator[SourceEntity]:
        """Yield the objects that are selected, without their rows, runs first."""
        sides = self.sides
        return EntityReading(sides.kept_entities, sides.hidden, sides.progress).objects(self.source, selection)

    def foundation(self, runs: Sequence[Address] = ()) -> Foundation:
        """Return what versions of registered models stand on; of ``runs`` each is asked about by itself, too."""
        return self.sides.site.foundation(runs, self.source)

    def number_of_traces(self, selection: Selection) -> int:
        """Return how many traces are selected."""
        selection, number = replace(selection, kinds=(TRACE,), artifacts=False, deleted=False), 0
        for shard in self.source.plan(selection, Quiet()):
            if not selection.only_named:
                number += shard.weight if shard.kind == TRACE else 0
                continue
            # Which traces belong to some runs a server says only as these are read.
            tables = (chunk.tables for chunk in chunks_of(self.source, shard, nothing_known))
            number += sum(len(rows["traces"]) for rows in tables if "traces" in rows)
        return number


def plan(
    moment: SiteMoment,
    selection: Selection,
    *,
    kinds: tuple[str, ...] | None = None,
    gone: Collection[str] = (),
    foundation: Foundation | None = None,
) -> list[RetiredObject]:
    """Return an entry for each object that is selected and active: what goes is PLANNED, with reasons what stays.

    ``kinds`` are all that the site can bring back, if not others. Runs are judged before what belongs to them;
    ``gone`` are runs that are deleted already, with whose traces the plan goes on. ``foundation`` is what versions of
    registered models will stand on, if it is not what they stand on now.
    """
    sides, going = moment.sides, set(gone)
    kinds = kinds or sides.site.kinds
    judge = sides.judge(foundation or moment.foundation(), sides.site.entangled(kinds, None), going)
    entries = []
    for entity in moment.objects(replace(selection, kinds=kinds, deleted=bool(gone))):
        if gone and (entity.experiment or {}).get("lifecycle_stage") == DELETED:
            continue
        stay = judge(entity)
        if entity.kind == RUN and stay is None:
            going.add(entity.id)  # before the logged models that it made
        entries.append(_entry(entity, stay))
    return entries


def _entry(entity: SourceEntity, stay: Stay | None) -> RetiredObject:
    experiment = entity.experiment or {}
    updated = entity.row.get("last_updated_timestamp")
    name = entity.row.get("trace_name" if entity.kind == TRACE else "run_name") or entity.row.get("name")
    entry = RetiredObject(
        kind=entity.kind,
        id=entity.id,
        name=name or "",
        experiment_id=entity.row["experiment_id"],
        experiment=experiment.get("name") or "",
        maker=entity.row.get("source_run_id"),
        workspace=experiment.get("workspace"),
        updated_ms=None if updated is None else milliseconds(updated),
    )
    return entry if stay is None else stays(entry, stay)


def stays(entry: RetiredObject, stay: Stay) -> RetiredObject:
    """Return an entry that says why its object stays."""
    return replace(entry, state=LEFT if stay.code else HELD, code=stay.code, reason=stay.reason)
