"""The second pass of a restore: every row with its own id, in one transaction, and the bytes of the artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from threading import Lock, local
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.artifact_roots import ArtifactRoots, ArtifactWriteError
from mlflow_archive.errors import TargetError
from mlflow_archive.flow.chunk import ArtifactFile, ArtifactUnreadableError, Chunk, Gap, Known, nothing_known
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format import refusals
from mlflow_archive.format.gaps import SOURCE
from mlflow_archive.format.location import without_password
from mlflow_archive.kinds import TABLES, WORKSPACE
from mlflow_archive.kinds.experiment_tags import acting_tags
from mlflow_archive.mlflow_database.mapping import MAPS
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.restore.database import CommitUncertainError, RestoreDatabase
from mlflow_archive.sinks.restore.existing import NOTHING, Existing, without_existing
from mlflow_archive.sinks.restore.files import WrittenFiles
from mlflow_archive.sinks.restore.filling import Filling
from mlflow_archive.sinks.restore.histories import RestoredHistories
from mlflow_archive.sinks.restore.holding import HeldRows
from mlflow_archive.sinks.restore.inverting import changed_values, to_stored, without_equal_points
from mlflow_archive.sinks.restore.locations import ChunkOwners, Locations
from mlflow_archive.sinks.restore.options import RestoreOptions
from mlflow_archive.sinks.restore.sharing_out import FileRefused, FileToWrite, SharedFiles
from mlflow_archive.sinks.restore.unknown_tables import reason_against

_LATEST: Final = "latest_metrics"


class _Thread(local):
    """What a thread keeps from one chunk of a run to the next."""

    def __init__(self) -> None:
        self.owners: ChunkOwners | None = None
        self.histories = RestoredHistories()


class RestoreSink:
    """Restores into an open database that a PreflightSink has looked at; ``existing`` is what that found there.

    With ``shared`` workers write the artifacts, which are those of an archive, when all rows are in the database.

    One transaction: an error, or a kill, leaves the database as it was. After an error the artifacts that were written
    are removed, too; after a kill they stay, and when the restore is repeated it writes them again.
    """

    def __init__(
        self,
        database: RestoreDatabase,
        *,
        options: RestoreOptions,
        existing: Existing | None = None,
        progress: Progress | None = None,
        shared: SharedFiles | None = None,
    ) -> None:
        self._shared = shared
        self._database, self._options = database, options
        self._existing = existing or {}
        self._progress = progress or Quiet()
        self._roots = ArtifactRoots(artifacts_destination=options.artifacts_destination)
        self._locations = Locations(options.artifact_root, artifacts_destination=options.artifacts_destination)
        self._files = WrittenFiles(self._roots, self._locations.root)
        self._filling = Filling()
        self._held = HeldRows(database)
        self._lock = Lock()
        self._thread = _Thread()
        self._report = Report()
        self._acting_tags: list[dict[str, str]] = []
        self._revision: str | None = None

    def begin(self, facts: SourceFacts, selection: Selection) -> Known:
        self._database.begin()
        self._revision = facts.schema_revision
        self._filling.begin(self._database, exact=facts.extra.get("source_kind") == "database")
        self._locations.begin(self._database)
        if self._database.fresh:
            # MLflow's own default experiment gives way to that of the archive.
            self._database.run("DELETE FROM experiments WHERE experiment_id = 0")
        return nothing_known

    def write(self, chunk: Chunk) -> None:
        chunk = replace(chunk, tables=self._held.fit(chunk.tables))
        tables = {name: without_existing(rows, name, self._existing) for name, rows in chunk.tables.items()}
        self._count_existing(chunk.tables, tables)
        owners = self._owners(chunk)
        for file in chunk.artifacts:
            self._write_artifact(file, owners)
        stored = self._stored(tables, owners, complete=chunk.complete)
        prepared = [(name, rows, self._database.prepared(rows)) for name, rows in stored]
        points = next((rows for name, rows in stored if name == "metrics"), None)
        overlaps = self._thread.histories.overlaps(points, complete=chunk.complete)
        with self._lock:
            for name, rows, form in prepared:
                self._insert(name, rows, form, is_overlapping=overlaps and name == "metrics")
            self._count_rows(tables)
            self._list_acting_tags(tables.get("experiment_tags"))
            for name, unknown_rows in chunk.unknown_tables.items():
                self._put_back(name, unknown_rows)
        if "metrics" in tables:
            self._progress.advance("points", tables["metrics"].num_rows)

    def _count_rows(self, tables: Mapping[str, pa.Table]) -> None:
        for name, rows in tables.items():
            if name in MAPS or (name == "gaps" and rows.num_rows):
                self._count("gaps_in_source" if name == "gaps" else name, rows.num_rows)

    def _put_back(self, name: str, rows: pa.Table) -> None:
        """Insert a table that this version does not know, or report why that cannot be."""
        reason = reason_against(self._database, name, rows, self._revision)
        if reason is not None:
            refused = f"{rows.num_rows} rows of the table {name} are not put back: {reason}"
            gap = Gap(owner_kind=SOURCE, owner_id=name, path="", code=refusals.KIND_REFUSED, reason=refused)
            self._report.gaps.append(gap)
        elif rows.num_rows:
            self._database.insert(name, self._database.prepared(rows))
            self._count(name, rows.num_rows)

    def _list_acting_tags(self, tags: pa.Table | None) -> None:
        if tags is not None:
            acting = acting_tags(tags["key"].to_pylist())
            rows = tags.select(["experiment_id", "key"]).to_pylist()
            self._acting_tags += [row for row in rows if row["key"] in acting]

    def _owners(self, chunk: Chunk) -> ChunkOwners:
        """Return what is known of the owners of a chunk's artifacts, also from the chunks that it continues."""
        owners = self._thread.owners or ChunkOwners()
        self._thread.owners = None if chunk.complete else owners
        self._locations.learn(chunk.tables, chunk.artifacts, owners)
        return owners

    def _stored(
        self, tables: Mapping[str, pa.Table], owners: ChunkOwners, *, complete: bool
    ) -> list[tuple[str, pa.Table]]:
        """Return rows of the database, in an order in which everything comes before what refers to it."""
        stored: list[tuple[str, pa.Table]] = []
        tables = self._filling.filled(tables)
        for name, table in MAPS.items():
            rows = tables.get(name)
            columns = self._database.schema.get(table.stored_in)
            if rows is None or not rows.num_rows or columns is None:
                continue
            if name == "metrics":
                single = without_equal_points(rows)
                if equal := rows.num_rows - single.num_rows:
                    with self._lock:
                        self._count("equal_points", equal)
                rows = single
            for change, number in changed_values(rows, table, self._database.dialect).items():
                with self._lock:
                    self._count(change, number)
            rows = self._locations.rewritten(name, rows, owners)
            extra = self._filling.further_columns(name, rows, tables)
            stored.append((table.stored_in, to_stored(rows, table, columns, extra)))
        metrics = tables.get("metrics", TABLES["metrics"].schema.empty_table())
        latest = self._thread.histories.latest(metrics, complete=complete)
        if latest is not None and latest.num_rows:
            stored.append((_LATEST, latest))
        stored += self._filling.further_rows(tables, self._database.schema)
        return stored

    def _insert(self, table: str, rows: pa.Table, form: Any, *, is_overlapping: bool) -> None:
        if is_overlapping:
            self._count("equal_points", rows.num_rows - self._database.insert_new(table, form))
            return
        if table == "workspaces":
            for name in rows["name"].to_pylist():
                self._database.run("DELETE FROM workspaces WHERE name = ?", (name,))
        self._database.insert(table, form)

    def _write_artifact(self, file: ArtifactFile, owners: ChunkOwners) -> None:
        if self._options.artifact_root is None or not self._options.write_artifacts:
            return
        if file.owner_id in self._existing.get(file.owner_kind, NOTHING):
            return
        try:
            place = self._locations.of(owners, file.owner_kind, file.owner_id)
            placed = self._locations.placed(file)
            if self._shared is not None:
                self._shared.add(_to_write(file, place, placed.path))
                return
            self._files.write(place, placed)
        except ArtifactWriteError as error:
            self._not_written(file, error.code, str(error), everywhere=error.everywhere)
        except (ArtifactUnreadableError, LookupError) as error:
            self._refuse(file, refusals.ARTIFACT_REFUSED, str(error))
        else:
            self._count_written(file)

    def _not_written(self, file: ArtifactFile | FileToWrite, code: str, reason: str, *, everywhere: bool) -> None:
        if everywhere:
            raise TargetError(f"{reason}. Nothing was restored; mend that and give the same command again")
        self._refuse(file, code, reason)

    def _count_written(self, file: ArtifactFile | FileToWrite) -> None:
        with self._lock:
            self._count("artifacts", 1)
            self._count("artifact_bytes", file.size or 0)
        self._progress.advance("artifacts", 1)
        self._progress.advance("bytes", file.size or 0)

    def _ended(self, file: FileToWrite, refused: FileRefused | None) -> None:
        if refused is None:
            self._count_written(file)
        else:
            self._not_written(file, refused.code, refused.reason, everywhere=refused.everywhere)

    def _refuse(self, file: ArtifactFile | FileToWrite, code: str, reason: str) -> None:
        gap = Gap(owner_kind=file.owner_kind, owner_id=file.owner_id, path=file.path, code=code, reason=reason)
        with self._lock:
            self._report.gaps.append(gap)

    def _count(self, name: str, amount: int) -> None:
        self._report.counts[name] = self._report.counts.get(name, 0) + amount

    def _count_existing(self, before: Mapping[str, pa.Table], after: Mapping[str, pa.Table]) -> None:
        for name, rows in before.items():
            table, skipped = TABLES[name], rows.num_rows - after[name].num_rows
            if skipped and table.key == table.owner and table.entity != WORKSPACE:
                with self._lock:
                    self._count(f"{name}_there_already", skipped)

    def finish(self) -> Report:
        try:
            if self._shared is not None:
                self._shared.write(self._files, self._options.artifacts_destination, self._ended)
            self._database.commit()
        except CommitUncertainError:
            self._files.keep()
            raise
        except BaseException:
            self._take_back()
            raise
        root = self._options.artifact_root
        self._report.details |= {
            "target": self._database.address,
            "artifact_root": root if root is None else without_password(root),
            "filled": self._filling.counts,
            "left_by_killed": self._keep(),
            "acting_tags": self._acting_tags,
        }
        self._held.add_to(self._report.counts, self._report.details)
        if self._acting_tags:
            keys = ", ".join(sorted({tag["key"] for tag in self._acting_tags}))
            self._progress.note(
                f"{len(self._acting_tags)} experiment tags are restored on which a server may act ({keys}): look at "
                "them before a server is started on this database"
            )
        return self._report

    def _keep(self) -> dict[str, int | None]:
        lists = self._files.keep()
        for path, number in lists.items():
            count = "perhaps some" if number is None else number
            self._progress.note(f"{count} files that a killed restore wrote are not among those of this one: {path}")
        return lists

    def abort(self) -> None:
        try:
            self._database.rollback()
        finally:
            self._take_back()

    def _take_back(self) -> None:
        if problems := self._files.take_back():
            self._progress.note(f"{len(problems)} artifact files that were written could not be removed; {problems[0]}")


def _to_write(file: ArtifactFile, uri: str, path: str) -> FileToWrite:
    """Return what a worker needs; the mark of a file of an archive is its digest."""
    owner = file.owner_kind, file.owner_id
    return FileToWrite(*owner, path=file.path, size=file.size or 0, digest=file.mark or "", uri=uri, to=path)
