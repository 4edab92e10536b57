"""Deletes for good what a receipt says is deleted: rows in a transaction that looks once more, then the files.

A file is removed by the path that the archive has of it; what else lies there stays. Killed anywhere, it goes on: an
object is marked before its rows go, and its files are known from the archive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from mlflow_archive.artifact_roots import ArtifactRoots, ArtifactWriteError
from mlflow_archive.format import refusals
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.retiring.database_site import DatabaseSite
from mlflow_archive.retiring.judging import Stay
from mlflow_archive.retiring.kept import KeptEntity
from mlflow_archive.retiring.plan import SiteAndArchive, stays
from mlflow_archive.retiring.receipt import DELETED, PURGED, PURGING, RetiredObject, RetireReceipt
from mlflow_archive.retiring.retire import AT_ONCE, Retirement
from mlflow_archive.retiring.site import ACTIVE

_LOCATIONS: Final = {RUN: "artifact_uri", LOGGED_MODEL: "artifact_location"}
_BACK: Final = Stay(reason="somebody has brought it back", code=refusals.CHANGED_SINCE)


@dataclass(frozen=True, slots=True)
class Purge:
    """The purge of what a receipt says is deleted at a database, logged models before the runs that made them."""

    sides: SiteAndArchive
    site: DatabaseSite
    receipt: RetireReceipt
    roots: ArtifactRoots

    def run(self) -> None:
        """Purge. Raises ServerError, StoreError, TargetError; then it goes on."""
        self.receipt.save("running")
        for kind in (LOGGED_MODEL, RUN):
            waiting = [
                index
                for index, entry in enumerate(self.receipt.entries)
                if entry.kind == kind and entry.state in (DELETED, PURGING)
            ]
            for at in range(0, len(waiting), AT_ONCE):
                self._purge(waiting[at : at + AT_ONCE])
        self.receipt.save("done")

    def _purge(self, indexes: Sequence[int]) -> None:
        entries = self.receipt.entries
        stage_of = self.site.stages([entries[index].address for index in indexes])
        with_rows = [index for index in indexes if (entries[index].kind, entries[index].id) in stage_of]
        for index in with_rows:
            if stage_of[entries[index].kind, entries[index].id] == ACTIVE:
                entries[index] = stays(entries[index], _BACK)
        hidden = [index for index in with_rows if entries[index].state in (DELETED, PURGING)]
        for index, stay in Retirement(self.sides, self.receipt).verdicts(hidden).items():
            if stay is None:
                entries[index] = replace(entries[index], state=PURGING, code="", reason="")
            else:
                entries[index] = _is_kept(entries[index], stay)
        self.receipt.save()
        without_rows = [index for index in indexes if index not in with_rows and entries[index].state == PURGING]
        archived = self._archived([index for index in indexes if entries[index].state == PURGING])
        for index in indexes:
            if entries[index].state == PURGING:
                self._purge_one(index, archived[entries[index].id], rows_are_gone=index in without_rows)
        self.receipt.save()

    def _archived(self, indexes: Sequence[int]) -> dict[str, KeptEntity]:
        entries = [self.receipt.entries[index] for index in indexes]
        return self.sides.kept_entities.of(entries[0].kind, [entry.id for entry in entries]) if entries else {}

    def _purge_one(self, index: int, archived: KeptEntity, *, rows_are_gone: bool) -> None:
        entry = self.receipt.entries[index]
        numbers = {name: number for name, (number, _) in archived.sums.items()}
        reason = "" if rows_are_gone else self.site.purge(entry.address, numbers)
        if reason:
            self.receipt.entries[index] = _is_kept(entry, Stay(reason=reason, code=refusals.RETIRE_REFUSED))
            return
        try:
            for path in self.sides.kept_entities.files(entry.kind, entry.id):
                self._remove(archived.row[_LOCATIONS[entry.kind]], path)
        except ArtifactWriteError as error:
            reason = f"its rows are purged, and not all its files: {error}"
            self.receipt.entries[index] = replace(entry, code=refusals.RETIRE_REFUSED, reason=reason)
            return
        self.receipt.entries[index] = replace(entry, state=PURGED)
        self.sides.progress.advance("purged", 1)

    def _remove(self, location: str | None, path: str) -> None:
        if location and self.roots.exists(location, path):
            self.roots.remove(location, path)


def _is_kept(entry: RetiredObject, stay: Stay) -> RetiredObject:
    """Return an entry that says why its object is not purged; it is deleted, and an undo brings it back."""
    return replace(entry, state=DELETED, code=stay.code, reason=f"deleted, and not purged: {stay.reason}")
