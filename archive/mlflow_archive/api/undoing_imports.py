"""Taking back what an import made: read as it is now, proved against the archive, and what is unchanged deleted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from mlflow_archive.api.differences import ObjectChange
from mlflow_archive.api.proof.proof import prove
from mlflow_archive.api.retiring import report_of
from mlflow_archive.api.verbs import export
from mlflow_archive.artifact_roots import ArtifactRoots
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Progress, Report
from mlflow_archive.format import refusals
from mlflow_archive.format.location import ArchivePath
from mlflow_archive.kinds import EXPERIMENT, LOGGED_MODEL, MODEL_VERSION, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.retiring.judging import Rules, Stay
from mlflow_archive.retiring.kept import KeptEntities
from mlflow_archive.retiring.plan import SiteAndArchive, plan, stays
from mlflow_archive.retiring.purged_files import PurgedFiles
from mlflow_archive.retiring.receipt import DELETING, NEW, PLANNED, RUNNING, RetiredObject, RetireReceipt, read_receipt
from mlflow_archive.retiring.retire import GONE, Retirement
from mlflow_archive.retiring.site import Foundation, Site
from mlflow_archive.retiring.taking_back import FOR_GOOD, TakingBack, no_way
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay.locate import open_target
from mlflow_archive.storage.private_folder import PrivateFolder

if TYPE_CHECKING:
    from mlflow_archive.retiring.database_site import DatabaseSite
    from mlflow_archive.retiring.server_site import ServerSite

_STAGE: Final = ("lifecycle_stage", "deleted_time", "last_update_time", "last_updated_timestamp")
_CHANGED: Final = Stay(reason="it is not as the import made it any more", code=refusals.CHANGED_SINCE)
_IN_EXPERIMENTS: Final = frozenset({EXPERIMENT, RUN, LOGGED_MODEL, TRACE})
_RETIRED: Final = (LOGGED_MODEL, RUN, TRACE)
_STOOD_ON: Final = re.compile(r"runs:/([0-9a-f]{32})|models:/(m-[0-9a-f]{32})|/models/(m-[0-9a-f]{32})/")

Changes = Mapping[tuple[str, str], Sequence[ObjectChange]]
"""By kind and id at the source: what differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReceipt:
    """What an import says that it did. ``made`` has by kind the ids in the target of what it made, and those at the
    source.

    ``uri`` is how to reach the ``target``, which is named without a password.
    """

    path: Path
    archive: str
    target: str
    uri: str
    made: Mapping[str, Mapping[str, str]]
    document: Mapping[str, Any]

    @property
    def selection(self) -> Selection:
        """What has to be read of the target to see all that was made, and what may stand on it."""
        if not self.made.keys() <= _IN_EXPERIMENTS:
            return Selection()
        if self.made.keys() <= {RUN}:
            return Selection(runs=tuple(self.made.get(RUN, ())))
        return self.in_experiments

    @property
    def in_experiments(self) -> Selection:
        """The experiments into which it put something."""
        return Selection(experiments=tuple(sorted({*filter(None, self.document["experiments"].values())})))


def import_receipt(
    path: Path, document: Mapping[str, Any], archive: ArchivePath | None, to: str | None
) -> ImportReceipt:
    """Return what is needed of the receipt of an import. Raises SelectionError for any other."""
    try:
        made_ids = document["made"].items()
        ids = {RUN: document["runs"], EXPERIMENT: document["experiments"], **document.get("ids", {})}
        pairs_by_kind = {}
        for kind, target_ids in made_ids:
            sources = {target: source for source, target in ids.get(kind, {}).items()}
            pairs_by_kind[kind] = {target: sources[target] for target in target_ids if target in sources}
        return ImportReceipt(
            path=path,
            archive=os.fspath(archive) if isinstance(archive, str | os.PathLike) else document["archive"],
            target=document["target"],
            uri=to or document["target"],
            made={kind: pairs for kind, pairs in pairs_by_kind.items() if pairs},
            document=document,
        )
    except (KeyError, AttributeError, TypeError) as error:
        raise SelectionError(f"{path} is no receipt of an import that says what it made: {error} is missing") from error


def undo_import(imported: ImportReceipt, site: Site, path: Path | None, *, yes: bool, progress: Progress) -> Report:
    """Delete what an import made and is as it made it: by an export of it, and its proof."""
    numbers = {kind: len(pairs) for kind, pairs in sorted(imported.made.items())}
    facts = {"undoes": imported.path.name, "archive": imported.archive, "source": site.uri, "made": numbers}
    receipt = RetireReceipt(path=path, facts=facts)
    if path is not None and path.exists() and path.stat().st_size:
        receipt = read_receipt(path)
        receipt.check(facts)
    with _as_it_is(imported, progress) as (now, changes):
        if now is None:
            receipt.save(PLANNED)
            return report_of(receipt)
        sides = SiteAndArchive(
            site=site, kept_entities=KeptEntities(now), hidden=frozenset(), rules=Rules(), progress=progress
        )
        if receipt.state == NEW:
            receipt.entries = _listed(imported, sides, now, changes)
        _leave_changed(receipt, imported, changes, site)
        receipt.save(PLANNED if receipt.state == NEW else None)
        if yes:
            _take_back(imported, sides, receipt, progress)
    return report_of(receipt)


@contextmanager
def _as_it_is(imported: ImportReceipt, progress: Progress) -> Iterator[tuple[Archive | None, Changes]]:
    """Give an archive of what was made as it is now, None where nothing is there, and how that is otherwise."""
    if not imported.made:
        yield None, {}
        return
    with PrivateFolder() as folder:
        target = folder.path / "now"
        try:
            export(target, imported.uri, selection=imported.selection)
        except SelectionError:  # none of it is there
            yield None, {}
            return
        proof = prove(
            imported.archive, str(target), receipt=imported.document, artifacts=True, jobs=2, progress=progress
        )
        changes: dict[tuple[str, str], list[ObjectChange]] = {}
        for change in filter(_is_change, proof.changes):
            changes.setdefault((change.kind, change.id), []).append(change)
        with open_archive(target) as now:
            yield now, changes


def _is_change(change: ObjectChange) -> bool:
    """Return whether a change is one of more than the stage of an object, which an undo itself changes."""
    own = [field for field in change.fields if field.field not in _STAGE]
    return change.change != "changed" or bool(own)


def _is_changed(imported: ImportReceipt, kind: str, target_id: str, changes: Changes) -> bool:
    """Return whether an object is not as the import made it: of a version, its own rows and the aliases beside it."""
    source_id = imported.made[kind][target_id]
    if kind != MODEL_VERSION:
        return (kind, source_id) in changes
    numbers = {source_id.rpartition("/")[2], target_id.rpartition("/")[2]}
    of_model = changes.get((REGISTERED_MODEL, source_id.rpartition("/")[0]), ())
    return any(
        change.change != "changed"
        or any(
            field.table == "registered_model_aliases" or str(field.key.get("version", "")) in numbers
            for field in change.fields
        )
        for change in of_model
    )


def _listed(imported: ImportReceipt, sides: SiteAndArchive, now: Archive, changes: Changes) -> list[RetiredObject]:
    """Return an entry for each object that was made: what is deleted for good first."""
    entries = []
    for kind, pairs in imported.made.items():
        for target_id in pairs if kind not in _RETIRED else ():
            if kind == MODEL_VERSION and target_id.rpartition("/")[0] in imported.made.get(REGISTERED_MODEL, ()):
                continue  # it goes with its model, or stays with it
            entry = RetiredObject(kind=kind, id=target_id)
            supported = kind in (*FOR_GOOD, EXPERIMENT)
            entries.append(entry if supported else stays(entry, no_way(kind)))
    kinds = tuple(kind for kind in _RETIRED if kind in imported.made)
    if kinds:
        selection = imported.selection if kinds == (RUN,) and len(imported.made) == 1 else imported.in_experiments
        foundation = None if imported.made.keys() <= _IN_EXPERIMENTS else _foundation(now, entries, imported, changes)
        with sides.moment() as moment:
            planned = plan(moment, selection, kinds=kinds, foundation=foundation)
        entries += [entry for entry in planned if entry.id in imported.made[entry.kind]]
        planned_keys = {(entry.kind, entry.id) for entry in planned}
        missing = [
            (kind, target_id)
            for kind in kinds
            for target_id in imported.made[kind]
            if (kind, target_id) not in planned_keys
        ]
        entries += [stays(RetiredObject(kind=kind, id=target_id), GONE) for kind, target_id in missing]
    return entries


def _foundation(
    now: Archive, entries: Sequence[RetiredObject], imported: ImportReceipt, changes: Changes
) -> Foundation:
    """Return what the versions stand on that stay."""
    going = {entry.id for entry in entries if not _is_changed(imported, entry.kind, entry.id, changes)}
    runs: set[str] = set()
    models: set[str] = set()
    for row in now.table("model_versions").to_pylist():
        if row["name"] in going or f"{row['name']}/{row['version']}" in going:
            continue
        runs.add(row["run_id"])
        for run_id, model_id, in_path in _STOOD_ON.findall(f"{row['source']} {row['storage_location']}"):
            runs.add(run_id)
            models.update((model_id, in_path))
    return Foundation(runs=frozenset(filter(None, runs)), logged_models=frozenset(filter(None, models)))


def _leave_changed(receipt: RetireReceipt, imported: ImportReceipt, changes: Changes, site: Site) -> None:
    """Leave what is not as the import made it; what a run that was killed has deleted of that comes back."""
    for index, entry in enumerate(receipt.entries):
        unsure = entry.state == DELETING and entry.kind in (*site.unseen, EXPERIMENT)
        waits = entry.state in (PLANNED, DELETING) and not unsure
        if waits and _is_changed(imported, entry.kind, entry.id, changes):
            if entry.state == DELETING:
                site.show(entry.address)
            receipt.put(index, stays(entry, _CHANGED))


def _take_back(imported: ImportReceipt, sides: SiteAndArchive, receipt: RetireReceipt, progress: Progress) -> None:
    """Delete what is planned: the registry first, as it stands on runs, and experiments last, once they are empty."""
    receipt.save(RUNNING)
    if not imported.made.keys() <= _IN_EXPERIMENTS:
        with _as_it_is(imported, progress) as (_, changes), closing(open_target(imported.uri)) as target:
            _leave_changed(receipt, imported, changes, sides.site)
            TakingBack(target, receipt).take()
    if TRACE in imported.made:
        _purge_traces(imported, sides, receipt)
    Retirement(sides, receipt).run()
    if EXPERIMENT in imported.made:
        receipt.save(RUNNING)
        with closing(open_target(imported.uri)) as target:
            TakingBack(target, receipt).take_experiments(_with_traces(imported, sides))
    receipt.save("done")


def _with_traces(imported: ImportReceipt, sides: SiteAndArchive) -> set[str]:
    """Return the experiments that still have traces."""
    selection = replace(imported.in_experiments, kinds=(TRACE,), artifacts=False)
    with sides.moment() as moment:
        return {entity.row["experiment_id"] for entity in moment.objects(selection) if entity.kind == TRACE}


def _purge_traces(imported: ImportReceipt, sides: SiteAndArchive, receipt: RetireReceipt) -> None:
    if sides.site.kind == "database":
        from mlflow_archive.retiring.purge import Purge  # noqa: PLC0415 - it brings SQLAlchemy

        database = cast("DatabaseSite", sides.site)
        roots = ArtifactRoots(base=database.folder)
        Purge(sides, database, receipt, PurgedFiles(sides.kept_entities, lambda _: roots), kinds=(TRACE,)).run()
        return
    from mlflow_archive.retiring.server_purge import ServerPurge  # noqa: PLC0415 - it brings the REST source

    server = cast("ServerSite", sides.site)
    files = PurgedFiles(sides.kept_entities, lambda workspace: server.artifacts(workspace, (), None), of_server=True)
    ServerPurge(sides, server, receipt, files, imported.in_experiments).run()
