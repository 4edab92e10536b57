"""A site in memory, with an archive of it: runs and logged models that change when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import Chunk, Shard
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.kinds import IDENTITIES, LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring.contents import RowSums
from mlflow_archive.retiring.judging import Rules
from mlflow_archive.retiring.kept import KeptEntities, KeptEntity
from mlflow_archive.retiring.plan import SiteAndArchive
from mlflow_archive.retiring.receipt import RetiredObject
from mlflow_archive.retiring.site import ACTIVE, DELETED, Address, Entangled, Foundation, Site
from mlflow_archive.selecting.selection import Selection
from tests.support.chunks import ChunkSource, chunk, experiment, run, table

Row = dict[str, Any]


def chunk_of(rows: Mapping[str, list[Row]]) -> Chunk:
    return Chunk(tables={name: table(name, of_table) for name, of_table in rows.items()})


class Steps(Quiet):
    """Notes what is done."""

    def __init__(self) -> None:
        self.done: list[tuple[str, int]] = []

    def advance(self, unit: str, amount: int) -> None:
        self.done.append((unit, amount))


@dataclass
class MemorySite:
    """Objects by kind and id. ``said`` is what it was asked to do; ``before`` hears of each, and may raise."""

    objects: dict[tuple[str, str], Row] = field(default_factory=dict)
    unseen: frozenset[str] = frozenset()
    kinds: tuple[str, ...] = (LOGGED_MODEL, RUN)
    kind: str = "database"
    uri: str = "memory:"
    said: list[str] = field(default_factory=list)
    before: Callable[[str], object] = str
    registered: Foundation = field(default_factory=lambda: Foundation(runs=frozenset(), logged_models=frozenset()))
    others: Entangled = field(default_factory=dict)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def _say(self, *words: str) -> None:
        sentence = " ".join(words)
        self.said.append(sentence)
        self.before(sentence)

    def source(self) -> ChunkSource:
        return _MemorySource(self)

    def stages(self, objects: Sequence[Address]) -> Mapping[tuple[str, str], str]:
        self._say("stages", *(address.id for address in objects))
        keys = [(address.kind, address.id) for address in objects]
        return {key: self.objects[key].get("lifecycle_stage", ACTIVE) for key in keys if key in self.objects}

    def foundation(self, runs: Sequence[Address], source: object) -> Foundation:
        self.asked.append(("foundation", tuple(address.id for address in runs)))
        return self.registered

    def entangled(self, kinds: Collection[str], experiments: Collection[str] | None) -> Entangled:
        self.asked.append(("entangled", *sorted(kinds), None if experiments is None else sorted(experiments)))
        return self.others

    def hide(self, address: Address) -> None:
        self._say("hide", address.id)
        self.objects[address.kind, address.id]["lifecycle_stage"] = DELETED

    def show(self, address: Address) -> None:
        self._say("show", address.id)
        self.objects[address.kind, address.id]["lifecycle_stage"] = ACTIVE

    def by_id(self, address: Address) -> Iterator[Chunk]:
        self._say("look", address.id)
        if (row := self.objects.get((address.kind, address.id))) is not None:
            yield chunk_of({IDENTITIES[address.kind].name: [row]})

    def roots(self) -> list[str]:
        return []

    def close(self) -> None: ...


class _MemorySource(ChunkSource):
    """Gives what a site has, the ids that are asked for only; raises where nothing is there, as sources do."""

    def __init__(self, site: MemorySite) -> None:
        super().__init__()
        self._site = site

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        self._site._say("read", *selection.kinds, *selection.runs, *selection.traces, *selection.experiments)
        found: dict[str, list[Row]] = {}
        for (kind, name), row in self._site.objects.items():
            if kind not in selection.kinds or (kind in self._site.unseen and row.get("lifecycle_stage") == DELETED):
                continue
            owner = row.get("source_run_id") if kind == LOGGED_MODEL else name
            named = (*selection.runs, *selection.traces)
            if owner in named or row["experiment_id"] in selection.experiments or not (named or selection.experiments):
                found.setdefault(IDENTITIES[kind].name, []).append(row)
        if not found:
            raise SelectionError("nothing is selected")
        experiments = chunk(experiments=[experiment("1", "one"), experiment("2", "two")])
        yield Shard(name="experiments", stage=0, payload=[experiments])
        yield Shard(name="objects", stage=1, payload=[chunk_of(found)])


class MemoryArchive:
    """What was there when it was made."""

    def __init__(self, site: MemorySite) -> None:
        self._rows = {key: dict(row) for key, row in site.objects.items()}
        self.paths: dict[str, list[str]] = {}
        self.tags_of: dict[str, dict[str, str]] = {}

    def of(self, kind: str, ids: Collection[str]) -> dict[str, KeptEntity]:
        kept = {}
        for name in ids:
            if (row := self._rows.get((kind, name))) is not None:
                (sums := RowSums(kind)).add(IDENTITIES[kind].name, table(IDENTITIES[kind].name, [row]))
                kept[name] = KeptEntity(row=row, sums=sums.of(name), has_gaps=False)
        return kept

    def files(self, kind: str, owner_id: str) -> list[str]:
        return self.paths.get(owner_id, [])

    def tags(self, trace_id: str) -> dict[str, str]:
        return dict(self.tags_of.get(trace_id, {}))

    def is_same_experiment(self, row: Mapping[str, Any]) -> bool:
        return row["name"] in ("one", "two")


def model_row(model_id: str, maker: str | None, at: str = "1") -> Row:
    row = {"model_id": model_id, "experiment_id": at, "name": model_id, "status": "READY", "lifecycle_stage": ACTIVE}
    return row if maker is None else {**row, "source_run_id": maker}


def trace_row(trace_id: str, at: str = "1") -> Row:
    return {"trace_id": trace_id, "experiment_id": at, "request_time": 1_000, "state": "OK"}


def site_of(*runs: str, models: Mapping[str, str | None] | None = None, traces: Sequence[str] = ()) -> MemorySite:
    """Return a site with runs and logged models by name, all in experiment 1; of each model who made it."""
    site = MemorySite()
    for name in runs:
        site.objects[RUN, name] = run(name, "1")
    for name, maker in (models or {}).items():
        site.objects[LOGGED_MODEL, name] = model_row(name, maker)
    for name in traces:
        site.objects[TRACE, name] = trace_row(name)
    return site


def beside(site: MemorySite, archive: MemoryArchive | None = None, rules: Rules | None = None) -> SiteAndArchive:
    """Return a site and what it is compared with: an archive of it as it is now, if no other."""
    return SiteAndArchive(
        site=cast("Site", site),
        kept_entities=cast("KeptEntities", archive or MemoryArchive(site)),
        hidden=frozenset(),
        rules=rules or Rules(),
        progress=Steps(),
    )


def entries_of(site: MemorySite, **states: str) -> list[RetiredObject]:
    """Return an entry for each object, in the state that is given for its id, PLANNED if none is."""
    return [
        RetiredObject(
            kind=kind,
            id=name,
            experiment_id=row["experiment_id"],
            maker=row.get("source_run_id"),
            state=states.get(name, "planned"),
        )
        for (kind, name), row in site.objects.items()
    ]
