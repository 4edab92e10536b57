"""What a user asked to carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import REGISTERED_MODEL
from mlflow_archive.selecting.chosen_versions import VersionChoice

ALL: Final = "all"
MODELS: Final = "models"
PROMPTS: Final = "prompts"
REGISTRY: Final = (ALL, MODELS, PROMPTS)
"""Which of the registry's objects a selection may be of."""
_LISTS: Final = (
    "experiments",
    "runs",
    "traces",
    "models",
    "evaluation_datasets",
    "versions",
    "stages",
    "kinds",
    "artifact_globs",
)


def refuse_text(name: str, value: object) -> None:
    """Raise TypeError for one text where several are expected: each of its letters would count as one."""
    if isinstance(value, str | bytes):
        raise TypeError(f"{name} takes a list of texts; found the text {value!r}, so give [{value!r}]")


def refuse_texts_as_pairs(name: str, value: Iterable[object]) -> None:
    """Raise TypeError where pairs of texts are expected and one is a text, or all of them are."""
    if any(isinstance(pair, str) for pair in value):
        raise TypeError(f"{name} takes pairs, as [('/old', '/new')]; found {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to carry; every option leaves out more, and every source answers alike (``selector``).

    ``experiments`` holds ids, names or globs over names, ``runs`` ids, ``models`` names of registered models and
    prompts or globs over them, ``evaluation_datasets`` ids, names or globs of these, ``traces`` ids, of a database or
    an archive. What is named, by these or by ``filter_string``, comes with what belongs to it, and nothing else does:
    with runs their logged models and traces, with models the runs and logged models of their versions. The
    experiments of all that come, those to which prompts and evaluation datasets belong, too. With ``parents`` or
    ``children`` the runs that are named come with those above or below them, on every level, whatever a filter says
    of these. ``versions`` (``3,5`` or ``NAME=3,5``), ``stages`` and ``latest_versions`` (so many of what the others
    take) choose among the versions of registered models and prompts; prompts have no stages, and are not cut by them.
    ``registry`` says whether ``models`` come, ``prompts``, or ``all``. ``filter_string`` and ``trace_filter`` are in
    MLflow's search syntax. ``kinds`` are those of ``kinds`` that are taken; empty means all. Experiments, workspaces
    and datasets come with what may lie in them, whatever ``kinds`` says. With ``unknown_tables`` a database's tables
    that this version does not know are carried as they are. Times are milliseconds since the epoch, UTC, of the start
    of runs and of the request of traces; ``since_ms`` is inclusive, ``until_ms`` exclusive. ``artifact_globs`` match
    whole artifact paths, ``*`` crosses ``/``. ``on_missing`` is what becomes of some of the experiments, runs,
    models, versions or evaluation datasets that are named and are not there: ``skip`` makes them gaps of an export,
    ``fail`` raises SelectionError, as an archive always does, and every source where none of those named is there.

    Raises SelectionError for what has no meaning: versions where no model is selected, relatives of no run.
    """

    experiments: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    evaluation_datasets: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    latest_versions: int | None = None
    registry: str = ALL
    parents: bool = False
    children: bool = False
    filter_string: str | None = None
    trace_filter: str | None = None
    kinds: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    deleted: bool = True
    on_missing: str = "skip"
    artifacts: bool = True
    artifact_globs: tuple[str, ...] = ()
    max_artifact_size: int | None = None
    unknown_tables: bool = False

    def __post_init__(self) -> None:
        for name in _LISTS:
            refuse_text(name, getattr(self, name))
        if self.registry not in REGISTRY:
            raise SelectionError(f"registry is {self.registry!r}, expected one of {', '.join(REGISTRY)}")
        if self.latest_versions is not None and self.latest_versions < 1:
            raise SelectionError(f"latest_versions is {self.latest_versions}, expected 1 or more")
        if self.chooses_versions and not self._takes_models:
            raise SelectionError("versions are chosen of registered models, and none comes; name some: --model")
        if self.relatives and not self._names_runs_or_models:
            raise SelectionError("parents and children come with runs that are named: --run, --filter or --model")
        _ = self.version_choice

    @property
    def _takes_models(self) -> bool:
        """Whether registered models come, if there are any."""
        return bool(self.models) or (self.everything and self.wants_kind(REGISTERED_MODEL))

    @property
    def _names_runs_or_models(self) -> bool:
        """Whether runs are named, by id or filter, or models, with which runs come."""
        return bool(self.runs or self.filter_string or self.models)

    @property
    def only_named(self) -> bool:
        """Whether runs, traces, models or evaluation datasets are named, and nothing else comes."""
        return self._names_runs_or_models or bool(self.evaluation_datasets or self.traces)

    @property
    def names_runs(self) -> bool:
        """Whether the runs that come must be known by id before the first is read; a filter alone judges on the way."""
        return self.only_named and bool(self.runs or self.models or self.relatives or not self.filter_string)

    @property
    def relatives(self) -> bool:
        """Whether the runs above or below those that are named come, too."""
        return self.parents or self.children

    @property
    def chooses_versions(self) -> bool:
        """Whether not all versions of the registered models come."""
        return bool(self.versions or self.stages or self.latest_versions is not None)

    @property
    def version_choice(self) -> VersionChoice:
        """Which versions come. Raises SelectionError for a text that says none."""
        return VersionChoice(self.versions, self.stages, self.latest_versions)

    @property
    def whole_registry(self) -> bool:
        """Whether of the registry all comes, if anything does."""
        return self.registry == ALL and not self.chooses_versions

    @property
    def cut_by_time(self) -> bool:
        """Whether runs and traces come by their time."""
        return self.since_ms is not None or self.until_ms is not None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out by experiment, name or time: what lies in no experiment comes only then."""
        return not (self.experiments or self.only_named or self.cut_by_time)

    @property
    def leaves_out_runs(self) -> bool:
        """Whether runs are left out by time or stage: a logged model that one of these made comes only if a run that
        is selected names it.
        """
        return self.cut_by_time or not self.deleted

    def matches_experiment(self, experiment_id: str, name: str) -> bool:
        """Return whether an experiment is selected; with no patterns all are."""
        return not self.experiments or any(
            pattern in (experiment_id, name) or fnmatchcase(name, pattern) for pattern in self.experiments
        )

    def unmatched_experiments(self, experiments: Sequence[tuple[str, str]]) -> tuple[str, ...]:
        """Return the patterns that none of the (id, name) pairs matches."""
        return _unmatched(self.experiments, experiments)

    def matches_model(self, name: str) -> bool:
        """Return whether a registered model is selected by name; with no patterns all are."""
        return not self.models or any(pattern == name or fnmatchcase(name, pattern) for pattern in self.models)

    def matches_dataset(self, dataset_id: str, name: str) -> bool:
        """Return whether an evaluation dataset is named."""
        return any(pattern in (dataset_id, name) or fnmatchcase(name, pattern) for pattern in self.evaluation_datasets)

    def unmatched_datasets(self, datasets: Sequence[tuple[str, str]]) -> tuple[str, ...]:
        """Return the patterns that none of the (id, name) pairs of evaluation datasets matches."""
        return _unmatched(self.evaluation_datasets, datasets)

    def unmatched_models(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the patterns that none of the names matches."""
        return tuple(
            pattern
            for pattern in self.models
            if not any(pattern == name or fnmatchcase(name, pattern) for name in names)
        )

    def wants_kind(self, kind: str) -> bool:
        """Return whether objects of a kind are selected at all."""
        return not self.kinds or kind in self.kinds

    def wants_artifact(self, path: str, size: int | None) -> bool:
        """Return whether an artifact is selected."""
        if not self.artifacts:
            return False
        if self.max_artifact_size is not None and size is not None and size > self.max_artifact_size:
            return False
        return not self.artifact_globs or any(fnmatchcase(path, glob) for glob in self.artifact_globs)


def _unmatched(patterns: Sequence[str], pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return the patterns that none of some pairs of id and name matches."""
    return tuple(
        pattern for pattern in patterns if not any(pattern in pair or fnmatchcase(pair[1], pattern) for pair in pairs)
    )
