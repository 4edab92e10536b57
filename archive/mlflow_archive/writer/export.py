"""The sink that writes an archive.

Threads write chunks into segments of their own; blobs go to shared packs. ``finish`` merges the segments into
sorted parts and commits. Killed at any moment, the archive is what it was before, and the same export continues.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import disk_usage
from tempfile import gettempdir
from threading import Lock, local
from typing import Any, Final

import pyarrow as pa

from mlflow_archive.errors import SelectionError, TargetError
from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format.fingerprint import fingerprints_of
from mlflow_archive.format.location import ArchivePlace, local_path
from mlflow_archive.format.manifest import Export
from mlflow_archive.kinds import IDENTITIES, INCREMENTAL, TABLES
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.storage.files import Files
from mlflow_archive.writer.base import Base, is_of_no_object
from mlflow_archive.writer.blob_rows import blobs_in_one_frame
from mlflow_archive.writer.chunks import ChunkWriter
from mlflow_archive.writer.coded import plain
from mlflow_archive.writer.finishing import Finishing
from mlflow_archive.writer.packs import PackWriter
from mlflow_archive.writer.parcel import Parcel, WritingPlan
from mlflow_archive.writer.redacted import Redacted, check_redaction, stated_selection, without_texts
from mlflow_archive.writer.same_source import SameSource, check_versions_whole
from mlflow_archive.writer.scratch import Scratch
from mlflow_archive.writer.segments import SEAL_SECONDS, Segment
from mlflow_archive.writer.settled import settled
from mlflow_archive.writer.staged import StagedBlock, StagedFile, read_block
from mlflow_archive.writer.staging import Staging
from mlflow_archive.writer.target_place import target_at

MAX_REPORTED_GAPS: Final = 10_000
MOST_STORED: Final = 4_000
UNNOTICED: Final = (
    "a server does not tell of points logged later for earlier steps, nor of files replaced by as many bytes"
)
"""What an append over REST cannot see of runs that look unchanged."""
_READ_AGAIN: Final = [(kind, IDENTITIES[kind]) for kind in INCREMENTAL]
"""Their entities are staged by an interrupted export, and come again where they have changed since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveOptions:
    """How an archive is written. ``level`` is zstd's, 1 to 19, where artifacts get smaller by it than by level 1; a
    segment is sealed every ``seal_seconds``.

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
        self._place = path.absolute() if isinstance(path, Path) else path
        self._redacted = redacted
        self._options, self._tool, self._clock_ms = options, tool, clock_ms
        self._progress: Progress = progress or Quiet()
        self._files = files or Files()
        self._target = target_at(path, append=options.append, files=self._files, of_base=options.base)
        root, export = self._target.root, self._target.export_number
        self._staging = Staging(self._files, root, export)
        self._scratch = Scratch()
        self._packs = PackWriter(
            self._target.packs,
            export,
            self._scratch,
            level=options.level,
            jobs=options.jobs,
            sender=self._target.sender(self._staging),
        )
        self._segments: list[Segment] = []
        self._local = local()
        self._lock = Lock()
        self._resumed: frozenset[Path] = frozenset()
        self._large: dict[bytes, None] = {}
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
            plan = without_texts(plan, self._redacted)
        self._target.admit(plan)
        self._target.make_root()
        if self._target.needs:
            free = f"{disk_usage(gettempdir()).free / 2**30:.1f} GiB"
            self._progress.note(f"{self._target.needs} in {gettempdir()}, where {free} are free")
        self._staging.lock()
        self._target.check_current(self._staging)
        resumed = self._staging.open(plan, self._target.packs, self._target)
        self._packs.resume(self._staging.pack_sizes, [pack.written for pack in self._staging.sent])
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
        for file in (*self._staging.staged, *(pack.rows for pack in self._staging.sent)):
            self._scratch.add_blobs(blobs_in_one_frame(file))

    def write(self, chunk: Chunk) -> None:
        if self._same_source is not None:
            self._same_source.check(chunk.tables)
        self._unknown_tables |= chunk.unknown_tables
        self._thread().write(chunk)

    def lend(self) -> WritingPlan:
        """Return what workers must know to write parcels of this export; asked after ``begin``."""
        target, options = self._target, self._options
        base = None if target.base is None else (self._place if options.append else _place(options.base))
        prints = (
            (file.path, tuple(block for block in file.blocks if block.table == "fingerprints"))
            for file in self._staging.staged
            if file.path in self._resumed
        )
        return WritingPlan(
            place=self._place,
            staging=target.writing_folder(self._staging),
            export=target.export_number,
            token=target.token,
            level=options.level,
            base=base,
            recheck=options.recheck,
            staged=tuple((path, blocks) for path, blocks in prints if blocks),
        )

    def take(self, parcel: Parcel) -> None:
        """Take what a worker wrote: from now on it counts, also for a later try. Raises TargetError."""
        rows = self._target.take(parcel, self._staging)
        if rows is not None:
            self._look_at(rows, parcel.blocks)
            path = self._staging.next_path()
            self._files.publish(rows, path)
            self._staging.seal(StagedFile(path=path, blocks=parcel.blocks), self._packs.sync(), parcel.packs)
        self._target.forget(parcel, self._staging)
        self._large |= dict.fromkeys(parcel.large)
        with self._lock:
            self._note(parcel.gaps)
        for unit, amount in parcel.counts.items():
            self._progress.advance(unit, amount)
        for message in parcel.notes:
            self._progress.note(message)

    def stored(self) -> frozenset[bytes]:
        """Return the digests of large blobs that workers need not write again, the newest of them."""
        return frozenset(list(self._large)[-MOST_STORED:])

    def _look_at(self, path: Path, blocks: Sequence[StagedBlock]) -> None:
        """Look at rows that are not staged yet, as if they had come as chunks."""
        looked_at = {"experiments"} if self._same_source is not None else set()
        looked_at |= {table.name for _, table in _READ_AGAIN} if self._resumed else set()
        for block in blocks:
            if block.table in looked_at:
                tables = {block.table: plain(read_block(path, block, TABLES[block.table]), TABLES[block.table])}
                if self._same_source is not None:
                    self._same_source.check(tables)
                self._forget_staged(tables)

    def _came(self, tables: Mapping[str, pa.Table], gaps: Sequence[Gap]) -> None:
        """Note what came in a chunk before it is staged."""
        if self._resumed:
            self._forget_staged(tables)
        with self._lock:
            self._note(gaps)

    def _note(self, gaps: Sequence[Gap]) -> None:
        self._gaps_of_no_object.update(gap for gap in gaps if is_of_no_object(gap))
        room = MAX_REPORTED_GAPS - len(self._report.gaps)
        self._report.gaps.extend(gaps[:room])

    def _forget_staged(self, tables: Mapping[str, pa.Table]) -> None:
        """Forget what an interrupted export staged of the entities that come again."""
        for kind, table in _READ_AGAIN:
            for entity_id in tables[table.name][table.key[0]].to_pylist() if table.name in tables else ():
                self._scratch.forget_staged(kind, entity_id)

    def _thread(self) -> ChunkWriter:
        thread: ChunkWriter | None = getattr(self._local, "thread", None)
        if thread is None:
            options = self._options
            segment = Segment(
                self._files, self._staging, self._packs, seal_seconds=options.seal_seconds, jobs=options.jobs
            )
            thread = self._local.thread = ChunkWriter(
                segment, self._packs, self._scratch, base=self._target.base, came=self._came, progress=self._progress
            )
            with self._lock:
                self._segments.append(segment)
        return thread

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
            finishing.merge(self._segments, self._resumed)
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
            for segment in self._segments:
                stack.callback(segment.close)
            for part in (self._target, self._scratch, self._staging):
                stack.callback(part.close)
            stack.callback(self._withdraw)
            stack.callback(self._packs.close)

    def _withdraw(self) -> None:
        """Leave nothing of an export that nothing could go on from, such as one whose filter the source refused."""
        if self._staging.holds_nothing:
            with suppress(TargetError):  # the error before says more, and the next export removes what is left
                self._target.withdraw(self._staging)


def _place(base: str | os.PathLike[str] | None) -> Path | None:
    return None if base is None else local_path(base).absolute()


def _stated_source(facts: SourceFacts) -> dict[str, Any]:
    return {name: value for name, value in asdict(facts).items() if value is not None}
