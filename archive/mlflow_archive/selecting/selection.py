"""What a user asked to carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


def refuse_text(name: str, value: object) -> None:
    """Raise TypeError for one text where several are expected: each of its letters would count as one."""
    if isinstance(value, str | bytes):
        raise TypeError(f"{name} takes a list of texts; found the text {value!r}, so give [{value!r}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to carry; every option leaves out more, and every source answers alike (``selector``).

    ``experiments`` holds ids, names or globs over names, ``runs`` ids, ``models`` names of registered models or globs
    over them; with ``runs`` or ``filter_string`` only what belongs to some runs is taken: their logged models and
    traces; with ``models`` only these and what they stand on: the runs and logged models of their versions. The
    experiments of these come, and those to which prompts belong. ``filter_string`` and ``trace_filter`` are in MLflow's
    search syntax. ``kinds`` are those of ``kinds`` that are taken; empty means all. Experiments, workspaces and
    datasets come with what may lie in them, whatever ``kinds`` says. With ``unknown_tables`` a database's tables that
    this version does not know are carried as they are. Times are milliseconds since the epoch, UTC, of the start of
    runs and of the request of traces; ``since_ms`` is inclusive, ``until_ms`` exclusive. ``artifact_globs`` match whole
    artifact paths, ``*`` crosses ``/``. ``on_missing`` is what becomes of some of the experiments, runs or models that
    are named and are not there: ``skip`` makes them gaps of an export, ``fail`` raises SelectionError, as an archive
    always does, and every source where none of those named is there.
    """

    experiments: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
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
        for name in ("experiments", "runs", "models", "kinds", "artifact_globs"):
            refuse_text(name, getattr(self, name))

    @property
    def only_of_runs(self) -> bool:
        """Whether runs or models are named, by id, filter or name, so that only what belongs to them comes."""
        return bool(self.runs or self.filter_string or self.models)

    @property
    def cut_by_time(self) -> bool:
        """Whether runs and traces come by their time."""
        return self.since_ms is not None or self.until_ms is not None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out by experiment, run, model or time: what lies in no experiment comes only then."""
        return not (self.experiments or self.only_of_runs or self.cut_by_time)

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
        return tuple(
            pattern
            for pattern in self.experiments
            if not any(pattern in pair or fnmatchcase(pair[1], pattern) for pair in experiments)
        )

    def matches_model(self, name: str) -> bool:
        """Return whether a registered model is selected by name; with no patterns all are."""
        return not self.models or any(pattern == name or fnmatchcase(name, pattern) for pattern in self.models)

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
