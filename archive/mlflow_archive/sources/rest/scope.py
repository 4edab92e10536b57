"""One workspace of a server and what of it is selected: what every family of objects is planned from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any, Final

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.flow.report import Progress
from mlflow_archive.format import gaps
from mlflow_archive.http.refusals import is_unknown_request
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.kinds import DEFAULT_WORKSPACE
from mlflow_archive.selecting.model_versions import ModelDependencies
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.rest.artifacts import Artifacts
from mlflow_archive.sources.rest.cells import Json, Row, gap_table, table_of
from mlflow_archive.sources.rest.lists import Loss

IDS_AT_ONCE: Final = 100
"""How many experiments one search names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some objects that can be read on their own: the payload of a shard. ``read`` is called once, by any thread."""

    name: str
    read: Callable[[Known], Iterator[Chunk]]


class Scope:
    """One workspace of a server and what of it is selected. Usable by several threads.

    ``workspace`` is its name, ``default`` where the server has none. ``experiments`` are those that are selected, as
    the server's JSON, ``all_experiments`` the ids of all. ``version`` is MLflow's, (0, 0) where it is not known.
    """

    def __init__(
        self,
        session: TrackingSession,
        selection: Selection,
        artifacts: Artifacts,
        progress: Progress,
        *,
        workspace: str = DEFAULT_WORKSPACE,
        version: tuple[int, int] = (0, 0),
    ) -> None:
        self.session, self.selection, self.artifacts, self.progress = session, selection, artifacts, progress
        self.workspace, self.version = workspace, version
        self.all_experiments: list[str] = []
        self.experiments: list[Json] = []
        self.standing: ModelDependencies | None = None
        self.chosen_runs: set[str] = set()
        """The ids of the runs that are selected, once they are planned; only where ``only_of_runs``."""
        self.links: dict[str, set[str]] = {}
        """Trace id -> ids of runs it belongs to, as far as they have been looked for."""
        self.referred_models: set[str] = set()
        """Ids of logged models that the runs read so far name."""
        self.shown_scorers: set[str] = set()
        """Ids of the scorers that were read."""
        self.bound_scorers: set[str] = set()
        """Ids of the scorers that gateway endpoints serve, as far as endpoints were read."""
        self._lock = Lock()

    @property
    def experiment_ids(self) -> list[str]:
        """The ids of the experiments in which objects are looked for."""
        return [str(raw["experiment_id"]) for raw in self.experiments]

    @property
    def active_experiment_ids(self) -> list[str]:
        """Those of them that are not deleted: in others the server shows no scorers, schemas or queues."""
        return [str(raw["experiment_id"]) for raw in self.experiments if raw.get("lifecycle_stage") != "deleted"]

    @property
    def only_of_runs(self) -> bool:
        """Whether only what belongs to some runs is selected."""
        s = self.selection
        return bool(s.runs or s.filter_string or s.models)

    @property
    def everything(self) -> bool:
        """Whether nothing is left out by experiment, run, model or time."""
        s = self.selection
        return not (s.experiments or self.only_of_runs) and s.since_ms is None and s.until_ms is None

    def groups(self, ids: Sequence[str] | None = None) -> Iterator[list[str]]:
        """Yield the ids of the selected experiments, some at a time."""
        wanted = list(self.experiment_ids if ids is None else ids)
        for at in range(0, len(wanted), IDS_AT_ONCE):
            yield wanted[at : at + IDS_AT_ONCE]

    def link(self, trace_ids: Sequence[str], run_id: str) -> None:
        """Remember that traces belong to a run."""
        with self._lock:
            for trace_id in trace_ids:
                self.links.setdefault(trace_id, set()).add(run_id)

    def refer(self, model_ids: Sequence[str]) -> None:
        """Remember logged models that a run names."""
        with self._lock:
            self.referred_models.update(model_ids)

    def show_scorers(self, scorer_ids: Sequence[str]) -> None:
        """Remember scorers that were read."""
        with self._lock:
            self.shown_scorers.update(scorer_ids)

    def lacks(self, path: str, params: Mapping[str, Any]) -> bool:
        """Say whether the server has no such endpoint, and so none of the objects that it gives."""
        try:
            self.session.get(path, params, refusals_are_final=True)
        except ServerError as exc:
            if exc.status is None:
                raise
            return is_unknown_request(exc)
        return False

    @cached_property
    def has_logged_models(self) -> bool:
        """Whether the workspace shows any logged model; one that cannot be asked counts as one that has some."""
        for ids in self.groups(self.all_experiments):
            body = {"experiment_ids": ids, "max_results": 1}
            if self._finds("/api/2.0/mlflow/logged-models/search", body, "models"):
                return True
        return False

    @cached_property
    def endpoint_ids(self) -> Mapping[str, str]:
        """Name -> id of each gateway endpoint, as far as the server tells."""
        try:
            answer = self.session.get("/api/3.0/mlflow/gateway/endpoints/list", refusals_are_final=True)
            return {str(each["name"]): str(each["endpoint_id"]) for each in answer.get("endpoints", [])}
        except ServerError as exc:
            if exc.status is None:
                raise
            return {}
        except (KeyError, TypeError, AttributeError):
            return {}

    def _finds(self, path: str, body: Mapping[str, Any], name: str) -> bool:
        try:
            answer = self.session.post(path, body)
        except ServerError as exc:
            if exc.status is None:
                raise
            return not is_unknown_request(exc)
        return bool(isinstance(answer, Mapping) and answer.get(name))


def gaps_of(kind: str, lost: Sequence[Loss], owner_id: str = "") -> list[Gap]:
    """Return gaps for what could not be read of a list of objects; ``owner_id`` is empty for the kind as a whole."""
    return [gap_of(kind, owner_id, loss.place, loss.reason) for loss in lost]


def gap_of(kind: str, owner_id: str, path: str, reason: str) -> Gap:
    """Return the gap of an object, or of what ``path`` names of it."""
    return Gap(owner_kind=kind, owner_id=owner_id, path=path, code=gaps.OBJECT_UNREADABLE, reason=reason)


def chunk_of(rows: Mapping[str, Sequence[Row]], lost: Sequence[Gap] = (), **more: Any) -> Chunk:
    """Return a chunk of rows by table, with gaps."""
    tables = {name: table_of(name, found) for name, found in rows.items() if found}
    return Chunk(tables={**tables, "gaps": gap_table(lost)} if lost else tables, **more)
