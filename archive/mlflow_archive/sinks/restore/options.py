"""What a caller may ask of a restore."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_archive.workers.pools import wants_workers


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """How to restore. ``artifact_root`` is the folder or URI that locations begin with, None to keep them.

    ``artifacts_destination`` is the folder or URI behind an ``mlflow-artifacts:`` root, as in ``mlflow server``.
    Without ``write_artifacts`` locations are rewritten all the same: the bytes are there already, or served from the
    archive. ``merge`` adds to a database that holds data what is missing there, by whole objects. A dry run writes
    nothing. ``jobs`` is how many threads work. With ``processes`` that many processes of this machine write the
    artifacts, with ``dask``, the address of a scheduler, the workers of a Dask cluster; SelectionError for both.
    """

    artifact_root: str | None = None
    artifacts_destination: str | None = None
    write_artifacts: bool = True
    merge: bool = False
    dry_run: bool = False
    jobs: int = 2
    processes: int = 0
    dask: str | None = None

    def __post_init__(self) -> None:
        wants_workers(self.processes, self.dask)
