"""Lists the folders of many traces, most of which have none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Final

from mlflow_archive.artifact_roots import ArtifactRoots, Listing
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.gaps import ARTIFACT_LISTING
from mlflow_archive.kinds import TRACE

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
        if not location.endswith(ending) or not self._roots.is_remote(uri):
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
