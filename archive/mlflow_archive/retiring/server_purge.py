"""Deletes traces for good over a server's API, which has no purge of anything else.

A server has no locks: a trace is read among all that are selected, for its links, and once more by its id right before
its delete. Killed anywhere, it goes on: a trace is marked before it goes, and its files are known from the archive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mlflow_archive.errors import SelectionError, ServerError
from mlflow_archive.format import refusals
from mlflow_archive.kinds import TRACE
from mlflow_archive.retiring import site as stages
from mlflow_archive.retiring.judging import Judge, Stay, by_contents, unread
from mlflow_archive.retiring.plan import SiteAndArchive, SiteMoment, stays
from mlflow_archive.retiring.purged_files import PurgedFiles, end_purge
from mlflow_archive.retiring.receipt import PLANNED, PURGING, RUNNING, RetiredObject, RetireReceipt
from mlflow_archive.retiring.retire import AT_ONCE, GONE, refusal
from mlflow_archive.retiring.server_site import ServerSite
from mlflow_archive.selecting.selection import Selection

_UNSHOWN = Stay(
    reason="its experiment is deleted, so that the server does not show whether a review queue has it",
    code=refusals.RETIRE_REFUSED,
)


@dataclass(frozen=True, slots=True)
class ServerPurge:
    """The purge of the traces that a receipt lists. ``selection`` is that by which they were found."""

    sides: SiteAndArchive
    site: ServerSite
    receipt: RetireReceipt
    files: PurgedFiles
    selection: Selection

    def run(self) -> None:
        """Purge. Raises ServerError, StoreError, TargetError; then it goes on."""
        self.receipt.save(RUNNING)
        entries = self.receipt.entries
        waiting = [i for i, entry in enumerate(entries) if entry.kind == TRACE and entry.state in (PLANNED, PURGING)]
        verdicts = self._verdicts() if waiting else {}
        for at in range(0, len(waiting), AT_ONCE):
            self._purge(waiting[at : at + AT_ONCE], verdicts)
        self.receipt.save("done")

    def _purge(self, indexes: Sequence[int], verdicts: Mapping[str, Stay | None]) -> None:
        entries, without_rows = self.receipt.entries, set()
        for index in indexes:
            entry = entries[index]
            stay = verdicts.get(entry.id, GONE)
            if stay is GONE and entry.state == PURGING:
                without_rows.add(index)
            elif stay is not None:
                self.receipt.put(index, stays(entry, stay))
            else:
                self.receipt.put(index, replace(entry, state=PURGING, code="", reason=""))
        self.receipt.save()
        for index in indexes:
            if entries[index].state != PURGING:
                continue
            stay = None if index in without_rows else self._delete(entries[index])
            if stay is not None:
                self.receipt.put(index, stays(entries[index], stay))
            elif end_purge(self.receipt, index, self.files, ""):
                self.sides.progress.advance("purged", 1)
        self.receipt.save()

    def _delete(self, entry: RetiredObject) -> Stay | None:
        """Delete a trace if it is as the archive holds it; return why it stays, None where it is gone."""
        entity = self.sides.look_alone(entry.address)
        if entity is None or entity.archived is None:
            return GONE
        if stay := unread(entity) or by_contents(entity, entity.archived, beside=("trace_links",)):
            return stay
        try:
            deleted = self.site.delete_trace(entry.address, entry.experiment_id)
        except ServerError as error:
            return refusal(error)
        if not deleted and self.site.stages([entry.address]):
            return Stay(reason="the server did not delete it, and does not say why", code=refusals.RETIRE_REFUSED)
        return None

    def _verdicts(self) -> dict[str, Stay | None]:
        """Read the traces that are selected in full, and return why each stays, None for those that may go."""
        experiments = {entry.experiment_id for entry in self.receipt.entries if entry.kind == TRACE}
        entangled = self.site.entangled((TRACE,), experiments)
        with self.sides.moment() as moment:
            return self._judged(moment, self.sides.judge(moment.foundation(), entangled, self.receipt.runs_that_go()))

    def _judged(self, moment: SiteMoment, judge: Judge) -> dict[str, Stay | None]:
        try:
            return {
                entity.id: _UNSHOWN
                if (entity.experiment or {}).get("lifecycle_stage") == stages.DELETED
                else judge(entity)
                for entity in moment.objects(replace(self.selection, kinds=(TRACE,), deleted=True))
            }
        except SelectionError:  # nothing of it is there any more
            return {}
