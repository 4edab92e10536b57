"""One workspace of a server and what of it is selected: what every family of objects is planned from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from threading import Lock
from typing import Any, Final, TypeAlias, TypeVar, cast

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Gap, Known, Shard, gap_table
from mlflow_archive.flow.report import Progress
from mlflow_archive.format.gaps import OBJECT_UNREADABLE
from mlflow_archive.http.refusals import check_answered, is_unknown_request
from mlflow_archive.http.session import TrackingSession
from mlflow_archive.kinds import DEFAULT_WORKSPACE, KINDS, RUN
from mlflow_archive.selecting.model_versions import ModelDependencies
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.selecting.selector import Selector
from mlflow_archive.sources.reading.fields import Fields, refuse
from mlflow_archive.sources.reading.gaplist import unreadable
from mlflow_archive.sources.reading.unknown_fields import UnknownFields
from mlflow_archive.sources.rest.artifacts import Artifacts
from mlflow_archive.sources.rest.cells import UNREADABLE_ROW, Json, Row, table_of, unexpected_shape
from mlflow_archive.sources.rest.findings import Needs, RunFindings
from mlflow_archive.sources.rest.lists import Loss, Page

IDS_AT_ONCE: Final = 100
"""How many experiments one search names."""

TableRows = dict[str, list[Row]]
"""By table."""

T = TypeVar("T")

Reader: TypeAlias = "Callable[[Scope, Any, Known], Iterator[Chunk]]"
"""A function of a module that reads a batch: it gets the workspace, and what the batch was request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Rows of a list, as the server's JSON, and gaps for what it lacks."""

    rows: Sequence[Json]
    gaps: Sequence[Gap] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some objects of a workspace that can be read on their own: the payload of a shard, plain data throughout.

    ``read`` is a function of a module, called once, by any thread, or in another process; ``request`` is all that it
    needs beside the workspace, and ``needs`` says what of the workspace's findings, which whoever reads it elsewhere
    gets as ``findings``. ``weight`` is how many of ``kind`` they are, 0 where that is not known before.
    """

    name: str
    read: Reader
    request: object = None
    kind: str = RUN
    weight: int = 0
    workspace: str = DEFAULT_WORKSPACE
    needs: Needs | None = None
    findings: RunFindings | None = None

    def shard(self, stage: int, progress: Progress) -> Shard:
        """Return the shard, and say how much there is to expect of it."""
        progress.expect(KINDS[self.kind].plural, self.weight)
        return Shard(name=self.name, stage=stage, kind=self.kind, weight=self.weight, payload=self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeFacts:
    """What is known of a workspace once the plan has begun, as far as reading asks for it."""

    name: str
    experiments: tuple[Json, ...]
    selected: frozenset[str]
    dependencies: ModelDependencies | None
    searches_in_one: bool | None


_LENT: Final = ("experiment_id", "name", "lifecycle_stage")


class Scope:
    """One workspace of a server and what of it is selected. Usable by several threads.

    ``workspace`` is its name, ``default`` where the server has none; ``version`` is MLflow's, (0, 0) where it is not
    known. The lists below are filled by the plan, in the order in which they stand, before the first shard comes.
    ``findings`` is what kinds hand on to each other while they are read.
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
        self.all_experiments: list[Json] = []
        """All experiments, as the server's JSON."""
        self.experiments: list[Json] = []
        """Those in which objects are looked for."""
        self.select: Callable[[], Selector]
        """Gives what is selected, one for all scopes of a plan; asked at most once, see ``selector``."""
        self.dependencies: ModelDependencies | None = None
        """Of models selected by name: these, and the runs and logged models of their versions. None where none are."""
        self.named_runs: list[Json] | None = None
        """The runs that come, as the server's JSON, where they are selected by id or by model, or with relatives; else
        None."""
        self.run_gaps: list[Gap] = []
        """What the pages lack in which these were looked for."""
        self.model_ids: list[str] | None = None
        """The logged models of these runs and models, and of those that a filter takes. None where all are listed."""
        self.dataset_ids: list[str] | None = None
        """The evaluation datasets that are named and lie here; None where none are named."""
        self.model_gaps: list[Gap] = []
        """What the lists lack in which they were looked for."""
        self.carried_experiments: list[Json] = []
        """The experiments that come: where runs are named only those of them and of their models."""
        self.searches_in_one: bool | None = None
        """Whether the server searches in the first only of several experiments; None until an answer shows it."""
        self.findings = RunFindings()
        self.unknown = UnknownFields()
        self._readers: dict[object, object] = {}
        self._lock = Lock()

    def lend(self) -> ScopeFacts:
        """Return what is to be known of the workspace wherever its batches are read."""
        return ScopeFacts(
            name=self.workspace,
            experiments=tuple({name: raw.get(name) for name in _LENT} for raw in self.all_experiments),
            selected=frozenset(self.experiment_ids),
            dependencies=self.dependencies,
            searches_in_one=self.searches_in_one,
        )

    def borrow(self, lent: ScopeFacts) -> None:
        """Take what the scope of the plan has lent."""
        self.all_experiments = list(lent.experiments)
        self.experiments = [raw for raw in self.all_experiments if str(raw["experiment_id"]) in lent.selected]
        self.dependencies, self.searches_in_one = lent.dependencies, lent.searches_in_one

    def take_findings(self) -> RunFindings:
        """Return what was found since the last call."""
        findings, self.findings = self.findings, RunFindings()
        return findings

    def once(self, make: Callable[[Scope], T]) -> T:
        """Return what ``make`` makes of this workspace, the same for all who ask: a function, or a class."""
        with self._lock:
            if make not in self._readers:
                self._readers[make] = make(self)
            return cast(T, self._readers[make])

    @cached_property
    def selector(self) -> Selector:
        """What is selected; one for all scopes of a plan."""
        return self.select()

    @property
    def experiment_ids(self) -> list[str]:
        """The ids of the experiments in which objects are looked for."""
        return [str(raw["experiment_id"]) for raw in self.experiments]

    @property
    def active_experiment_ids(self) -> list[str]:
        """Those of them that are not deleted: in others the server shows no scorers, schemas or queues."""
        return [str(raw["experiment_id"]) for raw in self.experiments if raw.get("lifecycle_stage") != "deleted"]

    @property
    def only_named(self) -> bool:
        """Whether only what is named is selected, and what belongs to it."""
        return self.selection.only_named

    @property
    def everything(self) -> bool:
        """Whether nothing is left out by experiment, name or time."""
        return self.selection.everything

    @property
    def models_need_runs(self) -> bool:
        """Whether logged models are listed, and which of them come depends on the runs that come."""
        return self.selection.leaves_out_runs and not self.only_named

    def read(
        self, kind: str, owner_id: str, raw: Json, make: Callable[[Fields], T], gaps: list[Gap], part: str = ""
    ) -> T | None:
        """Return what ``make`` makes of an object, None and a gap more where that is malformed.

        ``part`` says which part of the object it is: a word, and perhaps its id. Fields that ``make`` does not ask for
        are counted.
        """
        fields = Fields(raw, refuse, path=part.partition(" ")[0], blank_is_null=not KINDS[kind].keeps_blank_texts)
        try:
            made_rows = make(fields)
        except UNREADABLE_ROW as exc:
            gaps.append(gap_of(kind, owner_id, part, unexpected_shape(exc), code=unreadable(kind)))
            return None
        self.unknown.add(kind, owner_id, fields.unread())
        return made_rows

    def wants_model(self, info: Json) -> bool:
        """Return whether a listed model comes, once runs are read: with one that made or names it, or made by none."""
        if not self.models_need_runs:
            return True
        run_id, findings = info.get("source_run_id"), self.findings
        return not run_id or run_id in findings.run_ids or str(info.get("model_id")) in findings.model_ids

    def groups(self, ids: Sequence[str] | None = None) -> Iterator[list[str]]:
        """Yield the ids of the selected experiments, or other ones, as many at a time as one search may name."""
        all_ids = list(self.experiment_ids if ids is None else ids)
        size = 1 if self.searches_in_one else IDS_AT_ONCE
        for at in range(0, len(all_ids), size):
            yield all_ids[at : at + size]

    def lacks(self, path: str, params: Mapping[str, Any]) -> bool:
        """Return whether the server has no such endpoint, and so none of the objects that it gives."""
        try:
            self.session.get(path, params, refusals_are_final=True)
        except ServerError as exc:
            check_answered(exc)
            return is_unknown_request(exc)
        return False

    @cached_property
    def has_logged_models(self) -> bool:
        """Whether the workspace shows any logged model; one that cannot be asked counts as one that has some."""
        for ids in self.groups([str(raw["experiment_id"]) for raw in self.all_experiments]):
            body = {"experiment_ids": ids, "max_results": 1}
            try:
                answer = self.session.post("/api/2.0/mlflow/logged-models/search", body)
            except ServerError as exc:
                check_answered(exc)
                if not is_unknown_request(exc):
                    return True
            else:
                if isinstance(answer, Mapping) and answer.get("models"):
                    return True
        return False

    @cached_property
    def endpoint_ids(self) -> Mapping[str, str]:
        """Name -> id of each gateway endpoint, as far as the server shows them."""
        try:
            answer = self.session.get("/api/3.0/mlflow/gateway/endpoints/list")
            return {str(endpoint["name"]): str(endpoint["endpoint_id"]) for endpoint in answer.get("endpoints", [])}
        except ServerError as exc:
            check_answered(exc)
            return {}
        except (KeyError, TypeError, AttributeError):
            return {}


def batches(
    name: str,
    kind: str,
    pages: Iterable[Page],
    read: Callable[[Scope, Listed, Known], Iterator[Chunk]],
    needs: Needs | None = None,
) -> Iterator[Batch]:
    """Yield a batch for each page of a list: ``read`` gets its rows, and gaps of the kind for what it lacks."""
    for number, page in enumerate(pages):
        request = Listed(rows=page.rows, gaps=gaps_of(kind, page.losses))
        name_of_page = f"{name}-{number:05d}"
        yield Batch(name=name_of_page, read=read, request=request, kind=kind, weight=len(page.rows), needs=needs)


class Contents:
    """What was read of some objects of a kind: rows by table, files, and gaps."""

    def __init__(self, scope: Scope, kind: str, gaps: Iterable[Gap] = ()) -> None:
        self._scope, self._kind = scope, kind
        self.rows: TableRows = {}
        self.files: list[ArtifactFile] = []
        self.gaps = list(gaps)

    def listed(self, pages: Iterable[Page], owner_id: str = "", part: str = "") -> Iterator[Json]:
        """Yield the rows of a list, and add gaps for what it lacks; ``part`` is the part of an object that it lists."""
        for page in pages:
            self.gaps += gaps_of(self._kind, page.losses, owner_id, part)
            yield from page.rows

    def make(self, owner_id: str, raw: Json, make: Callable[[Fields], T], part: str = "") -> T | None:
        """Return what ``make`` makes of an object or a part of it, None and a gap more where that is malformed."""
        return self._scope.read(self._kind, owner_id, raw, make, self.gaps, part)

    def add(self, owner_id: str, raw: Json, make: Callable[[Fields], TableRows], part: str = "") -> TableRows | None:
        """Add the rows of an object or a part of it, and return them."""
        rows = self.make(owner_id, raw, make, part)
        self.add_rows(rows or {})
        return rows

    def add_rows(self, rows: Mapping[str, Iterable[Row]]) -> None:
        """Add rows by table."""
        add_rows(self.rows, rows)

    def chunks(self) -> Iterator[Chunk]:
        """Yield one chunk of all, if there is anything."""
        if self.rows or self.gaps:
            yield chunk_of(self.rows, self.gaps, artifacts=self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Whole:
    """Objects that a list shows whole. ``rows_of`` is a function of a module."""

    kind: str
    listed: Listed
    id_field: str
    rows_of: Callable[[Scope, Fields], TableRows]


def object_batches(
    kind: str, pages: Iterable[Page], id_field: str, rows_of: Callable[[Scope, Fields], TableRows]
) -> Iterator[Batch]:
    """Yield a batch for each page of a list that shows its objects whole; one that is malformed becomes a gap."""
    for number, page in enumerate(pages):
        listed = Listed(rows=page.rows, gaps=gaps_of(kind, page.losses))
        request = _Whole(kind=kind, listed=listed, id_field=id_field, rows_of=rows_of)
        yield Batch(name=f"{kind}-{number:05d}", read=_read_whole, request=request, kind=kind, weight=len(page.rows))


def _read_whole(scope: Scope, request: _Whole, known: Known) -> Iterator[Chunk]:
    contents = Contents(scope, request.kind, request.listed.gaps)
    for raw in request.listed.rows:
        contents.add(str(raw.get(request.id_field)), raw, partial(request.rows_of, scope))
    yield from contents.chunks()


def read_gaps(scope: Scope, gaps: Sequence[Gap], known: Known) -> Iterator[Chunk]:
    """Yield the gaps that a batch was request: the ``Reader`` of what could not be listed."""
    yield chunk_of({}, gaps)


def gaps_of(kind: str, losses: Sequence[Loss], owner_id: str = "", part: str = "") -> list[Gap]:
    """Return gaps for what could not be read of a list; ``owner_id`` is empty for the kind as a whole."""
    return [gap_of(kind, owner_id, f"{part} {loss.place}".strip(), loss.reason) for loss in losses]


def gap_of(kind: str, owner_id: str, path: str, reason: str, *, code: str = OBJECT_UNREADABLE) -> Gap:
    """Return the gap of an object, or of what ``path`` names of it."""
    return Gap(owner_kind=kind, owner_id=owner_id, path=path, code=code, reason=reason)


def add_rows(rows: TableRows, new_rows: Mapping[str, Iterable[Row]]) -> None:
    """Add rows by table to others."""
    for name, table_rows in new_rows.items():
        rows.setdefault(name, []).extend(table_rows)


def chunk_of(rows: Mapping[str, Sequence[Row]], gaps: Sequence[Gap] = (), **fields: Any) -> Chunk:
    """Return a chunk of rows by table, with gaps; ``fields`` are others of the chunk."""
    tables = {name: table_of(name, table_rows) for name, table_rows in rows.items() if table_rows}
    return Chunk(tables={**tables, "gaps": gap_table(gaps)} if gaps else tables, **fields)
