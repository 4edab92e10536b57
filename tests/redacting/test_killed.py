"""What a killed export with rules leaves: no text of what was asked for, and nothing that another one takes up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_archive.flow.chunk import Chunk, Shard
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format.fingerprint import Fingerprint
from mlflow_archive.format.redaction import Redaction
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from mlflow_archive.writer.redacted import Redacted
from tests.support.chunks import ChunkSource, chunk, experiment, run

ALICE, BOB = "0a" * 16, "0b" * 16
FACTS = SourceFacts(kind="mlruns", uri="file:///home/alice/mlruns")
REDACTED = Redacted(redaction=Redaction(rules="ab" * 32), source=lambda: {"kind": "mlruns", "uri": ""}, selection={})


class Stopping(ChunkSource):
    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        yield from super().plan(selection, progress)
        raise InterruptedError


def of(run_id: str) -> Chunk:
    fingerprint = Fingerprint(2 * run_id).row("run", run_id)
    return chunk(experiments=[experiment("1", "one")], runs=[run(run_id, "1")], fingerprints=[fingerprint])


def export(path: Path, source: ChunkSource, selection: Selection, redacted: Redacted = REDACTED) -> None:
    options = ArchiveOptions(seal_seconds=0, jobs=1)
    copy(source, ArchiveSink(path, options, tool="t", clock_ms=lambda: 1, redacted=redacted), selection, jobs=1)


def test_another_selection_takes_nothing_up(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(InterruptedError):
        export(path, Stopping((0, [of(ALICE)]), facts=FACTS), Selection(filter_string="tags.who = 'alice'"))
    assert list((path / "staging").glob("*.rows"))
    assert [file.name for file in path.rglob("*") if file.is_file() and b"alice" in file.read_bytes()] == []
    export(path, ChunkSource((0, [of(BOB)]), facts=FACTS), Selection(filter_string="tags.who = 'bob'"))
    with open_archive(path) as archive:
        assert archive.table("runs")["run_id"].to_pylist() == [BOB]


def test_what_is_erased_now_is_not_taken_up(tmp_path: Path) -> None:
    """A run was staged, and is given the tag since by which a rule erases it."""
    path = tmp_path / "a"
    with pytest.raises(InterruptedError):
        export(path, Stopping((0, [of(ALICE)]), facts=FACTS), Selection())
    erased = replace(REDACTED, erased={"run": {ALICE}})
    export(path, ChunkSource((0, [of(BOB)]), facts=FACTS), Selection(), erased)
    with open_archive(path) as archive:
        assert archive.table("runs")["run_id"].to_pylist() == [BOB]
