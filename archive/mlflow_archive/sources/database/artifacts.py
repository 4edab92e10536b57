"""The files of logged models, traces and model versions: what lies at the locations that a database names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, Final

from mlflow_archive.artifact_roots import ArtifactRoots, Listing
from mlflow_archive.flow.chunk import ArtifactFile, Gap
from mlflow_archive.format.gaps import ARTIFACT_LISTING, ARTIFACT_MISSING
from mlflow_archive.kinds import LOGGED_MODEL, REGISTERED_MODEL, TABLES, TRACE, UPLOADS, named_owner, owner_id
from mlflow_archive.selecting.model_versions import Version, VersionPlace, VersionPlaces, has_files
from mlflow_archive.selecting.selection import Selection

ASKED_ALONE: Final = 16
"""So many traces of an experiment are listed one by one; then all of them at once."""


@dataclass(slots=True)
class _Prefix:
    """The traces of an experiment in an object store. ``listed`` is by trace; ``broken`` where it cannot be listed."""

    lock: Lock = field(default_factory=Lock)
    request_count: int = 0
    listed: dict[str, Listing] | None = None
    broken: Listing | None = None


class TraceFolders:
    """Lists trace by trace where that costs nothing, in object stores by the prefix that an experiment's traces have.

    A thousand objects are one request there, and a trace without files is another: one request for each of many
    traces would take longer than reading them. Used by several threads.
    """

    def __init__(self, roots: ArtifactRoots) -> None:
        self._roots = roots
        self._lock = Lock()
        self._prefixes: dict[str, _Prefix] = {}

    def list(self, uri: str, trace_id: str) -> Listing:
        """List what lies at the location of a trace; one without its id in it was not made by MLflow."""
        if trace_id not in uri.split("/") and not self._roots.is_given(uri):
            reason = f"{uri} is no place that MLflow gives to a trace; if its files are there, use --artifact-map"
            gap = Gap(owner_kind=TRACE, owner_id=trace_id, path="", code=ARTIFACT_LISTING, reason=reason)
            return Listing(gaps=[gap])
        ending = f"/{trace_id}/artifacts"
        location = uri.rstrip("/")
        if not location.endswith(ending) or not self._roots.is_in_bucket(uri):
            return self._roots.list(uri, owner_kind=TRACE, owner_id=trace_id)
        root = location.removesuffix(ending)
        with self._lock:
            prefix = self._prefixes.setdefault(root, _Prefix())
            prefix.request_count += 1
            alone = prefix.request_count <= ASKED_ALONE
        if alone:
            return self._roots.list(uri, owner_kind=TRACE, owner_id=trace_id)
        with prefix.lock:
            if prefix.listed is None:
                self._list_all(root, prefix)
        if prefix.broken is not None:
            gaps = [replace(gap, owner_id=trace_id) for gap in prefix.broken.gaps]
            return Listing(gaps=gaps)
        return (prefix.listed or {}).get(trace_id, Listing())

    def _list_all(self, root: str, prefix: _Prefix) -> None:
        listing = self._roots.list(root, owner_kind=TRACE, owner_id="")
        by_trace: dict[str, Listing] = {}
        for file in listing.files:
            trace_id, _, path = file.path.partition("/artifacts/")
            if path:
                by_trace.setdefault(trace_id, Listing()).files.append(replace(file, owner_id=trace_id, path=path))
        for gap in listing.gaps:
            trace_id, _, path = gap.path.partition("/artifacts/")
            if path:
                by_trace.setdefault(trace_id, Listing()).gaps.append(replace(gap, owner_id=trace_id, path=path))
            elif not gap.path:
                prefix.broken = Listing(gaps=[gap])
        prefix.listed = by_trace


ARTIFACT_TAG: Final = "mlflow.artifactLocation"
ARCHIVE_TAG: Final = "mlflow.trace.archiveLocation"
_HOME_TAG: Final = "mlflow.trace.spansLocation"
_IN_DATABASE: Final = "TRACKING_STORE"
_ARCHIVED: Final = "ARCHIVE_REPO"
_SPANS_FILE: Final = "traces.json"
_ARCHIVE_FILE: Final = "traces.pb"
_EXTERNAL_TAG: Final = "mlflow.model.isExternal"
_MODEL_FILE: Final = "MLmodel"

Row = Mapping[str, Any]
Carries = Callable[[str, Collection[str]], Collection[str]]
"""Given a kind, run or logged model, and some ids, returns those of them that are carried."""


@dataclass(slots=True)
class FoundFiles:
    """Selected files by their owner, and gaps. ``listed`` are the paths of all files of traces; ``unreachable`` are
    traces whose files, if they have any, cannot be listed."""

    files: dict[str, list[ArtifactFile]] = field(default_factory=dict)
    listed: dict[str, set[str]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    unreachable: dict[str, Gap] = field(default_factory=dict)

    def add_missing(self, kind: str, owner: str, path: str, reason: str) -> None:
        """Add a gap for a file, or for all files of an owner, that should be there and is not."""
        self.gaps.append(Gap(owner_kind=kind, owner_id=owner, path=path, code=ARTIFACT_MISSING, reason=reason))

    def has(self, owner: str, path: str) -> bool:
        """Return whether an owner has a file of that path."""
        return any(file.path == path for file in self.files.get(owner, ()))


class ArtifactFinder:
    """Lists what lies where, used by several threads. Only selected files are given, but all missing ones are gaps.

    ``with_spans`` says which of some traces have spans in the database.
    """

    def __init__(
        self, roots: ArtifactRoots, selection: Selection, with_spans: Callable[[Sequence[str]], set[str]]
    ) -> None:
        self._roots, self._selection, self._with_spans = roots, selection, with_spans
        self._folders = TraceFolders(roots)

    def of_logged_models(self, models: Iterable[Row], tags: Iterable[Row]) -> FoundFiles:
        """Find the files of logged models. One that is ready and of MLflow's making has files."""
        finds = FoundFiles()
        external = {row["model_id"] for row in tags if row["key"] == _EXTERNAL_TAG}
        for row in models:
            model_id, location = row["model_id"], row["artifact_location"]
            if not location:
                continue
            listing = self._roots.list(location, owner_kind=LOGGED_MODEL, owner_id=model_id)
            finds.gaps += listing.gaps
            if listing.is_empty and row["status"] == "READY" and model_id not in external:
                finds.add_missing(LOGGED_MODEL, model_id, "", f"it is ready, but nothing is at {location}")
            finds.files[model_id] = listing.selected(self._selection)
        return finds

    def of_traces(self, traces: Sequence[Row], tags: Iterable[Row]) -> FoundFiles:
        """Find the files of traces: their spans where these are not in the database, and attachments."""
        by_trace = _tags_by_trace(traces, tags)
        finds = FoundFiles()
        spanless: list[str] = []
        for row in traces:
            own = by_trace[row["trace_id"]]
            self._of_trace(row["trace_id"], own, finds)
            finished = row["state"] != "IN_PROGRESS"
            if own.get(_HOME_TAG) not in (_IN_DATABASE, _ARCHIVED) and finished:
                spanless.append(row["trace_id"])
        self._check_spans([trace_id for trace_id in spanless if not finds.has(trace_id, _SPANS_FILE)], by_trace, finds)
        for trace_id, files in finds.files.items():
            finds.listed[trace_id] = {file.path for file in files}
            finds.files[trace_id] = Listing(files=files).selected(self._selection)
        return finds

    def _of_trace(self, trace_id: str, tags: Mapping[str, str], finds: FoundFiles) -> None:
        home = tags.get(_HOME_TAG)
        if location := tags.get(ARTIFACT_TAG):
            listing = self._folders.list(location, trace_id)
            finds.files[trace_id] = list(listing.files)
            if home in (_IN_DATABASE, _ARCHIVED) and _out_of_reach(listing.gaps):
                finds.unreachable[trace_id] = listing.gaps[0]
            else:
                finds.gaps += listing.gaps
        if home == _ARCHIVED and not finds.has(trace_id, _ARCHIVE_FILE):
            self._of_archive(trace_id, tags.get(ARCHIVE_TAG), finds)

    def _of_archive(self, trace_id: str, location: str | None, finds: FoundFiles) -> None:
        if not location:
            finds.add_missing(TRACE, trace_id, _ARCHIVE_FILE, f"its spans are archived, but no {ARCHIVE_TAG}")
            return
        listing = self._folders.list(location, trace_id)
        finds.gaps += listing.gaps
        archived = [file for file in listing.files if file.path == _ARCHIVE_FILE]
        finds.files.setdefault(trace_id, []).extend(archived)
        if not archived and not listing.gaps:
            reason = f"its spans are archived, but it is not at {location}"
            finds.add_missing(TRACE, trace_id, _ARCHIVE_FILE, reason)

    def _check_spans(self, traces: Sequence[str], tags: Mapping[str, Mapping[str, str]], finds: FoundFiles) -> None:
        """Add a gap for each trace whose spans are neither in the database nor in a file."""
        reported = {gap.owner_id for gap in finds.gaps}
        missing = [trace_id for trace_id in traces if trace_id not in reported]
        if not missing:
            return
        with_spans = self._with_spans(missing)
        for trace_id in missing:
            if trace_id not in with_spans:
                location = tags[trace_id].get(ARTIFACT_TAG)
                where = f"it is not at {location}" if location else f"it has no {ARTIFACT_TAG}"
                reason = f"its spans are not in the database, and {where}"
                finds.add_missing(TRACE, trace_id, _SPANS_FILE, reason)

    def of_versions(self, versions: Sequence[Version], places: VersionPlaces, carries: Carries) -> FoundFiles:
        """Find the files of versions that no run and no logged model carries; of others, check that they exist."""
        finds = FoundFiles()
        placed = [(row, places.of(row)) for row in versions if has_files(row)]
        owners: dict[str, set[str]] = {}
        for _, place in placed:
            if place.owner is not None:
                owners.setdefault(place.owner[0], set()).add(place.owner[1])
        carried = {(kind, owner_id) for kind, ids in owners.items() for owner_id in carries(kind, ids)}
        for row, place in placed:
            owner = named_owner(row["name"], row["workspace"])
            self._of_version(row, place, owner, finds, carried=place.owner in carried)
        return finds

    def of_uploads(self, kind: str, versions: Iterable[Row]) -> FoundFiles:
        """Find the files that somebody uploaded to versions of a kind; those of others lie outside of MLflow."""
        finds, uploads = FoundFiles(), UPLOADS[kind]
        for row in filter(uploads.has_files, versions):
            owner = owner_id(TABLES[uploads.versions], row)
            self._of_version_at(uploads.stored_at(row), kind, owner, str(row["version"]), finds)
        return finds

    def _of_version(self, row: Version, place: VersionPlace, owner: str, finds: FoundFiles, *, carried: bool) -> None:
        version = str(row["version"])
        if place.uri is None:
            finds.add_missing(REGISTERED_MODEL, owner, version, place.problem)
            return
        if place.owner is None and not self._may_follow(place.uri):
            reason = (
                f"its files should lie at {place.uri}, where no model is; if they are elsewhere, use --artifact-map"
            )
            finds.add_missing(REGISTERED_MODEL, owner, version, reason)
            return
        self._of_version_at(place.uri, REGISTERED_MODEL, owner, version, finds, carried=carried)

    def _of_version_at(
        self, uri: str, kind: str, owner: str, version: str, finds: FoundFiles, *, carried: bool = False
    ) -> None:
        listing = self._roots.list(uri, owner_kind=kind, owner_id=owner)
        if listing.is_empty:
            finds.add_missing(kind, owner, version, f"nothing is at {uri}")
        if carried:
            return  # what could not be listed is a gap of the run or logged model
        listing = listing.below(version)
        finds.gaps += listing.gaps
        finds.files.setdefault(owner, []).extend(listing.selected(self._selection))

    def _may_follow(self, uri: str) -> bool:
        """Return whether the source of a version, which anybody may set, may lead to a folder of this machine."""
        return self._roots.is_given(uri) or self._roots.exists(uri, _MODEL_FILE)


def _tags_by_trace(traces: Iterable[Row], tags: Iterable[Row]) -> dict[str, dict[str, str]]:
    by_trace: dict[str, dict[str, str]] = {row["trace_id"]: {} for row in traces}
    for row in tags:
        by_trace.get(row["trace_id"], {})[row["key"]] = row["value"] or ""
    return by_trace


def _out_of_reach(gaps: Sequence[Gap]) -> bool:
    return len(gaps) == 1 and (gaps[0].code, gaps[0].path) == (ARTIFACT_LISTING, "")
