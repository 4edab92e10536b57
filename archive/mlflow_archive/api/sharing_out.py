"""An export whose shards are read and written by workers: processes of this machine, or a Dask cluster."""

from __future__ import annotations

import pickle
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Final

from mlflow_archive.errors import MlflowArchiveError, TargetError
from mlflow_archive.flow.chunk import Chunk, Known, Shard
from mlflow_archive.flow.copy import by_stages, chunks_of
from mlflow_archive.flow.report import Progress, Quiet, Report
from mlflow_archive.flow.source import SharedSource
from mlflow_archive.kinds import KINDS
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.locate import SourceAt, absolute_uri
from mlflow_archive.workers.crew import Crew, first_and_more
from mlflow_archive.workers.kept import close_kept, keeping
from mlflow_archive.workers.pools import Pool, first_refusal
from mlflow_archive.writer.export import ArchiveSink
from mlflow_archive.writer.parcel import Parcel, WritingPlan
from mlflow_archive.writer.shard_writer import Heard, ShardWriter

_MOST_SHARDS: Final = 16
"""A parcel holds up to so many shards: each has packs of its own."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ExportTask:
    """Some shards of one stage, with all that it takes to read and write them; plain data.

    ``lent`` is what the source lends, pickled, so that a worker sees by its bytes whether it has it already.
    """

    source: SourceAt
    lent: bytes
    writing: WritingPlan
    shards: tuple[Shard, ...] = ()
    stored: frozenset[bytes] = frozenset()
    probe: str = ""

    def __repr__(self) -> str:
        """Return what messages call it."""
        return first_and_more([shard.name for shard in self.shards] or ["no shard"])


class _Worker:
    """A source and a writer that are open in one thread of a worker, for the tasks of one export."""

    def __init__(self, task: ExportTask) -> None:
        self._lent, self._heard = b"", Heard()
        with ExitStack() as stack:
            self._writer = ShardWriter(task.writing)
            stack.callback(self._writer.close)
            self._source = task.source.open(self._heard)
            stack.callback(self._source.close)
            self.borrow(task.lent)
            self._opened = stack.pop_all()

    def borrow(self, lent: bytes) -> None:
        """Take what the source lends, if it is not known yet."""
        if lent != self._lent:
            self._source.borrow(pickle.loads(lent))  # noqa: S301 - from whoever gives out the work
            self._lent = lent

    def write(self, task: ExportTask) -> Parcel:
        """Read the shards of a task and write them."""
        self.borrow(task.lent)
        self._heard.begin()
        parcel = self._writer.write(self._chunks(task.shards), task.stored, self._heard)
        return replace(parcel, findings=self._source.take_findings())

    def _chunks(self, shards: tuple[Shard, ...]) -> Iterator[Chunk]:
        for shard in shards:
            yield from self._source.read(shard, self._writer.known)
            self._heard.advance(KINDS[shard.kind].plural, shard.weight)

    def close(self) -> None:
        """Release both."""
        self._opened.close()


def write_shards(task: ExportTask) -> Parcel:
    """Read and write some shards: what a worker does. What it opens stays open for the next task of the export."""
    with keeping(task.writing.token, lambda: _Worker(task)) as worker:
        return worker.write(task)


def try_place(task: ExportTask) -> str:
    """Return why this worker cannot read the source, or write where the archive is; nothing where it can."""
    staging = task.writing.staging
    try:
        if staging is not None and (staging / _PROBE).read_text(encoding="utf-8") != task.probe:
            return f"{staging} is another folder there"
        with closing(_Worker(task)):
            return ""
    except (MlflowArchiveError, OSError) as error:
        return str(error)


_PROBE: Final = "probe"


class SharingOut:
    """Gives out the shards of one export, those of a stage when the stages before are done."""

    def __init__(
        self, at: SourceAt, source: SharedSource, sink: ArchiveSink, known: Known, pool: Pool, progress: Progress
    ) -> None:
        self._at, self._source, self._sink, self._known, self._pool = at, source, sink, known, pool
        self._progress = progress
        self._plan = sink.lend()
        if pool.elsewhere and self._plan.staging is None:  # of a bucket, what is staged is on this machine
            self._plan = replace(self._plan, staged=())
        self._lent: bytes | None = None
        self._waiting: list[Shard] = []
        self._task_count = 0
        self._crew: Crew[ExportTask, Parcel] = Crew(
            pool, write_shards, self._take, ahead=2 * pool.size, tell=progress.note
        )

    @property
    def token(self) -> str:
        """That of this export."""
        return self._plan.token

    def run(self, shards: Iterator[Shard]) -> None:
        """Have all shards read and written. Raises what source and sink raise, WorkError."""
        try:
            by_stages(shards, self._give, self._wait)
        except BaseException:
            self._crew.stop()
            raise

    def _give(self, shard: Shard) -> None:
        if shard.travels:
            self._waiting.append(self._source.ready(shard))
            if len(self._waiting) >= self._size():
                self._send()
            return
        for chunk in chunks_of(self._source, shard, self._known):
            self._sink.write(chunk)
        self._progress.advance(KINDS[shard.kind].plural, shard.weight)

    def _size(self) -> int:
        """Return how many shards a task gets: one at first, that all workers have some, then more and more."""
        return min(_MOST_SHARDS, 1 + self._task_count // (8 * self._pool.size))

    def _send(self) -> None:
        if self._waiting:
            if self._lent is None:
                self._lent = self._lend()
            stored = self._sink.stored()
            shards, self._waiting = tuple(self._waiting), []
            task = ExportTask(source=self._at, lent=self._lent, writing=self._plan, shards=shards, stored=stored)
            self._crew.give(task)
            self._task_count += 1

    def _lend(self) -> bytes:
        """Return what the source lends; the first time, try whether all workers can do with it."""
        folder = self._plan.staging if self._pool.elsewhere else None
        lent = pickle.dumps(self._source.lend(folder))
        if not self._task_count:
            self._try(ExportTask(source=self._at, lent=lent, writing=self._plan, probe=secrets.token_hex()))
        return lent

    def _try(self, task: ExportTask) -> None:
        if not self._source.has_moment:
            self._progress.note(NO_MOMENT)
        if self._plan.staging is not None:
            (self._plan.staging / _PROBE).write_text(task.probe, encoding="utf-8")
        if refused := first_refusal(self._pool, try_place, task):
            raise TargetError(
                f"a worker cannot open what all of them need, the source and the place of the archive: {refused}"
            )

    def _wait(self) -> None:
        self._send()
        self._crew.wait()
        self._lent = None

    def _take(self, parcel: Parcel) -> None:
        if parcel.findings is not None:
            self._source.add_findings(parcel.findings)
        self._sink.take(parcel)


def _begin_early(pool: Pool, at: SourceAt) -> None:
    """Have processes of this machine start, and import what opens the source, while the export is planned."""
    if pool.sends and not pool.elsewhere:
        for _ in range(pool.size):
            pool.submit(_import_source, at)  # what fails there fails again with the first task, and is told then


def _import_source(at: SourceAt) -> None:
    at.open(Quiet()).close()


NO_MOMENT: Final = (
    "the source gives its workers no common moment: what is written to it meanwhile may be read in part, as over REST"
)


def source_at(uri: str | None, artifact_map: Sequence[tuple[str, str]], artifacts_destination: str | None) -> SourceAt:
    """Return what opens a source, also in another folder."""
    places = tuple(artifact_map)
    return SourceAt(uri=absolute_uri(uri), artifact_map=places, artifacts_destination=artifacts_destination)


def export_by_workers(
    at: SourceAt, source: SharedSource, sink: ArchiveSink, selection: Selection | None, pool: Pool, progress: Progress
) -> Report:
    """Export a source that was opened ``at`` a place with the workers of a pool, which is closed.

    The report says whether they saw one moment.
    Raises what source and sink raise, and WorkError, after ``sink.abort()``; nothing is committed then, and the same
    export goes on.
    """
    selection = selection or Selection()
    with closing(source):
        try:
            with closing(pool):
                facts = source.facts()
                _begin_early(pool, at)
                known = sink.begin(facts, selection)
                sharing_out = SharingOut(at, source, sink, known, pool, progress)
                try:
                    sharing_out.run(source.plan(selection, progress))
                finally:
                    pool.everywhere(close_kept, sharing_out.token)
            has_moment = source.has_moment
        except BaseException:
            sink.abort()
            raise
        report = sink.finish()
    report.details["one_moment"] = has_moment
    return report
