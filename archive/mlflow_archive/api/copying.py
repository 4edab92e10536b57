"""A copy from one server, database or folder into another: an export into a temporary archive, which is replayed.

Why not straight: spec/decisions/0027.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from mlflow_archive.api.replaying import replay_archive
from mlflow_archive.api.verbs import ExportOptions, export
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Progress, Report
from mlflow_archive.format.location import without_password
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import ReplayOptions
from mlflow_archive.sinks.replay.asked import asked
from mlflow_archive.sinks.replay.locate import check_target
from mlflow_archive.storage.private_folder import PrivateFolder

FASTEST_LEVEL = 1
"""Of zstd: what is written is read once, a moment later."""

Watch = Callable[[str], AbstractContextManager[Progress]]
"""Opens what hears of the progress of ``export`` or ``import``."""


def copy_server(
    source: str,
    to: str,
    options: ReplayOptions,
    selection: Selection,
    *,
    reading: ExportOptions,
    watch: Watch,
    begun: Callable[[Callable[[], Report]], None] | None = None,
) -> Report:
    """Copy what is selected of one tracking URI into another; the report is that of the import.

    Its gaps are those of the export, too, and ``details["exported"]`` says what that found. ``begun`` is as for
    ``replay_archive``. A dry run reads no files. Raises what an export and an import raise; repeated, it goes on, as
    the import finds what is there.
    """
    _check_places(source, to, options)
    reading = replace(reading, jobs=options.jobs, level=FASTEST_LEVEL, append=False, dry_run=False)
    wanted = replace(selection, artifacts=False) if options.dry_run else selection
    with PrivateFolder() as folder:
        path = folder.path / "archive"
        with watch("export") as progress:
            check_target(to, options, progress=progress)
            exported = export(path, source, options=reading, selection=wanted, progress=progress)
        with open_archive(path) as archive, watch("import") as progress:
            imported = replay_archive(archive, to, options, progress=progress, begun=begun)
    return _of_both(exported, imported, selection)


def _check_places(source: str, to: str, options: ReplayOptions) -> None:
    """Raise SelectionError where everything would come a second time into the place that it is in."""
    named_otherwise = any(
        name.startswith("rename") or name.endswith(("prefix", "workspace")) for name in asked(options)
    )
    if source.rstrip("/") == to.rstrip("/") and not named_otherwise:
        raise SelectionError(
            f"source and target are both {without_password(source)}; within one server a copy needs other names, by "
            "a prefix, by renaming or by --workspace"
        )


def _of_both(exported: Report, imported: Report, selection: Selection) -> Report:
    gaps: list[dict[str, Any]] = [{name: getattr(gap, name) for name in gap.__slots__} for gap in exported.gaps]
    details = {
        **imported.details,
        "selection": asked(selection),
        "archive_id": exported.details["archive_id"],
        "exported": {"complete": exported.complete, "counts": exported.counts, "gaps": gaps},
    }
    return Report(counts=imported.counts, gaps=[*exported.gaps, *imported.gaps], details=details)
