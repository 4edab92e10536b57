"""Which source runs are in the target already, by the tag that an import leaves on each."""

from __future__ import annotations

from threading import Lock

from mlflow_archive.format.source_tags import OWN_PREFIX, SOURCE_RUN_ID
from mlflow_archive.sinks.replay.places.experiments import STATE, Bound
from mlflow_archive.sinks.replay.target.target import PAGE, Target, TargetRun, tag_condition
from mlflow_archive.sinks.replay.writing.earlier_imports import Copies, CopiesByExperiment
from mlflow_archive.sinks.replay.writing.receipt import Receipt

# Written where source tags are off; it wins, as then source tags on a run are what an earlier import left.
IDENTITY = OWN_PREFIX + "source_run_id"


class RunIndex:
    """Source run id to target run id, read once for each experiment of the target. Usable by several threads."""

    def __init__(self, target: Target, receipt: Receipt) -> None:
        self._target = target
        self._receipt = receipt
        self._lock = Lock()
        self._copies = CopiesByExperiment(self._load)
        self._found: dict[str, str | None] = {}
        self._experiments: list[str] | None = None

    def lookup(self, bound: Bound, source_id: str) -> str | None:
        """Return the id of the target's copy of a source run in an experiment, or None."""
        return self._copies.lookup(bound, source_id)

    def search(self, bound: Bound, key: str, source_id: str) -> TargetRun | None:
        """Ask the target itself, as after a create of which nobody knows whether it was carried out."""
        if bound.target_id is None:
            return None
        found = self._target.tagged_runs(bound.target_id, key, source_id)
        return next((run for run in found if _identity(run) == source_id), None)

    def anywhere(self, source_id: str) -> str | None:
        """Ask the target for its copy of a source run, whatever experiment of it that is in, and keep the answer."""
        with self._lock:
            if source_id in self._found:
                return self._found[source_id]
            if self._experiments is None:
                self._experiments = [experiment.experiment_id for experiment in self._target.experiments()]
            experiments = self._experiments
        found = None
        for start in range(0, len(experiments), PAGE):
            found = found or self._among(experiments[start : start + PAGE], source_id)
        with self._lock:
            self._found[source_id] = found
        return found

    def _among(self, experiment_ids: list[str], source_id: str) -> str | None:
        for key in (SOURCE_RUN_ID, IDENTITY):
            body = {
                "experiment_ids": experiment_ids,
                "filter": tag_condition(key, source_id),
                "run_view_type": "ALL",
                "max_results": 1,
            }
            for run in self._target.api.post("/api/2.0/mlflow/runs/search", body).get("runs", []):
                return str(run["info"]["run_id"])
        return None

    def _load(self, experiment_id: str) -> Copies:
        copies = Copies("source run", self._receipt)
        for key in (SOURCE_RUN_ID, IDENTITY):
            for run in self._target.tagged_runs(experiment_id, key):
                copies.add(_identity(run), run.run_id, complete=STATE not in run.tags)
        return copies


def _identity(run: TargetRun) -> str | None:
    return run.tags.get(IDENTITY) or run.tags.get(SOURCE_RUN_ID)
