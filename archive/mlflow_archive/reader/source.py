"""An archive as a source: what import reads from.

Stage 0 holds experiments and datasets, stage 1 runs without a parent in the selection, stage 2 their children, and
so on, so that a sink sees parents before children.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import DamagedError, SelectionError
from mlflow_archive.format import gaps as gap_codes
from mlflow_archive.format.manifest import Export
from mlflow_archive.format.tables import BY_ROW, DATASET, EXPERIMENT, RUN, TABLES
from mlflow_archive.pipeline import (
    ArtifactFile,
    ArtifactUnreadableError,
    Chunk,
    Known,
    Progress,
    Selection,
    Shard,
    SourceFacts,
)
from mlflow_archive.reader.archive import Archive
from mlflow_archive.reader.blobs import Blobs, Piece

RUNS_PER_SHARD: Final = 50
POINTS_PER_CHUNK: Final = 500_000
_PARENT_TAG: Final = "mlflow.parentRunId"


class ArchiveSource:
    """Reads what is selected of an archive. Closing it does not close the archive.

    ``filter_string`` is not available on archives: SelectionError.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._blobs = Blobs(archive)
        self._selection = Selection()

    def facts(self) -> SourceFacts:
        """Return the facts of the newest export, and in ``extra`` those of each (see :func:`export_facts`)."""
        return export_facts(self._archive.newest_export)

    def export_of_runs(self) -> dict[str, int]:
        """Return, for archives of several exports, the number of the export each run's rows come from."""
        if len(self._archive.manifest.exports) == 1:
            return {}
        found: dict[str, int] = {}
        for member in self._archive.parts("runs"):
            for rows in self._archive.open_part(member).groups(None, ["run_id"]):
                found.update(dict.fromkeys(rows["run_id"].to_pylist(), member.export))
        return found

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        if selection.filter_string is not None:
            raise SelectionError("an archive cannot be filtered by --filter; select by --experiment or --run")
        self._selection = selection
        experiments = self._experiments(selection)
        runs = self._runs(selection, set(experiments))
        if selection.runs:
            experiments = {key: name for key, name in experiments.items() if key in set(runs.values())}
        yield Shard(name="experiments", payload=sorted(experiments))
        progress.expect("runs", len(runs))
        for stage, run_ids in enumerate(self._levels(runs), start=1):
            for at in range(0, len(run_ids), RUNS_PER_SHARD):
                ids = run_ids[at : at + RUNS_PER_SHARD]
                yield Shard(name=f"runs from {ids[0]}", stage=stage, weight=len(ids), payload=ids)

    def _experiments(self, selection: Selection) -> dict[str, str]:
        rows = self._archive.table("experiments").to_pylist()
        kept = [row for row in rows if selection.deleted or row["lifecycle_stage"] != "deleted"]
        found = [(row["experiment_id"], row["name"]) for row in kept]
        if missing := selection.unmatched_experiments(found):
            have = ", ".join(repr(name) for _, name in found[:5]) or "none"
            hidden = "" if selection.deleted else "; deleted ones are left out"
            message = f"no experiment {missing[0]!r} in {self._archive.path}; it has {have}{hidden}"
            raise SelectionError(message)
        return {key: name for key, name in found if selection.matches_experiment(key, name)}

    def _runs(self, selection: Selection, experiments: set[str]) -> dict[str, str]:
        columns = ["run_id", "experiment_id", "lifecycle_stage", "start_time"]
        rows = self._archive.table("runs", columns=columns)
        wanted = set(selection.runs)
        starts = pc.cast(rows["start_time"], pa.int64()).to_pylist()
        names = ("run_id", "experiment_id", "lifecycle_stage")
        found = {
            run: experiment
            for run, experiment, stage, start in zip(*(rows[n].to_pylist() for n in names), starts, strict=True)
            if experiment in experiments
            and (not wanted or run in wanted)
            and (selection.deleted or stage != "deleted")
            and selection.in_window(start)
        }
        if missing := [run for run in selection.runs if run not in found]:
            hint = "" if missing[0] not in rows["run_id"].to_pylist() else " among what else is selected"
            raise SelectionError(f"no run {missing[0]!r} in {self._archive.path}{hint}")
        return found

    def _levels(self, runs: Mapping[str, str]) -> list[list[str]]:
        """Split runs by their depth below the topmost selected parent; a cycle is cut where it is met."""
        parents: dict[str, str] = {}
        for rows in self._archive.batches("tags"):
            found = rows.filter(pc.equal(rows["key"], _PARENT_TAG))
            pairs = zip(found["run_id"].to_pylist(), found["value"].to_pylist(), strict=True)
            parents.update((child, parent) for child, parent in pairs if {child, parent} <= runs.keys())
        depths: dict[str, int] = {}
        for run in runs:
            path = [run]
            # A run that is its own ancestor has no depth: the chain is cut where it closes.
            while path[-1] in parents and path[-1] not in depths and parents[path[-1]] not in path:
                path.append(parents[path[-1]])
            depth = depths.get(path[-1], 0)
            for below, node in enumerate(reversed(path)):
                depths.setdefault(node, depth + below)
        levels: list[list[str]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
        for run in sorted(runs, key=lambda run: (runs[run], run)):
            levels[depths[run]].append(run)
        return [level for level in levels if level]

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        ids = shard.payload if isinstance(shard.payload, list) else []
        if shard.stage == 0:
            kinds = (EXPERIMENT, DATASET)
            names = [name for name, table in TABLES.items() if table.entity in kinds]
            yield Chunk(tables={name: self._archive.table(name, owners=ids) for name in names})
            return
        tables = {name: self._archive.table(name, owners=ids) for name, table in TABLES.items() if _of_run(name)}
        tables["fingerprints"] = tables["fingerprints"].filter(pc.equal(tables["fingerprints"]["owner_kind"], RUN))
        unchanged = [
            row["owner_id"]
            for row in tables["fingerprints"].to_pylist()
            if known(RUN, row["owner_id"]) == row["fingerprint"]
        ]
        if unchanged:
            ids = sorted(set(ids) - set(unchanged))
            values = pa.array(ids, pa.string())
            tables = {n: t.filter(pc.is_in(t[TABLES[n].owner[0]], value_set=values)) for n, t in tables.items()}
        artifacts = self._artifacts(tables.pop("artifacts"))
        yield from self._chunks(tables, artifacts, ids)

    def _chunks(self, tables: dict[str, pa.Table], artifacts: list[ArtifactFile], ids: list[str]) -> Iterator[Chunk]:
        """Yield one chunk, or several where the histories are long: these follow, the fingerprints come last."""
        waiting: list[pa.Table] = []
        rows = 0
        first: dict[str, pa.Table] | None = {n: t for n, t in tables.items() if n != "fingerprints"}
        for batch in self._archive.batches("metrics", owners=ids):
            if waiting and rows + batch.num_rows > POINTS_PER_CHUNK:
                yield Chunk(
                    tables={**(first or {}), "metrics": pa.concat_tables(waiting)},
                    artifacts=artifacts if first is not None else (),
                    complete=False,
                )
                first, waiting, rows = None, [], 0
            waiting.append(batch)
            rows += batch.num_rows
        metrics = pa.concat_tables(waiting) if waiting else TABLES["metrics"].schema.empty_table()
        last = {"metrics": metrics, "fingerprints": tables["fingerprints"]}
        yield Chunk(tables={**(first or {}), **last}, artifacts=artifacts if first is not None else ())

    def _artifacts(self, rows: pa.Table) -> list[ArtifactFile]:
        if not self._selection.artifacts:
            return []
        listed = [row for row in rows.to_pylist() if self._selection.wants_artifact(row["path"], row["size"])]
        pieces = self._blobs.pieces({row["digest"] for row in listed})
        # In the order they lie in the packs, so that blobs of one frame are decoded once.
        listed.sort(key=lambda row: _place(pieces.get(row["digest"])))
        return [
            ArtifactFile(
                owner_kind=row["owner_kind"],
                owner_id=row["owner_id"],
                path=row["path"],
                size=row["size"],
                open=partial(_open, self._blobs, row["digest"], pieces.get(row["digest"], [])),
            )
            for row in listed
        ]

    def close(self) -> None:
        """Do nothing: who opened the archive closes it."""


def export_facts(export: Export) -> SourceFacts:
    """Return what an export states of its source; ``extra["exported_ms"]`` is when it was made."""
    source = export.source
    return SourceFacts(
        kind="archive",
        uri=str(source.get("uri", "")),
        mlflow_version=source.get("mlflow_version"),
        schema_revision=source.get("schema_revision"),
        extra={"exported_ms": str(export.created_ms), "export": str(export.number)},
    )


def _of_run(name: str) -> bool:
    return name != "metrics" and TABLES[name].entity in (RUN, BY_ROW)


def _place(pieces: list[Piece] | None) -> tuple[str, int, int]:
    return (pieces[0].pack, pieces[0].frame_offset, pieces[0].offset_in_frame) if pieces else ("", 0, 0)


def _open(blobs: Blobs, digest: str, pieces: list[Piece]) -> BinaryIO:
    try:
        return blobs.open(digest, pieces)
    except DamagedError as error:
        raise ArtifactUnreadableError(str(error), code=gap_codes.ARTIFACT_UNREADABLE) from error
