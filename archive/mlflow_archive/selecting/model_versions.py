"""Where the files of model versions lie, and which run or logged model carries them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mlflow_archive.format.location import below
from mlflow_archive.kinds import LOGGED_MODEL, REGISTERED_MODEL, RUN
from mlflow_archive.kinds.version_source import NO_FILES, TOMBSTONE, ids_named, parse_reference

PROMPT_EXPERIMENTS: Final = "_mlflow_experiment_ids"
"""The tag of a prompt that lists the experiments in which MLflow's UI shows it."""
_LONGEST_CHAIN: Final = 20

Version = Mapping[str, Any]
"""A row of ``model_versions``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDependencies:
    """Some registered models by name, the runs and logged models that their versions stand on.

    ``experiments`` are those to which prompts among them belong.
    """

    names: tuple[str, ...]
    runs: frozenset[str]
    logged_models: frozenset[str]
    experiments: frozenset[str] = frozenset()


class Registry(Protocol):
    """What must be known of a source to find the files of its model versions."""

    def roots(self, kind: str, ids: Collection[str]) -> Mapping[str, str | None]:
        """Return artifact roots by id, of those of some runs or logged models that exist."""

    def makers(self, models: Collection[str]) -> set[str]:
        """Return the runs that made some logged models."""

    def version(self, workspace: str, name: str, version: int | None, alias: str | None) -> Version | None:
        """Return a version by number or alias, None where it is not there or deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPlace:
    """Where the files of a version lie: ``uri``, below the root of ``owner`` (kind, id) where it is one's.

    ``uri`` is None where that is unknown; ``problem`` says why.
    """

    uri: str | None
    owner: tuple[str, str] | None = None
    problem: str = ""


def has_files(version: Version) -> bool:
    """Return whether a version is one of a model, not of a prompt, and not deleted."""
    return version["current_stage"] != TOMBSTONE and location_of(version) not in (None, "", *NO_FILES)


def location_of(version: Version) -> str | None:
    """Return what MLflow reads a version from."""
    location: str | None = version["storage_location"] or version["source"]
    return location


class VersionPlaces:
    """Finds the places of some versions; asks the registry for all they name at once."""

    def __init__(self, registry: Registry, versions: Sequence[Version]) -> None:
        self._registry = registry
        self._roots: dict[str, dict[str, str | None]] = {RUN: {}, LOGGED_MODEL: {}}
        self._learn(versions)

    def of(self, version: Version) -> VersionPlace:
        """Return where the files of a version lie."""
        row = version
        for _ in range(_LONGEST_CHAIN):
            location = location_of(row) or ""
            reference = parse_reference(location)
            if reference is None:
                return self._plain(location, row)
            if reference.kind != REGISTERED_MODEL:
                owner = (reference.kind, reference.id)
                root = self._roots[reference.kind].get(reference.id)
                if root is None:
                    noun = reference.kind.replace("_", " ")
                    return VersionPlace(uri=None, owner=owner, problem=f"the {noun} {reference.id} is not there")
                if ".." in reference.path.split("/"):
                    return VersionPlace(uri=None, owner=owner, problem=f"{location} leads out of what it names")
                return VersionPlace(uri=f"{root.rstrip('/')}/{reference.path}".rstrip("/"), owner=owner)
            workspace = row["workspace"]
            next_row = self._registry.version(workspace, reference.id, reference.version, reference.alias)
            if next_row is None:
                return VersionPlace(uri=None, problem=f"{location} is not there")
            row = next_row
            self._learn([row])
        return VersionPlace(uri=None, problem="its source leads from version to version without end")

    def stands_on(self, version: Version) -> set[tuple[str, str]]:
        """Return the runs and logged models, as (kind, id), that a version names or whose files it has."""
        owners = {(RUN, version["run_id"])} if version["run_id"] else set()
        for column in ("source", "storage_location"):
            place = self.of({**version, "source": version[column], "storage_location": None})
            if version[column] and place.owner is not None:
                owners.add(place.owner)
        return {(kind, owner_id) for kind, owner_id in owners if owner_id in self._roots[kind]}

    def _learn(self, versions: Sequence[Version]) -> None:
        locations = [row[column] for row in versions for column in ("source", "storage_location")]
        references = list(filter(None, map(parse_reference, filter(None, locations))))
        for kind, known in self._roots.items():
            ids = ids_named(locations, kind) | {reference.id for reference in references if reference.kind == kind}
            if kind == RUN:
                ids |= set(filter(None, (row["run_id"] for row in versions)))
            if missing := ids - known.keys():
                known.update(self._registry.roots(kind, missing))

    def _plain(self, location: str, row: Version) -> VersionPlace:
        """Return a place as it is stated, with the run or logged model whose root it lies below."""
        for kind, known in self._roots.items():
            candidates = ids_named([location], kind) | ({row["run_id"]} if kind == RUN and row["run_id"] else set())
            for owner_id in sorted(candidates):
                root = known.get(owner_id)
                if root and below(location, root) is not None:
                    return VersionPlace(uri=location, owner=(kind, owner_id))
        return VersionPlace(uri=location)


def prompt_experiments(values: Iterable[str | None]) -> frozenset[str]:
    """Return the ids of experiments in values of the tag PROMPT_EXPERIMENTS."""
    return frozenset(part.strip() for value in values for part in (value or "").split(",") if part.strip())


def dependencies_of(
    names: Sequence[str],
    versions: Sequence[Version],
    registry: Registry,
    experiments: frozenset[str] = frozenset(),
) -> ModelDependencies:
    """Return what the versions of some registered models stand on; deleted versions stand on nothing."""
    versions = [version for version in versions if has_files(version)]
    places = VersionPlaces(registry, versions)
    owners = {owner for version in versions for owner in places.stands_on(version)}
    models = frozenset(model_id for kind, model_id in owners if kind == LOGGED_MODEL)
    runs = {run_id for kind, run_id in owners if kind == RUN} | registry.makers(models)
    return ModelDependencies(names=tuple(names), runs=frozenset(runs), logged_models=models, experiments=experiments)
