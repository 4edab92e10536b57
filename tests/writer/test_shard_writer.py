"""What a worker writes of an export: one parcel, whose every value whoever gives out the work relies on."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.flow.chunk import Gap
from mlflow_archive.format.packs import MAX_FRAME_RAW
from mlflow_archive.kinds import TABLES
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer import shard_writer
from mlflow_archive.writer.coded import plain
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from mlflow_archive.writer.parcel import Parcel, WritingPlan
from mlflow_archive.writer.shard_writer import Heard, ShardWriter
from mlflow_archive.writer.staged import read_block
from tests.support.chunks import FACTS, artifact, chunk, run

TOKEN = "ab"  # noqa: S105 - begins names of files
RUN = "a" * 32
SMALL, LARGE, HELD = b"small", bytes(MAX_FRAME_RAW + 1), b"held elsewhere"


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@pytest.fixture
def plan(tmp_path: Path) -> WritingPlan:
    (tmp_path / "staging").mkdir()
    return WritingPlan(place=tmp_path, staging=tmp_path / "staging", export=3, token=TOKEN, level=1)


def rows_of(folder: Path, parcel: Parcel, name: str) -> list[dict[str, object]]:
    """Return what a parcel has of a table, in the order of its blocks."""
    path = folder / parcel.token / "000001.rows"
    blocks = [block for block in parcel.blocks if block.table == name]
    return [row for block in blocks for row in plain(read_block(path, block, TABLES[name]), TABLES[name]).to_pylist()]


def test_a_parcel_says_all_that_was_written(plan: WritingPlan) -> None:
    heard, staging = Heard(), plan.staging
    assert staging is not None
    files = [artifact(RUN, str(at), data) for at, data in enumerate((SMALL, LARGE, SMALL, HELD))]
    with closing(ShardWriter(plan)) as worker:
        parcel = worker.write([chunk(files, runs=[run(RUN, "1")])], [digest(HELD)], heard)
    assert parcel.token.startswith(TOKEN)
    assert len(parcel.token) == len(TOKEN) + 2 * 6
    [pack] = parcel.packs
    written = (staging / parcel.token / "packs" / "0003-00000.zst").read_bytes()
    assert (pack.name, pack.size, pack.sha256) == (
        f"packs/0003-10000-{parcel.token}.zst",
        len(written),
        hashlib.sha256(written).hexdigest(),
    )
    assert parcel.large == {digest(LARGE)}
    assert (parcel.counts, parcel.notes, parcel.gaps) == (
        {"artifacts": 4, "bytes": 2 * len(SMALL) + len(LARGE) + len(HELD)},
        (),
        (),
    )
    assert [row["run_id"] for row in rows_of(staging, parcel, "runs")] == [RUN]
    indexed = [
        (row["digest"], row["raw_offset"], row["raw_size"], row["pack"]) for row in rows_of(staging, parcel, "blobs")
    ]
    assert indexed == sorted(
        [
            (digest(SMALL).hex(), 0, len(SMALL), pack.name),
            (digest(LARGE).hex(), 0, MAX_FRAME_RAW, pack.name),
            (digest(LARGE).hex(), MAX_FRAME_RAW, 1, pack.name),
        ]
    )


def test_what_one_parcel_has_the_next_of_the_same_worker_has_too(plan: WritingPlan) -> None:
    """The first may never be taken; only of what others told it, it writes nothing."""
    with closing(ShardWriter(plan)) as worker:
        parcels = [worker.write([chunk([artifact(RUN, "x", SMALL)])], [], Heard()) for _ in range(2)]
        nothing = worker.write([], [], Heard())
    assert [len(parcel.packs) for parcel in parcels] == [1, 1]
    assert len({parcel.token for parcel in (*parcels, nothing)}) == 3
    assert (nothing.blocks, nothing.packs, nothing.large, nothing.counts) == ((), (), frozenset(), {})


def test_what_the_archive_holds_is_not_written_again(tmp_path: Path, plan: WritingPlan) -> None:
    base = tmp_path / "base"
    sink = ArchiveSink(base, ArchiveOptions(jobs=1), tool="t", clock_ms=lambda: 1)
    sink.begin(FACTS, Selection())
    prints = [{"owner_kind": "run", "owner_id": RUN, "fingerprint": "cd" * 32}]
    sink.write(chunk([artifact(RUN, "x", SMALL)], runs=[run(RUN, "1")], fingerprints=prints))
    sink.finish()
    for place in (base, tmp_path):
        for recheck, known in ((False, "cd" * 32), (True, None)):
            with closing(ShardWriter(replace(plan, place=place, base=base, recheck=recheck))) as worker:
                assert worker.known("run", RUN) == known
                assert worker.write([chunk([artifact(RUN, "x", SMALL)])], [], Heard()).packs == ()


def test_gaps_beyond_the_most_are_told_of_if_they_are_of_no_object(
    plan: WritingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_writer, "MOST_GAPS", 3)

    def gap(kind: str, owner: str, number: int) -> Gap:
        return Gap(owner_kind=kind, owner_id=owner, path=str(number), code="G1", reason="so")

    given = [
        [gap("run", RUN, 0), gap("run", RUN, 1)],
        [gap("run", RUN, 2), gap("run", RUN, 3), gap("scorer", "", 4)],
        [gap("run", RUN, 5), gap("source", "run", 6)],
    ]
    chunks = [chunk(gaps=[{name: getattr(one, name) for name in one.__slots__} for one in gaps]) for gaps in given]
    with closing(ShardWriter(plan)) as worker:
        parcel = worker.write(chunks, [], Heard())
    assert [gap.path for gap in parcel.gaps] == ["0", "1", "2", "4", "6"]


def test_a_worker_that_comes_when_the_export_has_ended_says_so(plan: WritingPlan) -> None:
    assert plan.staging is not None
    plan.staging.rmdir()
    with closing(ShardWriter(plan)) as worker, pytest.raises(TargetError) as caught:
        worker.write([], [], Heard())
    assert str(caught.value) == f"{plan.staging} is not there: the export has ended, or this machine does not see it"


def test_twenty_notes_are_kept_and_all_is_forgotten_for_the_next_work() -> None:
    heard = Heard()
    for number in range(21):
        heard.note(str(number))
        heard.expect("runs", 9)
        heard.advance("runs", 2)
    assert (heard.notes, dict(heard.counts)) == ([str(number) for number in range(20)], {"runs": 42})
    heard.begin()
    assert (heard.notes, dict(heard.counts)) == ([], {})
