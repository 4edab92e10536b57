"""Where objects are retired: a server, or a database, and what must be known of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Progress
from mlflow_archive.flow.source import Source
from mlflow_archive.http.default_uri import DATABASE_SCHEMES, scheme_of
from mlflow_archive.optional import needing

ACTIVE: Final = "active"
DELETED: Final = "deleted"
HIDDEN_BY_SERVERS: Final = frozenset(
    {
        *(f"runs.{name}" for name in ("source_type", "source_name", "entry_point_name", "source_version", "run_uuid")),
        *(f"{table}.input_uuid" for table in ("model_inputs", "model_outputs", "dataset_inputs")),
    }
)
"""Columns of runs that only a database, or only a server, shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An object by kind and id, in the workspace it lies in, None where there are none.

    ``updated_ms`` is when a logged model was changed last, which MLflow's soft delete overwrites.
    """

    kind: str
    id: str
    workspace: str | None = None
    updated_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What the versions of registered models stand on: runs and logged models by id."""

    runs: frozenset[str]
    logged_models: frozenset[str]


Entangled = Mapping[str, Collection[str]]
"""By kind, ids of objects."""


class Site(Protocol):
    """A place where objects can be retired. Methods raise ServerError, StoreError, TargetError."""

    uri: str
    """Without credentials, for receipts and messages."""
    kinds: tuple[str, ...]
    """The kinds that have a soft delete there."""
    unseen: frozenset[str]
    """Those of them that it does not bring back, nor read among others, once they are deleted."""
    kind: str
    """``rest`` or ``database``, as a source calls itself."""

    def source(self) -> Source:
        """Return a source that reads it as it is now."""

    def stages(self, objects: Sequence[Address]) -> Mapping[tuple[str, str], str]:
        """Return ACTIVE or DELETED by kind and id, of those that are there."""

    def foundation(self, runs: Sequence[Address]) -> Foundation:
        """Return what versions of registered models stand on; of ``runs`` each is asked about by itself, too."""

    def entangled(self, kinds: Collection[str], experiments: Collection[str] | None) -> Entangled:
        """Return by kind the objects whose delete takes something of others along that no restore brings back.

        Of traces and review queues in some experiments, None for all.
        """

    def hide(self, address: Address) -> None:
        """Delete an object so that ``show`` brings it back. No error where it is deleted."""

    def show(self, address: Address) -> None:
        """Bring a deleted object back. No error where it is there; nothing where its kind is unseen."""

    def roots(self) -> Sequence[str]:
        """Return locations at which it keeps artifacts, as far as it tells."""

    def close(self) -> None:
        """Release connections."""


def locate_site(
    uri: str, *, artifact_map: Sequence[tuple[str, str]], artifacts_destination: str | None, progress: Progress
) -> Site:
    """Return the site of a tracking URI; nothing is contacted yet.

    Raises SelectionError for what cannot delete safely, MissingExtraError.
    """
    reading: dict[str, Any] = {
        "artifact_map": artifact_map,
        "artifacts_destination": artifacts_destination,
        "progress": progress,
    }
    scheme = scheme_of(uri)
    if scheme in ("http", "https"):
        from mlflow_archive.retiring.server_site import ServerSite  # noqa: PLC0415 - each brings what it needs

        return ServerSite(uri, reading)
    if scheme in (*DATABASE_SCHEMES, "postgres", "mariadb"):
        with needing("database", "retiring from a database"):
            from mlflow_archive.retiring.database_site import DatabaseSite  # noqa: PLC0415

        return DatabaseSite(uri, reading)
    raise SelectionError(
        f"{uri} is neither a server nor a database: a file store has no locks, so that what is deleted there may be "
        "written to meanwhile; give http(s)://… or the URI of a database"
    )
