"""Whatever owns a file that could not be read is incomplete: an append fetches it once it can be reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from mlflow_archive.flow.chunk import ArtifactUnreadableError, Chunk, Known, Shard
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.format.gaps import ARTIFACT_UNREADABLE
from mlflow_archive.kinds import IDENTITIES, INCREMENTAL, LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, run, table

ROWS: dict[str, dict[str, Any]] = {
    RUN: run("an-id", "1"),
    LOGGED_MODEL: {"model_id": "an-id", "experiment_id": "1", "name": "n", "status": "READY"},
    TRACE: {"trace_id": "an-id", "experiment_id": "1", "request_time": 1, "state": "OK"},
    REGISTERED_MODEL: {"name": "an-id", "workspace": "default"},
}


class _Source(ChunkSource):
    """Gives what is not known yet."""

    def read(self, shard: Shard, known: Known) -> Iterator[Chunk]:
        for part in super().read(shard, known):
            prints = part.tables["fingerprints"].to_pylist() if "fingerprints" in part.tables else []
            if not any(known(row["owner_kind"], row["owner_id"]) == row["fingerprint"] for row in prints):
                yield part


def _out_of_reach() -> AbstractContextManager[BinaryIO]:
    raise ArtifactUnreadableError("the bucket cannot be reached", code=ARTIFACT_UNREADABLE)


def _export(path: Path, kind: str, *, append: bool, in_reach: bool) -> Report:
    file = artifact("an-id", "1/MLmodel", b"flavors: {}", kind=kind)
    tables = {IDENTITIES[kind].name: table(IDENTITIES[kind].name, [ROWS[kind]])}
    if kind in INCREMENTAL:
        row = {"owner_id": "an-id", "owner_kind": kind, "fingerprint": "the same"}
        tables["fingerprints"] = table("fingerprints", [row])
    files = [file if in_reach else replace(file, open=_out_of_reach)]
    source = _Source((0, [chunk(experiments=[experiment("1", "one")])]), (1, [Chunk(tables=tables, artifacts=files)]))
    return copy(source, ArchiveSink(path, ArchiveOptions(append=append), tool="t 1", clock_ms=lambda: 0))


@pytest.mark.parametrize("kind", [RUN, LOGGED_MODEL, TRACE, REGISTERED_MODEL])
def test_an_append_fetches_what_can_be_reached_again(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mlfa"
    first = _export(path, kind, append=False, in_reach=False)
    assert [(gap.owner_kind, gap.path, gap.code) for gap in first.gaps] == [(kind, "1/MLmodel", ARTIFACT_UNREADABLE)]
    assert not _export(path, kind, append=True, in_reach=False).complete
    assert _export(path, kind, append=True, in_reach=True).complete
    with open_archive(path) as archive:
        [row] = archive.table("artifacts").to_pylist()
        assert (row["owner_kind"], row["owner_id"], row["path"]) == (kind, "an-id", "1/MLmodel")
        assert archive.table("gaps").num_rows == 0
    assert verify(path).problems == []
    assert _export(path, kind, append=True, in_reach=True).details["unchanged"]
