"""Deletes for good what a receipt says is deleted, and traces: rows in a transaction that looks once more, then files.

A file is removed by the path that the archive has of it; what else lies there stays. Killed anywhere, it goes on: an
object is marked before its rows go, and its files are known from the archive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mlflow_archive.format import refusals
from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring.database_site import DatabaseSite
from mlflow_archive.retiring.judging import Stay
from mlflow_archive.retiring.kept import KeptEntity
from mlflow_archive.retiring.plan import SiteAndArchive, stays
from mlflow_archive.retiring.purged_files import PurgedFiles, end_purge, is_kept
from mlflow_archive.retiring.receipt import DELETED, PLANNED, PURGING, RUNNING, RetiredObject, RetireReceipt
from mlflow_archive.retiring.retire import AT_ONCE, GONE, Retirement
from mlflow_archive.retiring.site import ACTIVE
from mlflow_archive.retiring.trace_rows import TableSums

_WAITING: Final = {TRACE: (PLANNED, PURGING)}
"""The states in which objects of a kind wait, if not deleted: traces have no soft delete."""
_BACK: Final = Stay(reason="somebody has brought it back", code=refusals.CHANGED_SINCE)


@dataclass(frozen=True, slots=True)
class Purge:
    """The purge of what a receipt says is deleted at a database, and of its traces; runs after what they made."""

    sides: SiteAndArchive
    site: DatabaseSite
    receipt: RetireReceipt
    files: PurgedFiles
    kinds: tuple[str, ...] = (TRACE, LOGGED_MODEL, RUN)

    def run(self) -> None:
        """Purge. Raises ServerError, StoreError, TargetError; then it goes on."""
        self.receipt.save(RUNNING)
        for kind in self.kinds:
            waiting = [
                index
                for index, entry in enumerate(self.receipt.entries)
                if entry.kind == kind and entry.state in _WAITING.get(kind, (DELETED, PURGING))
            ]
            for at in range(0, len(waiting), AT_ONCE):
                self._purge(waiting[at : at + AT_ONCE])
        self.receipt.save("done")

    def _purge(self, indexes: Sequence[int]) -> None:
        entries = self.receipt.entries
        stage_of = self.site.stages([entries[index].address for index in indexes])
        with_rows = [index for index in indexes if (entries[index].kind, entries[index].id) in stage_of]
        for index in indexes:
            if stay := _stay_by_stage(entries[index], stage_of.get((entries[index].kind, entries[index].id))):
                self.receipt.put(index, stays(entries[index], stay))
        waiting = [index for index in with_rows if entries[index].state in (PLANNED, DELETED, PURGING)]
        seen = self.site.sums([entries[index].id for index in waiting if entries[index].kind == TRACE])
        for index, stay in Retirement(self.sides, self.receipt).verdicts(waiting).items():
            if stay is None:
                self.receipt.put(index, replace(entries[index], state=PURGING, code="", reason=""))
            else:
                self.receipt.put(index, is_kept(entries[index], stay))
        self.receipt.save()
        without_rows = [index for index in indexes if index not in with_rows and entries[index].state == PURGING]
        archived = self._archived([index for index in indexes if entries[index].state == PURGING])
        for index in indexes:
            if entries[index].state == PURGING:
                reason = "" if index in without_rows else self._purge_rows(entries[index], archived, seen)
                if end_purge(self.receipt, index, self.files, reason):
                    self.sides.progress.advance("purged", 1)
        self.receipt.save()

    def _archived(self, indexes: Sequence[int]) -> dict[str, KeptEntity]:
        entries = [self.receipt.entries[index] for index in indexes]
        return self.sides.kept_entities.of(entries[0].kind, [entry.id for entry in entries]) if entries else {}

    def _purge_rows(
        self, entry: RetiredObject, archived: Mapping[str, KeptEntity], seen: Mapping[str, TableSums]
    ) -> str:
        if entry.kind == TRACE:
            return self.site.purge_trace(entry.id, seen.get(entry.id, {}))
        numbers = {name: number for name, (number, _) in archived[entry.id].sums.items()}
        return self.site.purge(entry.address, numbers)


def _stay_by_stage(entry: RetiredObject, stage: str | None) -> Stay | None:
    """Return why an object stays that somebody has brought back, or a trace that somebody has deleted."""
    if entry.kind == TRACE:
        return GONE if stage is None and entry.state == PLANNED else None
    return _BACK if stage == ACTIVE else None
