"""The sink that writes an archive.

Threads write chunks into segments of their own; blobs go to shared packs. ``finish`` merges the segments into
sorted parts and commits. Killed at any moment, the archive is what it was before, and the same export continues.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock, local
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlflow_archive.errors import SelectionError, TargetError
from mlflow_archive.flow.chunk import ArtifactFile, ArtifactUnreadableError, Chunk, Gap, Known, gap_table
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format import gaps as gap_codes
from mlflow_archive.format.fingerprint import fingerprints_of
from mlflow_archive.format.location import ArchivePlace
from mlflow_archive.format.manifest import Export
from mlflow_archive.kinds import IDENTITIES, INCREMENTAL, TABLES
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.storage.files import Files
from mlflow_archive.writer.base import Base, is_of_no_object, owned, tables_of_entity
from mlflow_archive.writer.finishing import Finishing
from mlflow_archive.writer.packs import BlobChangedError, FrameBuilder, PackWriter
from mlflow_archive.writer.redacted import Redacted, check_redaction, stated_selection
from mlflow_archive.writer.same_source import SameSource, check_versions_whole
from mlflow_archive.writer.scratch import Scratch
from mlflow_archive.writer.segments import SEAL_SECONDS, Segment
from mlflow_archive.writer.settled import settled
from mlflow_archive.writer.staged import read_block
from mlflow_archive.writer.staging import Staging
from mlflow_archive.writer.target_place import target_at

MAX_REPORTED_GAPS: Final = 10_000
UNNOTICED: Final = (
    "a server does not tell of points logged later for earlier steps, nor of files replaced by as many bytes"
)
"""What an append over REST cannot see of runs that look unchanged."""
_READ_AGAIN: Final = [(kind, IDENTITIES[kind]) for kind in INCREMENTAL]
"""Their entities are staged by an interrupted export, and come again where they have changed since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveOptions:
    """How an archive is written. ``level`` is zstd's, 1 to 19; a segment is sealed every ``seal_seconds``.

    An append with ``recheck`` reads and writes again what looks unchanged, one with ``same_source`` takes the word of
    the caller that the source is that of the archive. With ``base``, the path of an archive, a delta of it is written.
    """

    append: bool = False
    recheck: bool = False
    same_source: bool = False
    base: str | os.PathLike[str] | None = None
    level: int = 3
    jobs: int = 4
    seal_seconds: float = SEAL_SECONDS


@dataclass(slots=True)
class _Thread:
    segment: Segment
    frames: FrameBuilder
    with_gaps: set[tuple[str, str]]
    continuing: bool = False


class ArchiveSink:
    """Writes one export into the archive at ``path``; made for one copy.

    ``redacted`` says by which rules values were taken out of what is written.
    ``tool`` names the program and version that writes, ``clock_ms`` gives the time of the export. Raises TargetError
    if there is an archive and ``append`` is off, or something else is at that path.
    """

    def __init__(
        self,
        path: ArchivePlace,
        options: ArchiveOptions | None = None,
        *,
        tool: str,
        clock_ms: Callable[[], int],
        progress: Progress | None = None,
        files: Files | None = None,
        redacted: Redacted | None = None,
    ) -> None:
        options = options or ArchiveOptions()
        self._redacted = redacted
        self._options, self._tool, self._clock_ms = options, tool, clock_ms
        self._progress: Progress = progress or Quiet()
        self._files = files or Files()
        self._target = target_at(path, append=options.append, files=self._files, of_base=options.base)
        root, export = self._target.root, self._target.export_number
        self._staging = Staging(self._files, root, export)
        self._scratch = Scratch()
        self._packs = PackWriter(self._target.packs, export, self._scratch, level=options.level, jobs=options.jobs)
        self._threads: list[_Thread] = []
        self._local = local()
        self._lock = Lock()
        self._resumed: frozenset[Path] = frozenset()
        self._report = Report()
        self._gaps_of_no_object: set[Gap] = set()
        self._facts = SourceFacts(kind="", uri="")
        self._selection = Selection()
        self._same_source: SameSource | None = None
        self._unknown_tables: dict[str, pa.Table] = {}

    def begin(self, facts: SourceFacts, selection: Selection) -> Known:
        if selection.unknown_tables and facts.kind != "database":
            raise SelectionError(f"--unknown-tables is for databases, and {facts.uri} is none")
        self._facts, self._selection = facts, selection
        base = self._target.base
        if base is not None and (self._options.append or self._target.is_delta):
            check_versions_whole(base, selection)
        if base is not None:
            check_redaction(base.manifest, self._redacted)
        plan = {"source": [facts.kind, facts.uri], "selection": asdict(selection), "base": base.id if base else None}
        if self._redacted is not None:
            plan |= {"selection": None, "redaction": self._redacted.redaction.to_json()}
        self._target.admit(plan)
        self._target.make_root()
        self._staging.lock()
        self._target.check_current(self._staging)
        resumed = self._staging.open(plan, self._target.packs)
        self._packs.resume(self._staging.pack_sizes)
        if base is not None:
            self._learn_base(base)
            self._look_at_source(base, facts)
        if resumed:
            self._progress.note("continuing an export that was interrupted")
            self._learn_staged()
        return self._scratch.known

    def _learn_base(self, base: Base) -> None:
        if not self._options.recheck:
            self._scratch.add_known(base.fingerprints())
        self._scratch.add_blobs(base.digests())

    def _look_at_source(self, base: Base, facts: SourceFacts) -> None:
        same_source = SameSource(base, facts)
        if not same_source.is_known_place:
            self._progress.note(same_source.note())
        if not self._options.same_source:
            self._same_source = same_source
        if facts.kind == "rest" and not self._options.recheck:
            self._progress.note(f"{UNNOTICED}; --recheck reads all again")
            self._report.details["unnoticed"] = UNNOTICED

    def _learn_staged(self) -> None:
        self._resumed = frozenset(file.path for file in self._staging.staged)
        for file in self._staging.staged:
            for block in file.blocks:
                if block.table == "fingerprints":
                    rows = read_block(file.path, block, TABLES["fingerprints"])
                    self._scratch.add_known(fingerprints_of(rows), segment=file.segment)

    def write(self, chunk: Chunk) -> None:
        if self._same_source is not None:
            self._same_source.check(chunk.tables)
        self._unknown_tables |= chunk.unknown_tables
        thread = self._thread()
        tables = dict(chunk.tables)
        artifacts, gaps = self._store_artifacts(chunk.artifacts, thread)
        if artifacts.num_rows:
            tables["artifacts"] = artifacts
        if gaps:
            new_gaps = gap_table(gaps)
            tables["gaps"] = pa.concat_tables([tables["gaps"], new_gaps]) if "gaps" in tables else new_gaps
        self._note_gaps(tables.get("gaps"), thread)
        if self._resumed:
            self._forget_staged(tables)
        if "fingerprints" in tables and thread.with_gaps:
            tables["fingerprints"] = _without_owners(tables["fingerprints"], thread.with_gaps)
        if self._target.base is not None and thread.with_gaps and chunk.complete and not thread.continuing:
            tables = without_unchanged(tables, thread.with_gaps, self._target.base)
        for name, rows in tables.items():
            thread.segment.add(name, rows)
        if "metrics" in tables:
            self._progress.advance("points", tables["metrics"].num_rows)
        thread.continuing = not chunk.complete
        if chunk.complete:
            thread.with_gaps.clear()
            thread.segment.entity_complete()

    def _forget_staged(self, tables: dict[str, pa.Table]) -> None:
        """Forget what an interrupted export staged of the entities that come again."""
        for kind, table in _READ_AGAIN:
            for entity_id in tables[table.name][table.key[0]].to_pylist() if table.name in tables else ():
                self._scratch.forget_staged(kind, entity_id)

    def _thread(self) -> _Thread:
        thread: _Thread | None = getattr(self._local, "thread", None)
        if thread is None:
            options = self._options
            segment = Segment(
                self._files, self._staging, self._packs, seal_seconds=options.seal_seconds, jobs=options.jobs
            )
            thread = self._local.thread = _Thread(segment, FrameBuilder(self._packs, self._scratch), set())
            with self._lock:
                self._threads.append(thread)
        return thread

    def _store_artifacts(self, files: Iterable[ArtifactFile], thread: _Thread) -> tuple[pa.Table, list[Gap]]:
        rows: list[dict[str, Any]] = []
        gaps: list[Gap] = []
        for file in files:
            try:
                with file.open() as stream:
                    digest, size = self._packs.add(stream, thread.frames)
            except ArtifactUnreadableError as error:
                gaps.append(_gap(file, error.code, str(error)))
                continue
            except BlobChangedError:
                gaps.append(_gap(file, gap_codes.ARTIFACT_SIZE, "the file changed while it was read"))
                continue
            owner = {"owner_id": file.owner_id, "owner_kind": file.owner_kind}
            rows.append({**owner, "path": file.path, "size": size, "digest": digest})
            self._progress.advance("artifacts", 1)
            self._progress.advance("bytes", size)
        thread.frames.flush()
        return pa.Table.from_pylist(rows, schema=TABLES["artifacts"].schema), gaps

    def _note_gaps(self, rows: pa.Table | None, thread: _Thread) -> None:
        gaps = [Gap(**row) for row in rows.to_pylist()] if rows is not None else []
        thread.with_gaps.update((gap.owner_kind, gap.owner_id) for gap in gaps)
        with self._lock:
            self._gaps_of_no_object.update(gap for gap in gaps if is_of_no_object(gap))
            room = MAX_REPORTED_GAPS - len(self._report.gaps)
            self._report.gaps.extend(gaps[:room])

    def finish(self) -> Report:
        try:
            finishing = Finishing(
                files=self._files,
                staging=self._staging,
                scratch=self._scratch,
                packs=self._packs,
                target=self._target,
                level=self._options.level,
                jobs=self._options.jobs,
            )
            finishing.merge([thread.segment for thread in self._threads], self._resumed)
            finishing.add_unknown(self._unknown_tables)
            export = Export(
                number=self._target.export_number,
                created_ms=self._clock_ms(),
                tool=self._tool,
                source=_stated_source(self._facts) if self._redacted is None else self._redacted.source(),
                selection=stated_selection(self._selection) if self._redacted is None else self._redacted.selection,
                counts=finishing.counts,
                gaps=finishing.counts.get("gaps", 0),
                settled=self._settled(),
                redaction=None if self._redacted is None else self._redacted.redaction,
            )
            archive_id = finishing.commit(export)
        finally:
            self.abort()
        self._report.counts = dict(finishing.counts)
        newest = export.number - 1 if finishing.unchanged else export.number
        self._report.details |= {"archive_id": archive_id, "export": newest, "unchanged": finishing.unchanged}
        self._report.details |= finishing.of_delta
        if self._unknown_tables:
            sizes = {name: rows.num_rows for name, rows in sorted(self._unknown_tables.items())}
            self._report.details["unknown_tables"] = sizes
        return self._report

    def _settled(self) -> tuple[tuple[str, str], ...] | None:
        base = self._target.base
        if base is None:
            return None
        rechecked = self._options.recheck and not self._resumed
        return settled(base, self._gaps_of_no_object, self._selection, rechecked=rechecked) or None

    def abort(self) -> None:
        with ExitStack() as stack:  # each is closed, also when one before fails
            for thread in self._threads:
                stack.callback(thread.segment.close)
            for part in (self._target, self._scratch, self._staging):
                stack.callback(part.close)
            stack.callback(self._withdraw)
            stack.callback(self._packs.close)

    def _withdraw(self) -> None:
        """Leave nothing of an export that nothing could go on from, such as one whose filter the source refused."""
        if self._staging.holds_nothing:
            with suppress(TargetError):  # the error before says more, and the next export removes what is left
                self._target.withdraw(self._staging)


def _without_owners(rows: pa.Table, owners: set[tuple[str, str]]) -> pa.Table:
    """Leave out fingerprints of entities with gaps, so that a later export tries them again."""
    pairs = zip(rows["owner_kind"].to_pylist(), rows["owner_id"].to_pylist(), strict=True)
    return rows.filter(pa.array([pair not in owners for pair in pairs], pa.bool_()))


def _gap(file: ArtifactFile, code: str, reason: str) -> Gap:
    return Gap(owner_kind=file.owner_kind, owner_id=file.owner_id, path=file.path, code=code, reason=reason)


def _stated_source(facts: SourceFacts) -> dict[str, Any]:
    return {name: value for name, value in asdict(facts).items() if value is not None}


def without_unchanged(
    tables: Mapping[str, pa.Table], entities: Iterable[tuple[str, str]], base: Base
) -> dict[str, pa.Table]:
    """Return the tables of a chunk without those (kind, id) entities whose rows ``base`` holds just so.

    The tables must hold all rows of these entities.
    """
    remaining = dict(tables)
    for kind, entity_id in entities:
        if base.holds_entity(kind, entity_id, remaining):
            for table in tables_of_entity(kind):
                if table.name in remaining:
                    rows = remaining[table.name]
                    remaining[table.name] = rows.filter(pc.invert(owned(rows, table, kind, entity_id)))
    return remaining
