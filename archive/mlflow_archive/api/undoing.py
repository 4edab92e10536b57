"""Taking back what a receipt says was done; see ``mlflow-archive undo``.

>>> ma.undo("retired.json").counts  # doctest: +SKIP
>>> ma.undo("imported.json", receipt="undone.json", yes=True).gaps  # doctest: +SKIP
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflow_archive.api.differences import ObjectChange
from mlflow_archive.api.progress import OnProgress, as_progress
from mlflow_archive.api.proof.proof import prove
from mlflow_archive.api.retiring import check_sound, report_of
from mlflow_archive.api.verbs import export
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Progress, Report
from mlflow_archive.format import refusals
from mlflow_archive.format.location import ArchivePath, archive_place, local_path
from mlflow_archive.kinds import RUN
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.retiring.elsewhere import check_lies_elsewhere
from mlflow_archive.retiring.judging import Rules, Stay
from mlflow_archive.retiring.kept import KeptEntities
from mlflow_archive.retiring.plan import SiteAndArchive, plan, stays
from mlflow_archive.retiring.receipt import DELETED, DELETING, NEW, PLANNED, RETIRE, RetireReceipt, read_receipt
from mlflow_archive.retiring.retire import Retirement, bring_back
from mlflow_archive.retiring.site import Site, locate_site
from mlflow_archive.retiring.turn import turn_with
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.storage.private_folder import PrivateFolder

_STAGE: Final = ("lifecycle_stage", "deleted_time")
_CHANGED: Final = Stay(reason="it is not as the import made it any more", code=refusals.CHANGED_SINCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReceipt:
    """What an import says that it did. ``runs`` are ids at the source by ids in the target, of those that it made.

    ``uri`` is how to reach the ``target``, which is named without a password.
    """

    path: Path
    archive: str
    target: str
    uri: str
    runs: Mapping[str, str]
    document: Mapping[str, Any]


def undo(
    done: str | os.PathLike[str],
    to: str | None = None,
    *,
    archive: ArchivePath | None = None,
    receipt: str | os.PathLike[str] | None = None,
    yes: bool = False,
    progress: Progress | OnProgress | None = None,
) -> Report:
    """Take back what the receipt ``done`` says: of a retirement what was deleted comes back at once.

    Of an import, the runs that it made and nobody has changed since are deleted in its target; only listed without
    ``yes``, which needs a ``receipt`` of its own, to be undone by. ``archive`` is that of the import, where it lies
    elsewhere now. ``to`` is the URI of the server or database, where the one in the receipt lacks a password. Raises
    SelectionError, ServerError, StoreError, TargetError, ArchiveError; repeated, it goes on.
    """
    path, listener = local_path(done), as_progress(progress)
    document = _read(path)
    if document.get("command") == RETIRE:
        with turn_with(path):
            return _undo_retirement(path, to, listener)
    if yes and receipt is None:
        raise SelectionError("what is deleted must be written down: give --receipt FILE")
    imported = _of_import(path, document, archive, to)
    check_sound(imported.archive, 2, listener)
    own = None if receipt is None else local_path(receipt)
    with turn_with(own), closing(_site(imported.uri, listener)) as site:
        _check_place(path, imported.target, to, site)
        check_lies_elsewhere(archive_place(imported.archive), site.roots())
        return _undo_import(imported, site, own, yes=yes, progress=listener)


def _undo_retirement(path: Path, to: str | None, progress: Progress) -> Report:
    retired = read_receipt(path)
    with closing(_site(to or retired.facts["source"], progress)) as site:
        if site.kind == "rest" or not retired.facts["source"].startswith("http"):
            _check_place(path, retired.facts["source"], to, site)
        else:
            _check_is_of_server(path, retired, site)
        return report_of(retired, bring_back(retired, site))


def _check_is_of_server(path: Path, retired: RetireReceipt, site: Site) -> None:
    """Raise SelectionError for a database that has nothing of what was deleted at a server."""
    deleted = [entry.address for entry in retired.entries if entry.state in (DELETED, DELETING)]
    if deleted and not any(site.stages([address]) for address in deleted):
        raise SelectionError(f"{site.uri} has nothing of what {path} lists: it is not the database of that server")


def _undo_import(imported: ImportReceipt, site: Site, path: Path | None, *, yes: bool, progress: Progress) -> Report:
    """Delete what an import made and is as it made it: by an export of these runs, and its proof."""
    facts = {"undoes": imported.path.name, "archive": imported.archive, "source": site.uri, "runs": len(imported.runs)}
    receipt = RetireReceipt(path=path, facts=facts)
    if path is not None and path.exists() and path.stat().st_size:
        receipt = read_receipt(path)
        receipt.check(facts)
    with _as_it_is(site, imported, progress) as (now, changed):
        if now is None:
            receipt.save(PLANNED)
            return report_of(receipt)
        sides = SiteAndArchive(
            site=site, kept_entities=KeptEntities(now), hidden=frozenset(), rules=Rules(), progress=progress
        )
        if receipt.state == NEW:
            receipt.entries = plan(sides, Selection(runs=tuple(imported.runs)), kinds=(RUN,))
        _leave_changed(receipt, changed, site)
        receipt.save(PLANNED if receipt.state == NEW else None)
        if yes:
            Retirement(sides, receipt).run()
    return report_of(receipt)


def _leave_changed(receipt: RetireReceipt, changed: frozenset[str], site: Site) -> None:
    """Leave what is not as the import made it; what a run that was killed has deleted of that comes back."""
    for index, entry in enumerate(receipt.entries):
        if entry.id in changed and entry.state in (PLANNED, DELETING):
            if entry.state == DELETING:
                site.show(entry.address)
            receipt.entries[index] = stays(entry, _CHANGED)


@contextmanager
def _as_it_is(
    site: Site, imported: ImportReceipt, progress: Progress
) -> Iterator[tuple[Archive | None, frozenset[str]]]:
    """Give an archive of the runs as they are now, None where none is there, and which the import made otherwise."""
    if not imported.runs:
        yield None, frozenset()
        return
    with PrivateFolder() as folder:
        target = folder.path / "now"
        try:
            export(target, imported.uri, selection=Selection(runs=tuple(imported.runs)))
        except SelectionError:  # none of them is there
            yield None, frozenset()
            return
        proof = prove(
            imported.archive, str(target), receipt=imported.document, artifacts=True, jobs=2, progress=progress
        )
        changed_sources = {change.id for change in proof.changes if change.kind == RUN and _is_change(change)}
        changed = frozenset(run for run, source in imported.runs.items() if source in changed_sources)
        with open_archive(target) as now:
            yield now, changed


def _is_change(change: ObjectChange) -> bool:
    """Return whether a change is one of more than the stage of a run, which an undo itself changes."""
    own = [field for field in change.fields if not (field.table == "runs" and field.field in _STAGE)]
    return change.change != "changed" or bool(own)


def _site(uri: str, progress: Progress) -> Site:
    return locate_site(uri, artifact_map=(), artifacts_destination=None, progress=progress)


def _check_place(path: Path, address: str, to: str | None, site: Site) -> None:
    if to is not None and site.uri != address:
        raise SelectionError(f"{path} is of {address}, not of {site.uri}")


def _of_import(path: Path, document: Mapping[str, Any], archive: ArchivePath | None, to: str | None) -> ImportReceipt:
    """Return what is needed of the receipt of an import. Raises SelectionError for any other."""
    try:
        run_ids = set(document["made"].get(RUN, ()))
        runs = {target: source for source, target in document["runs"].items() if target in run_ids}
        place = os.fspath(archive) if isinstance(archive, str | os.PathLike) else document["archive"]
        return ImportReceipt(
            path=path,
            archive=place,
            target=document["target"],
            uri=to or document["target"],
            runs=runs,
            document=document,
        )
    except (KeyError, AttributeError, TypeError) as error:
        raise SelectionError(f"{path} is no receipt of an import that says what it made: {error} is missing") from error


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SelectionError(f"{path} is no receipt: {error}") from error
    if not isinstance(document, dict):
        raise SelectionError(f"{path} is no receipt")
    return document
