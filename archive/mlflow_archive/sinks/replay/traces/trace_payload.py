"""The payloads of traces: spans into the target's table where they stay the same, else as ``traces.json``; attachments.

``traces.json`` lies where the target says that the artifacts of a trace are; its server and clients read it there.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from enum import Enum, auto
from typing import BinaryIO, Final

from mlflow_archive.errors import ItemError, ServerError
from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format import refusals
from mlflow_archive.kinds import EXPERIMENT, TRACE
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.target.target import TargetArtifacts
from mlflow_archive.sinks.replay.traces.span_payload import (
    ARCHIVE_FILE,
    SPANS_FILE,
    holds_more,
    spans_file,
    spans_of_archived,
)
from mlflow_archive.sinks.replay.traces.span_table import Spans, SpanTable
from mlflow_archive.sinks.replay.traces.trace_info import ARTIFACT_LOCATION, SPANS_LOCATION
from mlflow_archive.sinks.replay.traces.trace_job import TraceJob
from mlflow_archive.sinks.replay.writing.artifact_copy import artifact_refusal

IN_TABLE: Final = "TRACKING_STORE"
_ARCHIVED: Final = "ARCHIVE_REPO"


class Home(Enum):
    """Where the spans of a trace go: they are there already, into the table, or into a file."""

    THERE = auto()
    TABLE = auto()
    FILE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadFile:
    """A file on its way to the place of a trace."""

    path: str
    size: int | None
    open: Callable[[], AbstractContextManager[BinaryIO]]


class TracePayloads:
    """Writes payloads. Usable by several threads."""

    def __init__(self, context: ReplayContext, table: SpanTable) -> None:
        self._context = context
        self._table = table

    def write(self, jobs: Sequence[TraceJob]) -> None:
        """Write what is missing of the payloads of some traces; what cannot be written is refused, one by one."""
        homes: dict[str, Home] = {}
        sizes: dict[str, Mapping[str, int]] = {}
        waiting: list[tuple[TraceJob, Spans]] = []
        for job in jobs:
            if not len(job.rows.spans) and not job.rows.files:
                continue
            try:
                sizes[job.rows.trace_id] = self._place(job).sizes() if job.existed else {}
                home, spans = self._home(job, sizes[job.rows.trace_id])
            except (ItemError, ServerError) as exc:
                self._context.refuse(TRACE, job.rows.trace_id, refusals.SPANS_REFUSED, exc, path="spans")
                home, spans = Home.THERE, None
            homes[job.rows.trace_id] = home
            if spans is not None:
                waiting.append((job, spans))
        for job in self._table.send(waiting):
            homes[job.rows.trace_id] = Home.FILE
        for job in jobs:
            if job.rows.trace_id in homes:
                self._write_files(job, homes[job.rows.trace_id], sizes.get(job.rows.trace_id, {}))

    def _place(self, job: TraceJob) -> TargetArtifacts:
        location = None if job.info is None else job.info.get("tags", {}).get(ARTIFACT_LOCATION)
        if not location:
            raise ItemError("the target does not say where the artifacts of this trace go")
        return self._context.target.place(location)

    def _home(self, job: TraceJob, sizes: Mapping[str, int]) -> tuple[Home, Spans | None]:
        """Return where the spans go, and the spans that go into the table."""
        existing_tags = {} if job.info is None or not job.existed else job.info.get("tags", {})
        location = existing_tags.get(SPANS_LOCATION)
        if location == _ARCHIVED or (location == IN_TABLE and not len(job.rows.spans)):
            self._context.receipt.changed("trace_payloads_kept_as_in_target")
            return Home.THERE, None
        if location == IN_TABLE:
            if self._table.holds(job) and not (job.is_untouched and job.has_gained):
                return Home.THERE, None
            self._make_again(job)
            return Home.FILE, None
        spans = None if SPANS_FILE in sizes else self._table.fitting(job)
        return (Home.FILE, None) if spans is None else (Home.TABLE, spans)

    def _make_again(self, job: TraceJob) -> None:
        """Make a trace again whose spans an import that was cut off has left changed."""
        if not job.is_untouched:
            raise ItemError("the target has other spans for this trace")
        self._table.remake(job)

    def _write_files(self, job: TraceJob, home: Home, sizes: Mapping[str, int]) -> None:
        for file in self.files(job, home):
            try:
                self._put(job, file, self._place(job), sizes)
            except (ItemError, ServerError) as exc:
                self._context.refuse(TRACE, job.rows.trace_id, artifact_refusal(exc), exc, path=file.path)
        if home is Home.FILE and len(job.rows.spans):
            self._context.receipt.changed("traces_with_spans_as_artifact")

    def files(self, job: TraceJob, home: Home) -> Iterator[PayloadFile]:
        """Yield the files that a trace gets, and refuse what none can be made of. Size is None where one is made."""
        rows = job.rows
        with_spans_file = home is Home.FILE and bool(len(rows.spans))
        if with_spans_file:
            yield PayloadFile(path=SPANS_FILE, size=None, open=lambda: closing(self._spans_file(job)))
        has_spans = any(file.path == SPANS_FILE for file in rows.files)
        for file in rows.files:
            if file.path == SPANS_FILE and with_spans_file:
                self._replace(job, file)
                continue
            if file.path == SPANS_FILE and home is Home.THERE and not len(rows.spans):
                continue
            if file.path == ARCHIVE_FILE and home is Home.FILE and not (with_spans_file or has_spans):
                yield from self._unarchived(job, file)
            yield PayloadFile(path=file.path, size=file.size, open=file.open)

    def _replace(self, job: TraceJob, file: ArtifactFile) -> None:
        """Leave a file of spans out for those of the database; where something is lost by that, it is refused."""
        try:
            with file.open() as data:
                more = holds_more(data.read(), job.rows.spans)
        except ItemError as exc:
            self._context.refuse(TRACE, job.rows.trace_id, artifact_refusal(exc), exc, path=file.path)
            return
        if not more:
            self._context.receipt.changed("trace_files_that_the_database_repeats")
            return
        reason = "the spans that the source has in its database take the place of this file, which has others"
        self._context.receipt.refuse(TRACE, job.rows.trace_id, file.path, refusals.ARTIFACT_REFUSED, reason)

    def _spans_file(self, job: TraceJob) -> BinaryIO:
        return spans_file(job.rows.spans, self._context.receipt.ids(EXPERIMENT).get)

    def _unarchived(self, job: TraceJob, file: ArtifactFile) -> Iterator[PayloadFile]:
        """Yield the spans of an archived payload as ``traces.json``; the payload itself comes as it is beside it."""
        try:
            with file.open() as archived:
                data = spans_of_archived(archived.read())
        except ItemError as exc:
            self._context.refuse(TRACE, job.rows.trace_id, refusals.SPANS_REFUSED, exc, path=file.path)
            return
        self._context.receipt.changed("traces_unarchived")
        yield PayloadFile(path=SPANS_FILE, size=None, open=lambda: closing(io.BytesIO(data)))

    def _put(self, job: TraceJob, file: PayloadFile, place: TargetArtifacts, sizes: Mapping[str, int]) -> None:
        existing_size = sizes.get(file.path)
        if existing_size is not None and existing_size == file.size:
            return
        with file.open() as data:
            size = data.seek(0, os.SEEK_END)
            data.seek(0)
            if existing_size == size:
                return
            place.put(file.path, data, size)
        job.wrote()
        self._context.receipt.count("artifacts")
        self._context.receipt.count("bytes", size)
