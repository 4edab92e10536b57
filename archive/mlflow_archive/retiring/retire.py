"""Deletes what was planned, some objects at a time: read again, marked in the receipt, deleted, and looked at again.

Killed anywhere, it goes on: an object that is marked and deleted is looked at once more, and brought back if it is not
what the archive holds. What MLflow deletes so takes no more writes, so that the last look is at what is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.format import refusals
from mlflow_archive.kinds import EXPERIMENT, LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring import site as stages
from mlflow_archive.retiring.judging import Stay, by_contents, unread
from mlflow_archive.retiring.plan import SiteAndArchive, SiteMoment, stays
from mlflow_archive.retiring.reading import RETIRED_KINDS, SourceEntity
from mlflow_archive.retiring.receipt import (
    BROUGHT_BACK,
    DELETED,
    DELETING,
    PLANNED,
    PURGED,
    PURGING,
    RUNNING,
    RetiredObject,
    RetireReceipt,
)
from mlflow_archive.selecting.selection import Selection

AT_ONCE: Final = 16
"""How many objects are read, deleted and looked at together."""

GONE: Final = Stay(reason="it is not at the source any more", code=refusals.CHANGED_SINCE)
_DELETED_MEANWHILE: Final = Stay(reason="somebody else has deleted it meanwhile", code=refusals.CHANGED_SINCE)


@dataclass(frozen=True, slots=True)
class Retirement:
    """The deletes of one receipt."""

    sides: SiteAndArchive
    receipt: RetireReceipt

    def run(self) -> None:
        """Delete what is planned and still as it was. Raises ServerError, StoreError, TargetError; then it goes on."""
        self.receipt.save(RUNNING)
        for indexes in _batches(self.receipt.entries):
            self._retire(indexes)
        self.receipt.save("done")

    def _retire(self, indexes: Sequence[int]) -> None:
        entries = self.receipt.entries
        stage_of = self.sides.site.stages([entries[index].address for index in indexes])
        for index in indexes:
            stage, entry = stage_of.get((entries[index].kind, entries[index].id)), entries[index]
            if stage is None and not (entry.state == DELETING and entry.kind in self.sides.site.unseen):
                self.receipt.put(index, stays(entry, GONE))
            elif stage == stages.DELETED and entry.state == PLANNED:
                self.receipt.put(index, stays(entry, _DELETED_MEANWHILE))
        active = [i for i in indexes if stage_of.get((entries[i].kind, entries[i].id)) == stages.ACTIVE]
        going = self._without_those_that_stay(active)
        hidden = [i for i in indexes if entries[i].state == DELETING and i not in active]
        for index in going:
            self.receipt.put(index, replace(entries[index], state=DELETING))
        self.receipt.save()
        hidden += [index for index in going if self._hide(index)]
        unseen = [index for index in hidden if entries[index].kind in self.sides.site.unseen]
        self._look_again([index for index in hidden if index not in unseen])
        for index in unseen:
            self._look_alone(index)
        self.receipt.save()

    def _without_those_that_stay(self, indexes: Sequence[int]) -> list[int]:
        """Judge objects once more; return those that still may go."""
        verdicts = self.verdicts(indexes)
        for index in indexes:
            if (stay := verdicts[index]) is not None:
                self.receipt.put(index, stays(self.receipt.entries[index], stay))
        return [index for index in indexes if verdicts[index] is None]

    def _hide(self, index: int) -> bool:
        entry = self.receipt.entries[index]
        try:
            self.sides.site.hide(entry.address)
        except ServerError as error:
            self.receipt.put(index, stays(entry, refusal(error)))
            return False
        return True

    def _look_again(self, indexes: Sequence[int]) -> None:
        """Look at objects that are deleted; bring back what is not as it was when that was decided."""
        verdicts = self.verdicts(indexes)
        for index in indexes:
            entry, stay = self.receipt.entries[index], verdicts[index]
            if stay is not None:
                self.sides.site.show(entry.address)
                reason = f"{stay.reason}; that was seen behind its delete, and it was brought back"
                self.receipt.put(index, stays(entry, replace(stay, reason=reason)))
            else:
                self.receipt.put(index, replace(entry, state=DELETED))
                self.sides.progress.advance("retired", 1)

    def _look_alone(self, index: int) -> None:
        """Look at an object that is deleted and that the site does not bring back; say of it what is not as it was."""
        entry = self.receipt.entries[index]
        entity, stay = self.sides.look_alone(entry.address), None
        if entity is not None and entity.archived is not None:  # older servers show no deleted one
            stay = unread(entity) or by_contents(entity, entity.archived)
        code, reason = (stay.code, f"{stay.reason}; that was seen behind its delete") if stay else ("", "")
        self.receipt.put(index, replace(entry, state=DELETED, code=code, reason=reason))
        self.sides.progress.advance("retired", 1)

    def verdicts(self, indexes: Sequence[int]) -> dict[int, Stay | None]:
        """Read objects in full, and return why each stays, None for those that may go."""
        if not indexes:
            return {}
        entries = [self.receipt.entries[index] for index in indexes]
        with self.sides.moment() as moment:
            by_id = {
                (entity.kind, entity.id): entity
                for selection in _selections(entries)
                for entity in _entities(moment, selection)
            }
            foundation = moment.foundation([entry.address for entry in entries if entry.kind == RUN])
        kinds, experiments = {entry.kind for entry in entries}, {entry.experiment_id for entry in entries}
        judge = self.sides.judge(foundation, self.sides.site.entangled(kinds, experiments), self.receipt.runs_that_go())
        verdicts: dict[int, Stay | None] = {}
        for index, entry in zip(indexes, entries, strict=True):
            entity = by_id.get((entry.kind, entry.id))
            verdicts[index] = GONE if entity is None else judge(entity)
        return verdicts


def _entities(moment: SiteMoment, selection: Selection) -> list[SourceEntity]:
    try:
        return list(moment.objects(selection))
    except SelectionError:  # none of these is there any more
        return []


def refusal(error: ServerError) -> Stay:
    """Return why an object stays that a server does not want to delete. Raises the error where it cannot now."""
    if error.status is None or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise error
    return Stay(reason=f"the source refused: {error}", code=refusals.RETIRE_REFUSED)


def bring_back(receipt: RetireReceipt, site: stages.Site) -> list[RetiredObject]:
    """Bring back what a receipt says was deleted, but for experiments; return the entries of that.

    Raises as a site does.
    """
    entries = receipt.entries
    states = (DELETED, DELETING, PURGING, PURGED)
    gone = [i for i, entry in enumerate(entries) if entry.state in states and entry.kind != EXPERIMENT]
    for at in range(0, len(gone), AT_ONCE):
        part = gone[at : at + AT_ONCE]
        stage_of = site.stages([entries[index].address for index in part if entries[index].kind in RETIRED_KINDS])
        for index in part:
            entry = entries[index]
            receipt.put(index, _brought_back(receipt, entry, stage_of.get((entry.kind, entry.id)), site))
    receipt.save(BROUGHT_BACK)
    return [entries[index] for index in gone]


def _brought_back(receipt: RetireReceipt, entry: RetiredObject, stage: str | None, site: stages.Site) -> RetiredObject:
    """Bring back an object that is at a stage, None where it is not there, and return its entry."""
    if entry.kind in site.unseen and stage != stages.ACTIVE:
        reason = f"MLflow's API has no way to bring it back; its database has: {receipt.way_back(entry)}"
        return replace(entry, code=refusals.RETIRE_REFUSED, reason=reason)
    if stage is not None:
        site.show(entry.address)
        return replace(entry, state=BROUGHT_BACK, code="", reason="")
    if entry.state in (PURGING, PURGED):
        reason = f"it was purged, and comes back from the archive: {receipt.way_back(entry)}"
        return stays(entry, Stay(reason=reason, code=refusals.CHANGED_SINCE))
    return stays(entry, GONE)


def _batches(entries: Sequence[RetiredObject]) -> Iterator[list[int]]:
    """Yield the places of entries that wait, some of one kind at a time, runs before the models that they made.

    Traces have no delete that could be looked behind: they wait for a purge.
    """
    for kind in (RUN, LOGGED_MODEL):
        waiting = [i for i, entry in enumerate(entries) if entry.kind == kind and entry.state in (PLANNED, DELETING)]
        for at in range(0, len(waiting), AT_ONCE):
            yield waiting[at : at + AT_ONCE]


def _selections(entries: Sequence[RetiredObject]) -> Iterator[Selection]:
    """Yield selections that together hold some objects; they may hold more."""
    if runs := tuple(entry.id for entry in entries if entry.kind == RUN):
        yield Selection(runs=runs, kinds=(RUN,))
    if traces := tuple(entry.id for entry in entries if entry.kind == TRACE):
        yield Selection(traces=traces, kinds=(TRACE,))
    models = [entry for entry in entries if entry.kind == LOGGED_MODEL]
    if makers := tuple({entry.maker for entry in models if entry.maker}):
        yield Selection(runs=makers, kinds=(LOGGED_MODEL,))
    if places := tuple({entry.experiment_id for entry in models if not entry.maker}):
        yield Selection(experiments=places, kinds=(LOGGED_MODEL,))
