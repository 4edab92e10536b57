"""Redact from Python; see ``mlflow-archive redact`` and ``export --redact``.

>>> report = ma.redact("backup.mlfa", "out.mlfa", rules="rules.toml", key_file="key")  # doctest: +SKIP
>>> report.counts, report.details["rules"]  # doctest: +SKIP
"""

from __future__ import annotations

import os
import time
from dataclasses import replace

from mlflow_archive import __version__
from mlflow_archive.api.progress import OnProgress, as_progress
from mlflow_archive.api.verbs import ExportOptions, export
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow import copy as loop
from mlflow_archive.flow.report import Progress, Report
from mlflow_archive.format.location import ArchivePath, ArchivePlace, archive_place, local_path
from mlflow_archive.format.redaction import Redaction
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.redacting.rules import RedactionRules, check_key, read_key, read_rules
from mlflow_archive.redacting.source import RedactedSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.storage.private_folder import PrivateFolder
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from mlflow_archive.writer.redacted import Redacted, without_names

PathLike = str | os.PathLike[str]


def redact(  # noqa: PLR0913 - each is an option of the command
    archive: ArchivePath,
    output: ArchivePath,
    rules: PathLike,
    *,
    key_file: PathLike | None = None,
    base: ArchivePath | None = None,
    jobs: int = 4,
    level: int = 3,
    progress: Progress | OnProgress | None = None,
) -> Report:
    """Write an archive without what the rules take out of another one, which stays as it is.

    ``rules`` is a file (docs/redaction.md), ``key_file`` one with the key of pseudonyms. What the new archive holds is
    what the newest exports of the old one do, as one export. In ``report.details``, ``erased`` counts the objects that
    went, by kind, ``not_there`` names those that the rules erase and the archive does not hold, and ``without_effect``
    the rules for values that found nothing. Raises SelectionError, ArchiveError, TargetError; then nothing was
    committed.
    """
    read, key = rules_and_key(rules, key_file)
    with open_archive(archive, base=base) as opened:
        return write_redacted(
            opened,
            archive_place(output),
            (read, key),
            options=ArchiveOptions(jobs=jobs, level=level),
            of_archive=opened.id,
            progress=as_progress(progress),
        )


def rules_and_key(rules: PathLike, key_file: PathLike | None) -> tuple[RedactionRules, bytes | None]:
    """Read a file of rules and one of a key. Raises SelectionError, also where a rule needs a key and there is none."""
    read = read_rules(local_path(rules))
    key = None if key_file is None else read_key(local_path(key_file))
    check_key(read, key)
    return read, key


def write_redacted(
    opened: Archive,
    target: ArchivePlace,
    rules: tuple[RedactionRules, bytes | None],
    *,
    options: ArchiveOptions,
    selection: Selection | None = None,
    of_archive: str | None = None,
    progress: Progress,
) -> Report:
    """Write an open archive without what rules take out; ``selection`` is by which that was just made."""
    adding = options.append or options.base is not None
    source = RedactedSource(opened, *rules, adding=adding)
    for name in source.absent:
        progress.note(f"the rules erase {name}, which is not there")
    redaction = Redaction(rules=rules[0].digest(rules[1]), names=rules[0].names, archive=of_archive)
    sink = ArchiveSink(
        target,
        options,
        tool=f"mlflow-archive {__version__}",
        clock_ms=lambda: time.time_ns() // 1_000_000,
        progress=progress,
        redacted=Redacted(
            redaction=redaction,
            source=source.stated_source,
            selection=without_names(opened.newest_export.selection),
            erased=source.erased_ids,
        ),
    )
    report = loop.copy(source, sink, selection, jobs=options.jobs, progress=progress)
    report.details |= {"rules": redaction.rules, "erased": source.erased, "not_there": list(source.absent)}
    report.details["without_effect"] = source.without_effect
    return report


def export_redacted(
    archive: ArchivePath, source: str | None, options: ExportOptions, selection: Selection, *, progress: Progress
) -> Report:
    """Export a source without what ``options.redact`` takes out: through an archive in a private temporary folder.

    What is erased is known only once all was read: a run may be named by one that came before it. Raises what an export
    and ``redact`` raise.
    """
    if options.dry_run or selection.unknown_tables:
        option = "--dry-run" if options.dry_run else "--unknown-tables"
        raise SelectionError(f"{option} does not go with --redact")
    rules = rules_and_key(options.redact or "", options.key_file)
    plain = replace(options, redact=None, key_file=None, append=False, base=None, level=1)
    with PrivateFolder() as folder:
        path = folder.path / "archive"
        export(path, source, options=plain, selection=selection, progress=progress)
        with open_archive(path) as opened:
            manner = {name: getattr(options, name) for name in ArchiveOptions.__slots__}
            return write_redacted(
                opened,
                archive_place(archive),
                rules,
                options=ArchiveOptions(**manner),
                selection=selection,
                progress=progress,
            )
