"""The first pass of a restore: find every conflict and every value the target cannot hold; write nothing."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.errors import TargetError
from mlflow_archive.flow.chunk import Chunk, Known, nothing_known
from mlflow_archive.flow.report import Report
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.kinds import DEFAULT_WORKSPACE, EXPERIMENT, TABLES, WORKSPACE, is_identity
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.reader.archive import owner_ids
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.restore.checks import Obstacle, check_rows
from mlflow_archive.sinks.restore.database import RestoreDatabase
from mlflow_archive.sinks.restore.existing import NOTHING, Existing, existing_ids, without_existing
from mlflow_archive.sinks.restore.holding import HeldRows
from mlflow_archive.sinks.restore.locations import LOCATED, ChunkOwners, Locations
from mlflow_archive.sinks.restore.options import RestoreOptions

_NAMED: Final = 20


class RestoreRefusedError(TargetError):
    """The target cannot take the archive; nothing was written. ``obstacles`` has all reasons, row by row."""

    def __init__(self, address: str, obstacles: list[Obstacle]) -> None:
        listed = [f"  {obstacle}" for obstacle in obstacles[:_NAMED]]
        if len(obstacles) > _NAMED:
            listed.append(f"  … and {len(obstacles) - _NAMED} more; --receipt FILE has all")
        hint = (
            "With --merge what is there already is left as it is" if any(o.problem == EXISTS for o in obstacles) else ""
        )
        if not hint:
            hint = "`mlflow-archive import` brings the archive in under new ids and shortens what is too long"
        self._lines = (f"{address} cannot take this; nothing was written. {hint}:", *listed)
        super().__init__("\n".join(self._lines))
        self.obstacles = obstacles

    @property
    def lines(self) -> tuple[str, ...]:
        return self._lines


EXISTS: Final = "is in the target already"


class PreflightSink:
    """Looks at everything that would be restored; ``finish`` raises RestoreRefusedError if anything prevents it.

    The database must be open. ``existing`` is, by kind, what the target holds already.
    """

    def __init__(self, database: RestoreDatabase, options: RestoreOptions) -> None:
        self._database, self._options = database, options
        self._lock = Lock()
        self._obstacles: list[Obstacle] = []
        self._counts: dict[str, int] = {}
        self.existing: Existing = {}
        self._names: dict[tuple[str, str], str] = {}
        self._titles: dict[str, str] = {}
        self._locations = Locations(options.artifact_root, artifacts_destination=options.artifacts_destination)
        self._held = HeldRows(database)

    def begin(self, facts: SourceFacts, selection: Selection) -> Known:
        if not self._database.fresh:
            self.existing = existing_ids(self._database)
            columns = ("workspace", "name", "experiment_id")
            self._names = {(str(w), str(n)): str(i) for w, n, i in self._database.rows("experiments", columns)}
            self._titles = {experiment_id: name for (_, name), experiment_id in self._names.items()}
        self._locations.begin(self._database)
        return nothing_known

    def write(self, chunk: Chunk) -> None:
        obstacles: list[Obstacle] = []
        owners = ChunkOwners()
        tables = self._held.fit(chunk.tables)
        if tables.keys() & LOCATED:
            self._locations.learn(tables, (), owners)
        for name, rows in tables.items():
            table = MAPS.get(name)
            if table is None or not rows.num_rows:
                continue
            columns = self._database.schema.get(table.stored_in)
            if columns is None:
                key = {part: str(rows[part][0]) for part in TABLES[name].owner}
                problem = f"has no table {table.stored_in} in the target"
                obstacles.append(Obstacle(table=name, key=key, column="", problem=problem))
                continue
            if is_identity(TABLES[name]):
                obstacles += self._conflicts(name, rows)
            missing = self._locations.rewritten(name, without_existing(rows, name, self.existing), owners)
            obstacles += check_rows(missing, table, columns, self._database.dialect)
            with self._lock:
                self._counts[name] = self._counts.get(name, 0) + missing.num_rows
        with self._lock:
            self._obstacles += obstacles

    def _conflicts(self, name: str, rows: pa.Table) -> list[Obstacle]:
        kind = TABLES[name].entity or ""
        obstacles = []
        if not self._options.merge and kind != WORKSPACE:
            ids = self.existing.get(kind, NOTHING)
            for owner, key in zip(owner_ids(rows, TABLES[name]).to_pylist(), _owner_keys(rows, name), strict=True):
                if owner in ids:
                    obstacles.append(Obstacle(table=name, key=key, column="id", problem=EXISTS))
        return [*obstacles, *self._of_names(rows)] if kind == EXPERIMENT else obstacles

    def _of_names(self, experiments: pa.Table) -> Iterator[Obstacle]:
        """Yield experiments whose name another one has, or whose id one of another name."""
        columns = (experiments[column].to_pylist() for column in ("workspace", "name", "experiment_id"))
        for workspace, title, experiment_id in zip(*columns, strict=True):
            title_there = self._titles.get(experiment_id, title)
            if title_there != title:
                # SQLite gives the id of an experiment that was purged to the next one.
                problem = (
                    f"is the id of {title_there!r} in the target, and of {title!r} here: "
                    "what lies in one is not the other's"
                )
                yield Obstacle(table="experiments", key={"experiment_id": experiment_id}, column="id", problem=problem)
                continue
            first = self._names.setdefault((workspace or DEFAULT_WORKSPACE, title), experiment_id)
            if first != experiment_id:
                key, problem = {"experiment_id": experiment_id}, f"{title!r} is the name of experiment {first}"
                yield Obstacle(table="experiments", key=key, column="name", problem=problem)

    def finish(self) -> Report:
        # Arrow's allocator keeps what this pass needed; the next would be measured on top of it.
        pa.default_memory_pool().release_unused()
        if self._obstacles:
            raise RestoreRefusedError(self._database.address, self._obstacles)
        report = Report(counts=dict(self._counts), details={"target": self._database.address})
        self._held.add_to(report.counts, report.details)
        return report

    def abort(self) -> None:
        """Do nothing: nothing was written."""


def _owner_keys(rows: pa.Table, name: str) -> list[dict[str, Any]]:
    """Return the columns of rows that name their owners."""
    return rows.select(TABLES[name].owner).to_pylist()  # type: ignore[no-any-return]
