"""A backend database as a Source: every schema revision of MLflow, read with SQL, never through MLflow's own store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Final, cast

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import ColumnClause, column, select, table

from mlflow_archive.artifact_roots import ArtifactRoots
from mlflow_archive.artifact_roots.declared import HISTORY_TAG, missing_declared
from mlflow_archive.artifact_roots.roots import out_of_reach
from mlflow_archive.errors import StoreError
from mlflow_archive.flow.absences import absences
from mlflow_archive.flow.chunk import ArtifactFile, Chunk, Gap, Known, Shard, gap_shards, gap_table
from mlflow_archive.flow.report import Progress, Quiet
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format.gaps import ARTIFACT_LISTING
from mlflow_archive.format.owned_rows import OwnedRows
from mlflow_archive.kinds import RUN, TABLES, TRACE
from mlflow_archive.mlflow_database.known_schema import VERSION_TABLE
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.mlflow_database.uris import DatabaseUri
from mlflow_archive.selecting.chosen_versions import ChosenVersions
from mlflow_archive.selecting.model_versions import ModelDependencies
from mlflow_archive.selecting.registered import names_in_registry
from mlflow_archive.selecting.selection import ALL, Selection
from mlflow_archive.selecting.selector import Passes, Selector
from mlflow_archive.sources.database.artifacts import ArtifactFinder
from mlflow_archive.sources.database.catalog import DatabaseCatalog
from mlflow_archive.sources.database.changed import ReadObjects, knows_one
from mlflow_archive.sources.database.columns import Columns, plain_values
from mlflow_archive.sources.database.entities import EntityReader, count_points, count_spans, maps_of
from mlflow_archive.sources.database.gaps import MalformedValues
from mlflow_archive.sources.database.newer import is_newer, unknown_contents, unknown_tables
from mlflow_archive.sources.database.orphans import DATABASE, orphans, unknown_rows
from mlflow_archive.sources.database.planning import IdBlock, shards
from mlflow_archive.sources.database.points import PointCounts, plain_points
from mlflow_archive.sources.database.reading import Reading, ignore_malformed
from mlflow_archive.sources.database.runs import newest_points, run_fingerprints, run_records
from mlflow_archive.sources.database.snapshot import Query, Snapshot, check_is_mlflow
from mlflow_archive.sources.database.traces import TraceJudge
from mlflow_archive.sources.database.unknown_tables import UnknownTable, check_whole, may_be_carried, read_unknown
from mlflow_archive.sources.filtering.run_filter import Matches, compile_filter

POINTS_PER_CHUNK: Final = 300_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabasePlan:
    """What others must know of a plan: what is selected, and by what they open the same moment (see ``Snapshot``)."""

    selection: Selection
    moment: str | None


class DatabaseSource:
    """The database at ``uri``, as it is at the first call of ``facts``.

    Artifacts come from where ``roots`` finds them. Chunks hold whole entities, or up to ``points_per_chunk`` metric
    points of some runs, whose fingerprints then come in the last. With ``coded`` texts of points are
    dictionary-encoded, as an archive's writer keeps them.
    """

    def __init__(
        self,
        uri: DatabaseUri,
        *,
        roots: ArtifactRoots | None = None,
        progress: Progress | None = None,
        points_per_chunk: int = POINTS_PER_CHUNK,
        coded: bool = False,
    ) -> None:
        self._uri = uri
        self._roots = roots or ArtifactRoots(base=None if uri.path is None else uri.path.absolute().parent)
        self._progress = progress or Quiet()
        self._points_per_chunk, self._coded = points_per_chunk, coded
        self._opened: Snapshot | None = None
        self._moment: str | None = None
        self._selection = Selection()
        self._entities: EntityReader | None = None

    @cached_property
    def _snapshot(self) -> Snapshot:
        self._opened = _open_snapshot(self._uri, self._moment)
        try:
            check_is_mlflow(self._opened.schema, self._uri.shown)
        except StoreError:
            self._opened.close()
            raise
        return self._opened

    @cached_property
    def _reading(self) -> Reading:
        return Reading(self._snapshot)

    def facts(self) -> SourceFacts:
        """Return where this data comes from. Raises StoreError, ServerError."""
        revision = None
        if VERSION_TABLE in self._snapshot.schema.columns:
            versions: Query = select(column("version_num")).select_from(table(VERSION_TABLE))
            batches = [plain_values(batch["version_num"]) for batch in self._snapshot.fetch(versions)]
            revision = ",".join(sorted(str(value) for values in batches for value in values)) or None
        newer = is_newer(revision)
        return SourceFacts(kind="database", uri=self._uri.shown, schema_revision=revision, newer_schema=newer)

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        """Yield shards of some hundred entities of one kind. Raises SelectionError before the first."""
        if selection.unknown_tables:
            check_whole(selection)
        selector = self._prepare(selection)
        yield from absences(selector.missing)
        carried = may_be_carried(self._snapshot, unknown_tables(self._snapshot)) if selection.unknown_tables else []
        revision = self.facts().schema_revision
        unknown = unknown_contents(self._snapshot, selection, revision, progress.note, carried)
        yield from gap_shards("what this version does not know", tuple(unknown))
        for name in carried:
            yield Shard(name=f"the unknown table {name}", payload=UnknownTable(name=name), stays=True)
        yield from shards(selector, progress, partial(self._leftovers, selection))

    def _prepare(self, selection: Selection) -> Selector:
        """Get ready to read what is selected."""
        self._selection = selection
        self._roots.check()
        for location in self._locations_with_users():
            self._roots.remember_login(location)
        selector = self._selector(selection)
        finder = None
        if selection.artifacts:
            finder = ArtifactFinder(self._roots, selection, lambda traces: set(count_spans(self._snapshot, traces)))
        self._entities = EntityReader(self._snapshot, self._reading, finder, selector)
        return selector

    @property
    def has_moment(self) -> bool:
        return self._snapshot.has_moment

    def lend(self, folder: Path | None = None) -> DatabasePlan:
        return DatabasePlan(selection=self._selection, moment=self._snapshot.share(folder))

    def borrow(self, lent: object) -> None:
        plan = cast(DatabasePlan, lent)
        self._moment = plan.moment
        self._prepare(plan.selection)

    def ready(self, shard: Shard) -> Shard:
        return shard

    def take_findings(self) -> None:
        """Return None: what this version does not know of a database is known before it is read."""

    def add_findings(self, findings: object) -> None:
        """Do nothing, as there are none."""

    def _locations_with_users(self) -> Iterator[str]:
        """Yield locations of experiments that may name user and password, which rows are read without."""
        location: ColumnClause[str] = column("artifact_location")
        if location.name in self._snapshot.schema.columns.get("experiments", ()):
            query = select(location).select_from(table("experiments")).where(location.like("%@%"))
            for batch in self._snapshot.fetch(query):
                yield from map(str, plain_values(batch[location.name]))

    def _leftovers(self, selection: Selection) -> Iterator[Chunk]:
        """Yield gaps of rows of objects that are gone."""
        if selection.everything:
            leftovers = (*orphans(self._snapshot), *unknown_rows(self._snapshot))
            wants = selection.wants_kind
            if gaps := [gap for gap in leftovers if gap.owner_kind == DATABASE or wants(gap.owner_kind)]:
                yield Chunk(tables={"gaps": gap_table(gaps)})

    def _selector(self, selection: Selection) -> Selector:
        columns = Columns(self._snapshot)
        filters: dict[str, Passes] = {}
        if selection.filter_string:
            filters[RUN] = partial(self._matching, compile_filter(selection.filter_string))
        judge = None
        if selection.trace_filter:
            judge = TraceJudge(self._reading, columns, selection.trace_filter, self._uri.dialect)
        selector = Selector(DatabaseCatalog(columns, self._uri.shown), selection, filters)
        if judge is not None:
            filters[TRACE] = partial(judge, experiments=selector.experiments)
        return selector

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        """Yield the chunks of a shard. A run with gaps has no fingerprint, so that a later export tries it again."""
        block = shard.payload
        if isinstance(block, UnknownTable):
            yield from read_unknown(self._snapshot, block.name)
        elif not isinstance(block, IdBlock):
            message = f"{shard.name} is no shard of a database"
            raise TypeError(message)
        elif block.kind == RUN:
            yield from self._read_runs(block.ids, known)
        elif self._entities is not None:
            yield from self._entities.chunks(block, known)

    def registered(self) -> ModelDependencies:
        """Return what the versions of all registered models stand on. Raises StoreError."""
        catalog = DatabaseCatalog(Columns(self._snapshot), self._uri.shown)
        return catalog.dependencies(sorted(set(names_in_registry(catalog, ALL))), ChosenVersions())

    def close(self) -> None:
        """Release the snapshot."""
        if self._opened is not None:
            self._opened.close()

    def _read_runs(self, ids: Sequence[str], known: Known) -> Iterator[Chunk]:
        malformed = MalformedValues(RUN)
        maps = [table_map for table_map in maps_of(RUN) if table_map.table != "metrics"]
        tables = {table_map.table: self._reading.rows(table_map, ids, malformed.add) for table_map in maps}
        gaps: list[Gap] = []
        files = self._find_artifacts(tables, gaps) if self._selection.artifacts else {}
        run_ids = tables["runs"]["run_id"].to_pylist()
        # Of runs that the sink does not know all points are read: they are counted then. One that holds a value which
        # cannot be carried has a gap, and no fingerprint.
        counted = None if knows_one(known, RUN, run_ids) else PointCounts()
        objects = ReadObjects(
            kind=RUN,
            tables=tables,
            ids=run_ids,
            fingerprints=cache(
                lambda: run_fingerprints(
                    tables,
                    self._latest(ids),
                    files,
                    count_points(self._snapshot, ids) if counted is None else counted.rows(),
                )
            ),
            files=files,
            gaps=gaps,
            malformed=malformed,
        )
        changed = objects.changed_ids(known)
        yield from objects.chunks(changed, "metrics", lambda run_ids: self._metrics(run_ids, malformed, counted))

    def _metrics(
        self, ids: Sequence[str], malformed: MalformedValues, counted: PointCounts | None
    ) -> Iterator[pa.Table]:
        """Yield the points of some runs, about ``points_per_chunk`` at a time, at least one table; count them."""
        waiting: list[pa.Table] = []
        size = 0
        for rows in self._reading.points(ids, malformed.add):
            if counted is not None:
                counted.add(rows)
            waiting.append(rows if self._coded else plain_points(rows))
            size += rows.num_rows
            if size >= self._points_per_chunk:
                yield pa.concat_tables(waiting)
                waiting, size = [], 0
        yield pa.concat_tables(waiting) if waiting else TABLES["metrics"].schema.empty_table()

    def _latest(self, ids: Sequence[str]) -> pa.Table:
        """Return the newest point of each metric: from the table that MLflow keeps, or where it is missing from all."""
        if not self._reading.has(_LATEST):
            return newest_points(self._reading.batches(MAPS["metrics"], ids, ignore_malformed))
        rows = self._reading.rows(_LATEST, ids, ignore_malformed)
        return newest_points([rows]) if OwnedRows(ids, rows, "run_id").repeats_a_key else rows

    def _find_artifacts(self, tables: Mapping[str, pa.Table], gaps: list[Gap]) -> dict[str, list[ArtifactFile]]:
        """Return the files of each run, and add to ``gaps`` what cannot be listed or is missing."""
        history = tables["tags"].filter(pc.equal(tables["tags"]["key"], HISTORY_TAG))
        declared = dict(zip(history["run_id"].to_pylist(), history["value"].to_pylist(), strict=True))
        files: dict[str, list[ArtifactFile]] = {}
        for run_id, uri in zip(*(tables["runs"][name].to_pylist() for name in ("run_id", "artifact_uri")), strict=True):
            if not uri:
                continue
            listing = self._roots.list(uri, owner_kind=RUN, owner_id=run_id)
            gaps += listing.gaps
            if listing.is_empty and self._roots.is_elsewhere(uri):
                reason = out_of_reach(self._roots.resolve(uri))
                gaps.append(Gap(owner_kind=RUN, owner_id=run_id, path="", code=ARTIFACT_LISTING, reason=reason))
            elif not listing.gaps:
                gaps += missing_declared(RUN, run_id, declared.get(run_id), [file.path for file in listing.files])
            files[run_id] = listing.selected(self._selection)
        return files

    def _matching(self, matches: Matches, ids: Sequence[str]) -> Sequence[str]:
        maps = [MAPS[name] for name in ("runs", "params", "tags", "dataset_inputs", "dataset_input_tags")]
        tables = {table_map.table: self._reading.rows(table_map, ids, ignore_malformed) for table_map in maps}
        records = run_records(tables, self._latest(ids))
        return [run_id for run_id in ids if run_id not in records or matches(records[run_id], records[run_id].latest)]


def _open_snapshot(uri: DatabaseUri, moment: str | None) -> Snapshot:
    """Return a consistent view, of a ``moment`` that another one shares if given. Raises StoreError, ServerError.

    The drivers are imported only when they are needed.
    """
    if uri.path is not None:
        from mlflow_archive.sources.database.sqlite import SqliteSnapshot  # noqa: PLC0415

        return SqliteSnapshot(uri.path, moment)
    if uri.dialect == "postgresql":
        from mlflow_archive.sources.database.postgresql import PostgresqlSnapshot  # noqa: PLC0415

        return PostgresqlSnapshot(uri, moment)
    from mlflow_archive.sources.database.mysql import MysqlSnapshot  # noqa: PLC0415

    return MysqlSnapshot(uri)


_LATEST: Final = replace(MAPS["metrics"], stored_in="latest_metrics")
