"""What a replay writes into: any MLflow server or store, behind one interface.

Whatever the target says no to comes as ServerError: with a ``status`` of 4xx it is about this one request, without
one nothing more can be written. Ids here are the target's, never the source's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO, Protocol

from mlflow_archive.http.session import Params

Point = tuple[str, float, int, int]
"""(key, value, timestamp in ms, step)"""

NOBODY: Mapping[str, str] = MappingProxyType({})

MAX_METRICS = MAX_ENTITIES = 1000
MAX_PARAMS = MAX_TAGS = 100
PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetExperiment:
    """An experiment of the target."""

    experiment_id: str
    name: str
    deleted: bool
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRun:
    """A run of the target; ``end_time`` in ms. ``inputs`` are (dataset name, digest) pairs."""

    run_id: str
    experiment_id: str
    name: str | None
    user_id: str
    status: str
    start_time: int
    end_time: int | None
    deleted: bool
    artifact_uri: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    latest: Mapping[str, Point]
    inputs: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a run is created with; all its tags at once, as only then MLflow takes any key."""

    experiment_id: str
    name: str
    user_id: str
    start_time: int
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInput:
    """A dataset that a run took as input, with the tags of that input."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None
    profile: str | None
    tags: tuple[tuple[str, str], ...]


class TargetArtifacts(Protocol):
    """Where the artifacts of one run or logged model go. Paths are as MLflow shows them, ``/`` between parts."""

    def sizes(self) -> Mapping[str, int]:
        """Return path and size in bytes of every file that lies there."""

    def put(self, path: str, data: BinaryIO, size: int) -> None:
        """Write ``size`` bytes under exactly that path, replacing what is there.

        Raises ItemError where this path cannot be kept, TargetError where nothing can be written.
        """


class TargetExperiments(Protocol):
    """The experiments of a target."""

    def experiments(self) -> Iterator[TargetExperiment]:
        """Yield all experiments, deleted ones too."""

    def create_experiment(self, name: str, tags: Mapping[str, str]) -> str:
        """Create an experiment where the target keeps its artifacts by default, and return its id.

        Not repeated when its outcome is unknown: the caller looks it up by name.
        """

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        """Set a tag of an active experiment."""

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an active experiment, and its runs where the target ties them."""

    def restore_experiment(self, experiment_id: str) -> None:
        """Make a deleted experiment active."""


class TargetRuns(Protocol):
    """The runs of a target. All may be called from several threads."""

    def tagged_runs(self, experiment_id: str, key: str, value: str | None = None) -> Iterator[TargetRun]:
        """Yield the runs of an experiment, deleted ones too, that have a tag (of that value), oldest start first."""

    def get_run(self, run_id: str) -> TargetRun:
        """Return a run, deleted or not."""

    def create_run(self, new: NewRun) -> TargetRun:
        """Create a run. Not repeated when its outcome is unknown: the caller looks it up by a tag."""

    def log_batch(
        self, run_id: str, *, metrics: Sequence[Point], params: Sequence[tuple[str, str]], tags: Mapping[str, str]
    ) -> None:
        """Log at most MAX_METRICS, MAX_PARAMS and MAX_TAGS, MAX_ENTITIES in all; safe to repeat."""

    def log_inputs(self, run_id: str, inputs: Sequence[DatasetInput]) -> None:
        """Record dataset inputs; safe to repeat."""

    def update_run(self, run_id: str, *, status: str | None, end_time: int | None, name: str | None) -> None:
        """Set what is not None."""

    def delete_tag(self, run_id: str, key: str) -> None:
        """Delete a tag; not there is fine."""

    def delete_run(self, run_id: str) -> None:
        """Mark a run deleted."""

    def restore_run(self, run_id: str) -> None:
        """Mark a run active."""


class Api(Protocol):
    """MLflow's REST API as it is, for all other kinds; see ``tracking.session.TrackingSession``.

    Every refusal is a ServerError. Paths start with ``/api/`` or ``/ajax-api/`` and are percent-encoded.
    """

    def get(self, path: str, params: Params | None = None) -> Any: ...

    def post(self, path: str, body: Mapping[str, Any], *, idempotent: bool = True) -> Any: ...

    def post_bytes(self, path: str, data: bytes, headers: Mapping[str, str]) -> None: ...

    def patch(self, path: str, body: Mapping[str, Any], *, idempotent: bool = True) -> Any: ...

    def put_json(self, path: str, body: Mapping[str, Any]) -> Any: ...

    def delete(self, path: str, body: Mapping[str, Any] | None = None) -> Any: ...


class Target(TargetExperiments, TargetRuns, Protocol):
    """Any MLflow server or store. ``version`` is MLflow's there, known after ``check``, None where it does not say."""

    uri: str
    version: str | None

    @property
    def api(self) -> Api:
        """The API of the target, also of a store without a server."""

    def check(self) -> None:
        """Make first contact. Raises ServerError or TargetError where this is not a target."""

    def artifacts(self, run: TargetRun) -> TargetArtifacts:
        """Return where the artifacts of a run go. Raises ItemError where they cannot be written from here."""

    def place(self, uri: str, owner: Mapping[str, str] = NOBODY) -> TargetArtifacts:
        """Return the place of an artifact URI that the target gave out. Raises ItemError as ``artifacts`` does.

        ``owner`` is the run or logged model there whose artifacts these are: its ``run_id`` or ``model_id``.
        """

    def in_workspace(self, name: str | None) -> Target:
        """Return this target with all requests in one of its workspaces, None for as it is.

        The workspace must be there, and the target know workspaces. Closing what is returned does nothing.
        """

    def close(self) -> None:
        """Release connections; called once."""


def tag_condition(key: str, value: str | None) -> str:
    """Return MLflow's filter for runs that have a tag, or have it with that value."""
    if value is None:
        return f"tags.`{key}` LIKE '%'"
    mark = '"' if "'" in value else "'"
    return f"tags.`{key}` = {mark}{value}{mark}"


def json_number(value: float) -> float | str:
    """Return a number for JSON; what that cannot hold is spelled as protobuf's JSON does."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def entries_of(pairs: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags or params as MLflow's API takes them."""
    return [{"key": key, "value": value} for key, value in pairs.items()]


def pairs_of(entries: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return tags or params of an answer of MLflow's API, which leaves out empty values."""
    return {entry["key"]: entry.get("value", "") for entry in entries}
