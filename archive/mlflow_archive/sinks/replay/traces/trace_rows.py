"""From the tables of chunks to traces, one by one. Times are ms since the epoch, those of spans ns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import Final

from mlflow_archive.flow.chunk import ArtifactFile, Chunk
from mlflow_archive.kinds import TABLES, TRACE
from mlflow_archive.sinks.replay.writing.rows import Row, rows_of

_IN_MEMORY: Final = 256 * 1024


class SpanTexts:
    """The JSON texts of the spans of one trace; where they are large, they lie in a temporary file."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by ``close``
        self._places: list[tuple[bool, int, int, int]] = []
        self.size_bytes = 0

    def add(self, row: Row) -> None:
        """Take a row of ``spans``; what MLflow has archived has no text there."""
        data = row["content"].encode()
        if data:
            child = row["parent_span_id"] is not None
            self._places.append((child, row["start_time_unix_nano"], self.size_bytes, len(data)))
            self._file.write(data)
            self.size_bytes += len(data)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        """Yield the texts in the order in which MLflow gives spans: roots first, then by their start."""
        for _, _, offset, size in sorted(self._places):
            self._file.seek(offset)
            yield self._file.read(size).decode()

    def close(self) -> None:
        self._file.close()


@dataclass(slots=True, kw_only=True)
class TraceRows:
    """What an archive holds of one trace; ``info`` is its row of ``traces``."""

    trace_id: str
    info: Row | None = None
    tags: dict[str, str | None] = field(default_factory=dict)
    metadata: dict[str, str | None] = field(default_factory=dict)
    assessments: list[Row] = field(default_factory=list)
    links: list[Row] = field(default_factory=list)
    files: list[ArtifactFile] = field(default_factory=list)
    spans: SpanTexts = field(default_factory=SpanTexts)

    def add(self, table: str, row: Row) -> None:
        """Take a row of one of the tables of traces."""
        match table:
            case "traces":
                self.info = row
            case "trace_tags":
                self.tags[row["key"]] = row["value"]
            case "trace_metadata":
                self.metadata[row["key"]] = row["value"]
            case "assessments":
                self.assessments.append(row)
            case "trace_links":
                self.links.append(row)
            case "spans":
                self.spans.add(row)


def take_traces(chunk: Chunk, traces: dict[str, TraceRows]) -> None:
    """Add what a chunk holds of traces to ``traces``, by source id."""

    def of(trace_id: str) -> TraceRows:
        # Not setdefault: each TraceRows opens a temporary file.
        if trace_id not in traces:
            traces[trace_id] = TraceRows(trace_id=trace_id)
        return traces[trace_id]

    for table in chunk.tables:
        if TABLES[table].entity == TRACE:
            for row in rows_of(chunk, table):
                of(row["trace_id"]).add(table, row)
    for file in chunk.artifacts:
        if file.owner_kind == TRACE:
            of(file.owner_id).files.append(file)
