"""What would go: one reading of all that is selected, each object judged."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from mlflow_archive.flow.report import Progress
from mlflow_archive.kinds import LOGGED_MODEL, RUN
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

    def read(self, selection: Selection) -> list[SourceEntity]:
        """Return the objects that are selected, without their rows. Raises as a source does."""
        return list(
            EntityReading(self.kept_entities, self.hidden, self.progress).objects(self.site.source(), selection)
        )

    def judge(self, foundation: Foundation, assessed: Collection[str], going: Collection[str]) -> Judge:
        """Return the judge of what was read."""
        return Judge(
            kept_entities=self.kept_entities, rules=self.rules, foundation=foundation, assessed=assessed, going=going
        )


def plan(sides: SiteAndArchive, selection: Selection, *, kinds: tuple[str, ...] | None = None) -> list[RetiredObject]:
    """Return an entry for each object that is selected and active: what goes is PLANNED, with reasons what stays.

    ``kinds`` are all that the site can bring back, if not others.
    """
    active = sides.read(replace(selection, kinds=kinds or sides.site.kinds, deleted=False))
    judge = sides.judge(sides.site.foundation([]), sides.site.assessed_runs(None), ())
    runs = [(entity, judge(entity)) for entity in active if entity.kind == RUN]
    judge = replace(judge, going={entity.id for entity, stay in runs if stay is None})
    models = [(entity, judge(entity)) for entity in active if entity.kind == LOGGED_MODEL]
    return [_entry(entity, stay) for entity, stay in (*runs, *models)]


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
