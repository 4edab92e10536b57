"""Which of MLflow's own experiment tags only say something.

MLflow's servers act on others: they start paid jobs by a schedule, or delete by a retention. What a later release acts
on is not known yet, so the list is of what is known to be harmless.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SYSTEM: Final = "mlflow."
_DESCRIBING: Final = frozenset(
    {
        "mlflow.note.content",
        "mlflow.user",
        "mlflow.experimentKind",
        "mlflow.experimentType",
        "mlflow.experiment.isGateway",
        "mlflow.experiment.primaryMetric.name",
        "mlflow.experiment.primaryMetric.greaterIsBetter",
        "mlflow.experiment.sessionHierarchy",
        "mlflow.experiment.sourceId",
        "mlflow.experiment.sourceName",
        "mlflow.experiment.sourceType",
        "mlflow.ownerEmail",
        "mlflow.ownerId",
    }
)
_DESCRIBING_PREFIXES: Final = ("mlflow.sharedViewState.", "mlflow.customView.view", "mlflow.source.")


def acting_tags(keys: Iterable[str]) -> frozenset[str]:
    """Return those of some tags of an experiment by which a server may act: MLflow's own that do not just describe."""
    return frozenset(
        key
        for key in keys
        if key.startswith(SYSTEM) and key not in _DESCRIBING and not key.startswith(_DESCRIBING_PREFIXES)
    )
