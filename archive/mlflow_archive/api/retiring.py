"""Retirement from Python: what an archive holds is deleted where it came from; see ``mlflow-archive retire``.

>>> options = ma.RetireOptions(older_than="18mo")  # doctest: +SKIP
>>> report = ma.retire("backup.mlfa", "http://127.0.0.1:5000", options=options)  # a dry run  # doctest: +SKIP
>>> ma.retire("backup.mlfa", "http://127.0.0.1:5000", options=options, receipt="r.json", yes=True)  # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from mlflow_archive.api.progress import OnProgress, as_progress
from mlflow_archive.artifact_roots import ArtifactRoots
from mlflow_archive.errors import DamagedError, SelectionError
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.flow.report import Progress, Report
from mlflow_archive.format.location import ArchivePath, archive_place, local_path
from mlflow_archive.kinds import KINDS, MODEL_VERSION, TRACE
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.retiring.age import before_ms
from mlflow_archive.retiring.elsewhere import check_lies_elsewhere
from mlflow_archive.retiring.judging import Rules
from mlflow_archive.retiring.kept import KeptEntities
from mlflow_archive.retiring.plan import SiteAndArchive, number_of_traces, plan
from mlflow_archive.retiring.purged_files import PurgedFiles
from mlflow_archive.retiring.receipt import DELETED, NEW, PLANNED, RetiredObject, RetireReceipt, read_receipt
from mlflow_archive.retiring.retire import Retirement
from mlflow_archive.retiring.site import HIDDEN_BY_SERVERS, Site, locate_site
from mlflow_archive.retiring.turn import turn_with
from mlflow_archive.selecting.selection import Selection, refuse_texts_as_pairs
from mlflow_archive.verification.checks import verify

if TYPE_CHECKING:
    from mlflow_archive.retiring.database_site import DatabaseSite
    from mlflow_archive.retiring.server_site import ServerSite

_MAY_DIFFER: Final = ("archive", "before_ms", "purge", "traces")
"""Facts that may be others when a retirement goes on: where the archive lies, when that is, whether it purges, and
whether traces are in its list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireOptions:
    """What may be retired. Runs must have ended, and logged models been made, so long ago (``18mo``); None: any time.

    ``with_versions``: also what a version of a registered model stands on. ``purge`` deletes it for good, rows and
    files, at a database, and at a server traces. ``artifact_map`` and ``artifacts_destination`` are those of an export.
    """

    older_than: str | None = None
    with_versions: bool = False
    purge: bool = False
    artifact_map: Sequence[tuple[str, str]] = ()
    artifacts_destination: str | None = None
    jobs: int = 2

    def __post_init__(self) -> None:
        refuse_texts_as_pairs("artifact_map", self.artifact_map)


def retire(
    archive: ArchivePath,
    source: str,
    *,
    options: RetireOptions | None = None,
    selection: Selection | None = None,
    receipt: str | os.PathLike[str] | None = None,
    yes: bool = False,
    progress: Progress | OnProgress | None = None,
) -> Report:
    """Delete at a source what is selected, as far as the archive holds it as it is now; only list it without ``yes``.

    The archive is verified first, all of it. With ``yes`` a ``receipt`` is needed: the list of a dry run that
    was written there is what is deleted, and a retirement that was interrupted goes on. ``report.details`` is the
    receipt, ``report.gaps`` is what was left.

    Raises DamagedError, SelectionError, ServerError, StoreError, TargetError.
    """
    options, listener = options or RetireOptions(), as_progress(progress)
    selection = _checked(selection or Selection(), options)
    path = None if receipt is None else local_path(receipt)
    if yes and path is None:
        raise SelectionError("what is deleted must be written down: give --receipt FILE")
    check_sound(archive, options.jobs, listener)
    site = locate_site(
        source,
        artifact_map=options.artifact_map,
        artifacts_destination=options.artifacts_destination,
        progress=listener,
    )
    with turn_with(path), closing(site), open_archive(archive) as opened:
        check_lies_elsewhere(archive_place(archive), _roots(site, options))
        if options.purge:
            _check_purgeable(opened, site)
        document = _receipt(path, _facts(opened, site, options, selection))
        sides = _sides(opened, site, document, listener)
        _list_objects(sides, document, selection, options, yes=yes)
        if yes:
            Retirement(sides, document).run()
        if yes and options.purge:
            document.facts["purge"] = True
            _purge(sides, document, options, selection)
        return report_of(document)


def _list_objects(
    sides: SiteAndArchive, document: RetireReceipt, selection: Selection, options: RetireOptions, *, yes: bool
) -> None:
    """Fill the list of a new receipt; add traces to one that was made without them, where nothing is deleted yet.

    Traces go only where they are in the list of a dry run; those that stay are counted.
    """
    facts = document.facts
    if document.state == NEW:
        kinds = (*sides.site.kinds, TRACE) if options.purge else sides.site.kinds
        document.entries = plan(sides, selection, kinds=kinds)
        if not options.purge:
            facts["traces_that_stay"] = number_of_traces(sides.site, selection)
        document.save(PLANNED)
    elif options.purge and not yes and not facts.get("traces"):
        document.entries += plan(sides, selection, kinds=(TRACE,), gone=frozenset(document.runs_that_go()))
        facts["traces"] = True
        facts.pop("traces_that_stay", None)
        document.save()


def _checked(selection: Selection, options: RetireOptions) -> Selection:
    """Return a selection with its bound in time. Raises SelectionError where it would take everything."""
    if selection.cut_by_time:
        raise SelectionError("of what age it must be is said by older_than, not by since or until")
    before = None if options.older_than is None else before_ms(options.older_than, datetime.now(UTC))
    selection = replace(selection, until_ms=before)
    if selection.everything:
        raise SelectionError("say what is retired: --older-than, --experiment, --run or --filter")
    if not selection.artifacts or selection.artifact_globs or selection.max_artifact_size is not None:
        raise SelectionError("an object is retired with all its artifacts: none can be left out")
    return selection


def check_sound(archive: ArchivePath, jobs: int, progress: Progress) -> None:
    """Raise DamagedError unless every byte of the archive is what was committed, SelectionError for a delta."""
    report = verify(archive, jobs=jobs, progress=progress)
    for problem in report.problems:
        if problem.severity == "error":
            raise DamagedError(problem.message, code=problem.code, member=problem.member)
    if report.elsewhere is not None:
        raise SelectionError(f"{archive} is a delta, which needs its base to be whole; join the two first")


def _check_purgeable(archive: Archive, site: Site) -> None:
    """Raise SelectionError where something would be purged that the archive cannot have."""
    if site.kind != "database":
        cast("ServerSite", site).check_purge()
        return
    if {str(export.source.get("kind")) for export in archive.manifest.exports} != {site.kind}:
        raise SelectionError(
            f"{archive.path} was not read from a database, and a server hides what would be purged; export the database"
        )
    cast("DatabaseSite", site).check_schema()


def _purge(sides: SiteAndArchive, document: RetireReceipt, options: RetireOptions, selection: Selection) -> None:
    if sides.site.kind == "database":
        _purge_database(sides, document, options)
        return
    from mlflow_archive.retiring.server_purge import ServerPurge  # noqa: PLC0415 - it brings the REST source

    server = cast("ServerSite", sides.site)

    def roots(workspace: str | None) -> ArtifactRoots:
        return server.artifacts(workspace, options.artifact_map, options.artifacts_destination)

    document.facts["not_purged"] = sum(entry.state == DELETED for entry in document.entries)
    ServerPurge(sides, server, document, PurgedFiles(sides.kept_entities, roots, of_server=True), selection).run()


def _purge_database(sides: SiteAndArchive, document: RetireReceipt, options: RetireOptions) -> None:
    from mlflow_archive.retiring.purge import Purge  # noqa: PLC0415 - it brings SQLAlchemy

    site = cast("DatabaseSite", sides.site)
    roots = ArtifactRoots(
        artifact_map=options.artifact_map, artifacts_destination=options.artifacts_destination, base=site.folder
    )
    Purge(sides, site, document, PurgedFiles(sides.kept_entities, lambda _: roots)).run()


def _sides(archive: Archive, site: Site, document: RetireReceipt, progress: Progress) -> SiteAndArchive:
    kinds = {str(export.source.get("kind")) for export in archive.manifest.exports}
    hidden = frozenset[str]() if kinds == {site.kind} else HIDDEN_BY_SERVERS
    rules = Rules(before_ms=document.facts["before_ms"], with_versions=document.facts["with_versions"])
    return SiteAndArchive(
        site=site, kept_entities=KeptEntities(archive, hidden), hidden=hidden, rules=rules, progress=progress
    )


def _roots(site: Site, options: RetireOptions) -> Iterator[str]:
    yield from site.roots()
    yield from (new for _, new in options.artifact_map)
    if options.artifacts_destination is not None:
        yield options.artifacts_destination


def _facts(archive: Archive, site: Site, options: RetireOptions, selection: Selection) -> dict[str, Any]:
    options_given = {name: value for name, value in asdict(selection).items() if value != getattr(Selection(), name)}
    options_given.pop("until_ms", None)
    return {
        "archive": str(archive.path),
        "archive_id": archive.id,
        "source": site.uri,
        "selection": {
            name: list(value) if isinstance(value, tuple) else value for name, value in options_given.items()
        },
        "older_than": options.older_than,
        "with_versions": options.with_versions,
        "purge": options.purge,
        "traces": options.purge,
        "before_ms": selection.until_ms,
    }


def _receipt(path: Path | None, facts: dict[str, Any]) -> RetireReceipt:
    """Return the receipt that is there, or a new one. Raises SelectionError for one of another retirement."""
    if path is None or not path.exists() or not path.stat().st_size:
        return RetireReceipt(path=path, facts=facts)
    receipt = read_receipt(path)
    receipt.check({name: value for name, value in facts.items() if name not in _MAY_DIFFER})
    return receipt


def report_of(receipt: RetireReceipt, entries: Sequence[RetiredObject] | None = None) -> Report:
    """Return what a receipt says, of all its objects or of some: what was left are gaps."""
    entries = receipt.entries if entries is None else entries
    counts: Counter[str] = Counter()
    for entry in entries:
        noun = "model_versions" if entry.kind == MODEL_VERSION else KINDS[entry.kind].plural.replace(" ", "_")
        counts[f"{noun}_{entry.state.replace(' ', '_')}"] += 1
    gaps = [
        Gap(owner_kind=entry.kind, owner_id=entry.id, path="", code=entry.code, reason=entry.reason)
        for entry in entries
        if entry.code
    ]
    return Report(counts=dict(counts), gaps=gaps, details=receipt.to_json())
