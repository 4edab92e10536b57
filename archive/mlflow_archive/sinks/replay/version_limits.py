"""What older MLflow versions take of a text, read from their releases."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from mlflow_archive.sinks.replay.options import Limits, ReplayOptions

_VERSION: Final = re.compile(r"(\d+)\.(\d+)")
_BEFORE: Final[tuple[tuple[tuple[int, int], dict[str, int]], ...]] = (
    ((3, 16), {"experiment_tag": 5000}),
    ((3, 1), {"model_version_tag": 5000}),
    ((2, 17), {"tag": 5000}),
    ((2, 15), {"dataset_schema": 65535}),
    ((2, 8), {"param": 500}),
)
"""(version, the limits of all before it)"""


def limits_of(version: str | None) -> Limits:
    """Return the limits of an MLflow version such as ``2.9.2``; of one that is unknown, those of the newest."""
    found = _VERSION.match(version or "")
    if found is None:
        return Limits()
    number = (int(found[1]), int(found[2]))
    older = [limits for first, limits in _BEFORE if number < first]
    return replace(Limits(), **{name: limit for limits in older for name, limit in limits.items()})


def fitted_to(options: ReplayOptions, version: str | None) -> ReplayOptions:
    """Return options with the limits of a version, unless the caller has set others."""
    return replace(options, limits=limits_of(version)) if options.limits == Limits() else options
