"""Which runs of the target can be written to, and which are deleted in the end.

A run that is deleted at the source stays active until all is written that belongs to it.
"""

from __future__ import annotations

from threading import Lock

from mlflow_archive.sinks.replay.places.experiments import STATE, Bound, ExperimentMap
from mlflow_archive.sinks.replay.target.target import Target
from mlflow_archive.sinks.replay.writing.rows import Row


class WritableRuns:
    """Keeps runs of the target active. Usable by several threads.

    ``ending_deleted`` are the source ids of the runs that end deleted, alone or with their experiment.
    """

    def __init__(self, target: Target, experiments: ExperimentMap, *, dry_run: bool) -> None:
        self._target = target
        self._experiments = experiments
        self._dry_run = dry_run
        self._lock = Lock()
        self._active: set[str] = set()
        self._to_delete: set[str] = set()
        self.ending_deleted: set[str] = set()

    def learn(self, run: Row) -> None:
        """Note of a row of ``runs`` whether it ends deleted."""
        experiment = self._experiments.rows.get(run["experiment_id"], {})
        if "deleted" in (run["lifecycle_stage"], experiment.get("lifecycle_stage")):
            self.ending_deleted.add(run["run_id"])

    def complete(self, run_id: str) -> None:
        """Take the mark off a run of the target."""
        self._target.delete_tag(run_id, STATE)

    def wrote(self, run_id: str, *, deleted: bool) -> None:
        """Note that a run of the target is active; ``deleted`` where it must not be so in the end."""
        self._active.add(run_id)
        if deleted:
            self._to_delete.add(run_id)

    def make_writable(self, bound: Bound, run_id: str) -> None:
        """Make a run of the target active that is deleted there, until ``delete``, for what belongs to it."""
        with self._lock:
            if run_id in self._active or self._dry_run:
                return
            self._experiments.make_writable(bound)
            deleted = self._target.get_run(run_id).deleted
            if deleted:
                self._target.restore_run(run_id)
            self.wrote(run_id, deleted=deleted)

    def delete(self) -> None:
        """Delete the runs that must not stay."""
        for run_id in sorted(self._to_delete):
            self._target.delete_run(run_id)
        self._to_delete.clear()
        self._active.clear()
