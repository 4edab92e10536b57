"""Files of versions of registered models: ``version_models/<version>`` and ``version_model``.

They are copies of what a run or a logged model holds, which mostly is in the export, too, and then says it all. Only
what is nowhere else is carried as the registered model's own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

from mlflow_archive.artifact_roots.local import FoundFile
from mlflow_archive.format.gaps import ARTIFACT_MISSING
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim.documents import read_document
from mlflow_archive.sources.exim.entries import ModelEntry, VersionEntry, number_of
from mlflow_archive.sources.exim.files import downloaded_files, files_of
from mlflow_archive.sources.exim.index import Index
from mlflow_archive.sources.exim.layout import MODEL_FILE, VERSION_FILE, VERSION_MODEL, VERSION_MODELS
from mlflow_archive.sources.reading.records import Entity

_OF_DOWNLOAD: Final = "registered_model_meta"
"""MLflow puts it beside what it downloads of a version; no server holds it."""

Carries = Callable[[str, Collection[str]], Collection[str]]
"""Given a kind and ids, returns those that come."""


def add_version_files(
    entity: Entity, entries: Sequence[ModelEntry], index: Index, selection: Selection, carries: Carries
) -> None:
    """Add the files of versions that are nowhere else; a version without any files becomes a gap."""
    sources = {str(row["version"]): _text(row["source"]) for row in entity.rows.get("model_versions", ())}
    versions = _versions(entries)
    for number in filter(versions.__contains__, sources):
        version = versions[number]
        files = [*chain.from_iterable(files_of(folder, entity.gaps.add) for folder in _folders(entries, number))]
        own = [file for file in files if file.path != _OF_DOWNLOAD]
        if _places(own) - _places(_elsewhere(version, sources[number], index, carries)):
            entity.take_files(own, selection, prefix=f"{number}/")
        elif not (files or version.run_id or version.model_id):
            entity.gaps.add(number, ARTIFACT_MISSING, "the export holds no files of this version")


def _places(files: Iterable[FoundFile]) -> set[tuple[str, int]]:
    return {(file.path, file.size) for file in files}


def _versions(entries: Sequence[ModelEntry]) -> dict[str, VersionEntry]:
    """Return the versions that may have files, by number, as the first document of each has them."""
    versions: dict[str, VersionEntry] = {}
    for entry in entries:
        for version in entry.versions if entry.path.name in (MODEL_FILE, VERSION_FILE) else ():
            versions.setdefault(str(number_of(version.number)), version)
    return versions


def _folders(entries: Sequence[ModelEntry], number: str) -> Iterator[Path]:
    for entry in entries:
        folder = entry.path.parent
        if entry.path.name == MODEL_FILE:
            version_folder = folder / VERSION_MODELS / number
        elif entry.path.name == VERSION_FILE and str(number_of(entry.versions[0].number)) == number:
            version_folder = folder / VERSION_MODEL
        else:
            continue
        if version_folder.is_dir():
            yield version_folder
            return


def _elsewhere(version: VersionEntry, source: str | None, index: Index, carries: Carries) -> list[FoundFile]:
    """Return the files that come with what a version was made of."""
    logged = index.logged_models.get(version.model_id or "")
    if logged is not None and carries(LOGGED_MODEL, [logged.model_id]):
        location = read_document(logged.path, index.root).body.get("artifact_location")
        return downloaded_files(logged.path.parent, _text(location), logged.path.name, _ignore)
    run = index.runs.get(version.run_id or "")
    if run is None or not carries(RUN, [run.run_id]):
        return []
    below = _below_run(run.run_id, source)
    return [
        replace(file, path=file.path.removeprefix(below))
        for folder in run.artifacts
        for file in files_of(folder, _ignore)
        if file.path.startswith(below)
    ]


def _below_run(run_id: str, source: str | None) -> str:
    """Return the path of a model among the artifacts of its run, with a ``/`` behind it; '' for all of them."""
    text = (source or "").rstrip("/")
    for mark in (f"runs:/{run_id}/", f"/{run_id}/artifacts/"):
        _, separator, rest = text.partition(mark)
        if separator:
            return rest + "/"
    return text + "/" if text and "/" not in text else ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _ignore(path: str, code: str, reason: str) -> None:
    """Leave it: it is reported with the run or logged model."""
