"""Taking back what a receipt says was done; see ``mlflow-archive undo``.

>>> ma.undo("retired.json").counts  # doctest: +SKIP
>>> ma.undo("imported.json", receipt="undone.json", yes=True).gaps  # doctest: +SKIP
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from mlflow_archive.api.progress import OnProgress, as_progress
from mlflow_archive.api.retiring import check_sound, report_of
from mlflow_archive.api.undoing_imports import import_receipt, undo_import
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Progress, Report
from mlflow_archive.format.location import ArchivePath, archive_place, local_path
from mlflow_archive.kinds import EXPERIMENT
from mlflow_archive.retiring.elsewhere import check_lies_elsewhere
from mlflow_archive.retiring.plan import stays
from mlflow_archive.retiring.receipt import (
    BROUGHT_BACK,
    DELETED,
    DELETING,
    RETIRE,
    RetiredObject,
    RetireReceipt,
    read_receipt,
)
from mlflow_archive.retiring.retire import GONE, bring_back
from mlflow_archive.retiring.site import Site, locate_site
from mlflow_archive.retiring.turn import turn_with
from mlflow_archive.sinks.replay.locate import open_target

_GONE: Final = (DELETED, DELETING)


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

    Of an import, what it made and nobody has changed since is deleted in its target, some of it for good; only listed
    without ``yes``, which needs a ``receipt`` of its own, to be undone by. ``archive`` is that of the import, where it
    lies elsewhere now. ``to`` is the URI of the server or database, where the one in the receipt lacks a password.
    Raises SelectionError, ServerError, StoreError, TargetError, ArchiveError; repeated, it goes on.
    """
    path, listener = local_path(done), as_progress(progress)
    document = _read(path)
    if document.get("command") == RETIRE:
        with turn_with(path):
            return _undo_retirement(path, to, listener)
    if yes and receipt is None:
        raise SelectionError("what is deleted must be written down: give --receipt FILE")
    imported = import_receipt(path, document, archive, to)
    check_sound(imported.archive, 2, listener)
    own = None if receipt is None else local_path(receipt)
    with turn_with(own), closing(_site(imported.uri, listener)) as site:
        _check_place(path, imported.target, to, site)
        check_lies_elsewhere(archive_place(imported.archive), site.roots())
        return undo_import(imported, site, own, yes=yes, progress=listener)


def _undo_retirement(path: Path, to: str | None, progress: Progress) -> Report:
    retired = read_receipt(path)
    with closing(_site(to or retired.facts["source"], progress)) as site:
        if site.kind == "rest" or not retired.facts["source"].startswith("http"):
            _check_place(path, retired.facts["source"], to, site)
        else:
            _check_is_of_server(path, retired, site)
        back = _restore_experiments(retired, to or site.uri)
        return report_of(retired, [*back, *bring_back(retired, site)])


def _restore_experiments(retired: RetireReceipt, uri: str) -> list[RetiredObject]:
    """Bring back the experiments of an import that was undone, before the runs in them."""
    places = [i for i, entry in enumerate(retired.entries) if entry.kind == EXPERIMENT and entry.state in _GONE]
    if places:
        with closing(open_target(uri)) as target:
            deleted = {experiment.experiment_id: experiment.deleted for experiment in target.experiments()}
            for index in places:
                entry = retired.entries[index]
                if deleted.get(entry.id):
                    target.restore_experiment(entry.id)
                is_there = entry.id in deleted
                back = replace(entry, state=BROUGHT_BACK, code="", reason="")
                retired.put(index, back if is_there else stays(entry, GONE))
    return [retired.entries[index] for index in places]


def _check_is_of_server(path: Path, retired: RetireReceipt, site: Site) -> None:
    """Raise SelectionError for a database that has nothing of what was deleted at a server."""
    deleted = [entry.address for entry in retired.entries if entry.state in (DELETED, DELETING)]
    if deleted and not any(site.stages([address]) for address in deleted):
        raise SelectionError(f"{site.uri} has nothing of what {path} lists: it is not the database of that server")


def _site(uri: str, progress: Progress) -> Site:
    return locate_site(uri, artifact_map=(), artifacts_destination=None, progress=progress)


def _check_place(path: Path, address: str, to: str | None, site: Site) -> None:
    if to is not None and site.uri != address:
        raise SelectionError(f"{path} is of {address}, not of {site.uri}")


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SelectionError(f"{path} is no receipt: {error}") from error
    if not isinstance(document, dict):
        raise SelectionError(f"{path} is no receipt")
    return document
