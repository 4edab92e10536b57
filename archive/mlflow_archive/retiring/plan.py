"""What would go: one reading of all that is selected, each object judged."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from mlflow_archive.flow.report import Progress
from mlflow_archive.kinds import RUN
from mlflow_archive.retiring.judging import Judge, Rules, Stay, milliseconds
from mlflow_archive.retiring.kept import KeptEntities
from mlflow_archive.retiring.reading import EntityReading, SourceEntity
from mlflow_archive.retiring.receipt import HELD, LEFT, RetiredObject
from mlflow_archive.retiring.site import Foundation, Site
from mlflow_archive.selecting.selection import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAndArchive:
    """A site and an archive, side by side. ``hidden`` are columns that one of them does not show."""

    site: Site
    kept_entities: KeptEntities
    hidden: frozenset[str]
    rules: Rules
    progress: Progress

    def objects(self, selection: Selection) -> Iterator[SourceEntity]:
        """Yield the objects that are selected, without their rows, runs first. Raises as a source does."""
        return EntityReading(self.kept_entities, self.hidden, self.progress).objects(self.site.source(), selection)

    def judge(self, foundation: Foundation, assessed: Collection[str], going: Collection[str]) -> Judge:
        """Return the judge of what was read."""
        return Judge(
            kept_entities=self.kept_entities, rules=self.rules, foundation=foundation, assessed=assessed, going=going
        )


def plan(sides: SiteAndArchive, selection: Selection, *, kinds: tuple[str, ...] | None = None) -> list[RetiredObject]:
    """Return an entry for each object that is selected and active: what goes is PLANNED, with reasons what stays.

    ``kinds`` are all that the site can bring back, if not others.
    """
    going: set[str] = set()
    judge = sides.judge(sides.site.foundation([]), sides.site.assessed_runs(None), going)
    entries = []
    for entity in sides.objects(replace(selection, kinds=kinds or sides.site.kinds, deleted=False)):
        stay = judge(entity)
        if entity.kind == RUN and stay is None:
            going.add(entity.id)  # before the logged models that it made
        entries.append(_entry(entity, stay))
    return entries


def _entry(entity: SourceEntity, stay: Stay | None) -> RetiredObject:
    experiment = entity.experiment or {}
    updated = entity.row.get("last_updated_timestamp")
    entry = RetiredObject(
        kind=entity.kind,
        id=entity.id,
        name=entity.row.get("run_name") or entity.row.get("name") or "",
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
