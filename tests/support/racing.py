"""A target in which somebody else is always first: each object that has a name is made just before the import does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mlflow_archive.sinks.replay import Target

_NAMED: Final = ("registered-models/create", "label-schemas/create", "review-queues/create", "mcp-servers", "/versions")
"""How paths end that create what has a name, and nothing else."""


class Raced:
    """Both the target and its API; ``races`` counts what somebody else has made."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.races = 0

    def __getattr__(self, name: str) -> Any:
        of_target = getattr(self._target, name, None)
        return getattr(self._target.api, name) if of_target is None else of_target

    @property
    def api(self) -> Any:
        return self

    def post(self, path: str, body: Mapping[str, Any], *, idempotent: bool = True) -> Any:
        if not idempotent and path.endswith(_NAMED):
            self._target.api.post(path, body)
            self.races += 1
        return self._target.api.post(path, body, idempotent=idempotent)
