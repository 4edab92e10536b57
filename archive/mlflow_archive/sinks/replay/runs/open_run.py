"""A run on its way into the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow_archive.kinds import RUN
from mlflow_archive.sinks.replay.places.experiments import Bound
from mlflow_archive.sinks.replay.runs.planned_run import PlannedRun
from mlflow_archive.sinks.replay.target.target import ArtifactPlace, TargetRun
from mlflow_archive.sinks.replay.writing.artifact_copy import ArtifactOwner


@dataclass(slots=True, kw_only=True)
class OpenRun:
    """A run under way. ``outcome`` is created, updated, skipped or refused; ``there`` what the target holds of it.

    ``ended`` says that all of it was written, but what waits for other objects.
    """

    plan: PlannedRun
    bound: Bound
    outcome: str
    there: TargetRun | None
    found: bool
    place: ArtifactPlace | None = None
    sizes: Mapping[str, int] | None = None
    ended: bool = False

    @property
    def owner(self) -> ArtifactOwner:
        target_id = "" if self.there is None else self.there.run_id
        return ArtifactOwner(kind=RUN, source_id=self.plan.source_id, mapped={self.plan.source_id: target_id}.get)
