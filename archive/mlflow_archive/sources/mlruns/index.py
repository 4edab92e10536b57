"""Looks up runs, logged models and versions of a store by their ids, and finds the ids that a location names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from mlflow_archive.sources.mlruns.layout import MODELS, TRASH, VERSION_PREFIX, find_experiments

_PART = re.compile(r"[/\\]+")
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_VERSION_URI = re.compile(r"models:/+([^/@]+)(?:/(\d+)|@[^/]+|/[A-Za-z]+)")


class StoreIndex:
    """The index of the store at ``root``. Answers are cached, as the same runs are looked up again and again."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._experiments = [experiment.path for experiment in find_experiments(root)]
        self.run = cache(self._run)
        self.logged_model = cache(self._logged_model)

    def runs_in(self, *locations: str | None) -> set[str]:
        """Return the ids of runs of this store that are parts of these locations, such as an artifact URI."""
        return {part for part in _parts(locations) if _RUN_ID.fullmatch(part) and self.run(part)}

    def logged_models_in(self, *locations: str | None) -> set[str]:
        """Return the ids of logged models of this store that are parts of these locations."""
        return {part for part in _parts(locations) if _MODEL_ID.fullmatch(part) and self.logged_model(part)}

    def names_version(self, location: str) -> bool:
        """Return whether a location is a ``models:/name/version`` (or alias) of a registered model of this store."""
        match = _VERSION_URI.fullmatch(location)
        if match is None:
            return False
        name, version = match.groups()
        folder = self._root / MODELS / name
        return (folder if version is None else folder / f"{VERSION_PREFIX}{version}").is_dir()

    def _run(self, run_id: str) -> Path | None:
        return _first(place for folder in self._experiments for place in (folder / run_id, folder / TRASH / run_id))

    def _logged_model(self, model_id: str) -> Path | None:
        return _first(experiment / MODELS / model_id for experiment in self._experiments)


def _first(places: Iterable[Path]) -> Path | None:
    return next((place for place in places if place.is_dir()), None)


def _parts(locations: Iterable[str | None]) -> set[str]:
    return {part for location in locations for part in _PART.split(unquote(location or ""))}
