"""Read a server through the REST source, as tests of every family do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlflow_archive.flow.chunk import ArtifactUnreadableError, Known, nothing_known
from mlflow_archive.http.retry import RetryPolicy
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.rest import RestSource
from tests.support.reading import Read, content, read_source

QUICK = RetryPolicy(first_delay=0.001, longest_delay=0.002)


def read(
    uri: str, known: Known = nothing_known, *, artifact_map: Sequence[tuple[str, str]] = (), **selection: Any
) -> Read:
    """Read what is selected of a server."""
    source = RestSource(TrackingSession(uri, retry=QUICK), artifact_map=artifact_map)
    return read_source(source, Selection(**selection), known)


def files(found: Read, kind: str, owner: str) -> dict[str, bytes | str]:
    """Return the artifacts of an object: bytes, or the gap code of what cannot be had, by path."""
    result: dict[str, bytes | str] = {}
    for file in found.artifacts:
        if (file.owner_kind, file.owner_id) == (kind, owner):
            try:
                result[file.path] = content(file)
            except ArtifactUnreadableError as exc:
                result[file.path] = exc.code
    return result


def ids(found: Read, table: str, column: str) -> set[str]:
    """Return the values of a column."""
    return {row[column] for row in found.tables[table]}
