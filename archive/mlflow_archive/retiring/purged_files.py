"""Removes the files of what was purged: those that the archive has, by its paths; what else lies there stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from mlflow_archive.artifact_roots import ArtifactRoots, ArtifactWriteError
from mlflow_archive.format import refusals
from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring.judging import Stay
from mlflow_archive.retiring.kept import KeptEntities
from mlflow_archive.retiring.plan import stays
from mlflow_archive.retiring.receipt import DELETED, PURGED, RetiredObject, RetireReceipt

_LOCATIONS: Final = {RUN: "artifact_uri", LOGGED_MODEL: "artifact_location"}
_ARTIFACT_TAG: Final = "mlflow.artifactLocation"
_ARCHIVE_TAG: Final = "mlflow.trace.archiveLocation"
_HOME_TAG: Final = "mlflow.trace.spansLocation"
_SPANS: Final = ("traces.json", "traces.pb")


@dataclass(frozen=True, slots=True)
class PurgedFiles:
    """The files of objects whose rows are gone. ``roots`` gives where those of a workspace lie.

    ``of_server``: files are removed where the user, or the location itself, says which place it is, and not in a
    folder that only the server names: on this machine that may be another one. The spans of a trace that MLflow has
    moved to its own archive, it removes itself.
    """

    kept_entities: KeptEntities
    roots: Callable[[str | None], ArtifactRoots]
    of_server: bool = False

    def remove(self, entry: RetiredObject) -> None:
        """Remove the files of an object. Raises ArtifactWriteError; repeated, it goes on."""
        roots, paths = self.roots(entry.workspace), self.kept_entities.files(entry.kind, entry.id)
        if not paths:
            return
        tags = self.kept_entities.tags(entry.id) if entry.kind == TRACE else {}
        if self.of_server and tags.get(_HOME_TAG) == "ARCHIVE_REPO":
            tags.pop(_ARCHIVE_TAG, None)
            paths = [path for path in paths if path not in _SPANS]
        for location in self._locations(entry, tags) if paths else ():
            if self.of_server and not roots.is_given(location):
                raise ArtifactWriteError(
                    f"{location} is a folder of the server; remove them there, or say where it is: "
                    "--artifact-map FROM=TO"
                )
            for path in paths:
                if roots.exists(location, path):
                    roots.remove(location, path)

    def _locations(self, entry: RetiredObject, tags: Mapping[str, str]) -> list[str]:
        """Return where files of an object lie. Raises ArtifactWriteError where others than a trace may have theirs."""
        if entry.kind != TRACE:
            location = self.kept_entities.of(entry.kind, [entry.id])[entry.id].row[_LOCATIONS[entry.kind]]
            return [location] if location else []
        locations = [tags[name] for name in (_ARTIFACT_TAG, _ARCHIVE_TAG) if tags.get(name)]
        for location in locations:
            if entry.id not in location.split("/"):
                raise ArtifactWriteError(f"{location} is not the place of this trace alone")
        return locations


def end_purge(receipt: RetireReceipt, index: int, files: PurgedFiles, reason: str) -> bool:
    """Remove the files of an object whose rows are gone, and return True; ``reason`` says why they are not, if so."""
    entry = receipt.entries[index]
    if reason:
        receipt.put(index, is_kept(entry, Stay(reason=reason, code=refusals.RETIRE_REFUSED)))
        return False
    try:
        files.remove(entry)
    except ArtifactWriteError as error:
        reason = f"its rows are purged, and not all its files: {error}"
        receipt.put(index, replace(entry, code=refusals.RETIRE_REFUSED, reason=reason))
        return False
    receipt.put(index, replace(entry, state=PURGED, code="", reason=""))
    return True


def is_kept(entry: RetiredObject, stay: Stay) -> RetiredObject:
    """Return an entry that says why its object is not purged: it is deleted, and an undo brings it back."""
    if entry.kind == TRACE:  # which was not deleted before
        return stays(entry, stay)
    return replace(entry, state=DELETED, code=stay.code, reason=f"deleted, and not purged: {stay.reason}")
