"""Which blobs a check proves while it reads packs, which it leaves to a reader, and what it says of extents."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.flow.report import Quiet
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.packs import PackCheck, PacksFound, blobs_come_out, check_packs
from mlflow_archive.verification.report import Lost, VerifyReport
from tests.spec.drafts import (
    EMPTY,
    HELLO,
    PACK,
    RUN_A,
    RUN_B,
    WORLD,
    Draft,
    Frame,
    base_rows,
    build,
    compress,
    encode_part,
    make_table,
    part,
    sha,
    write_directory,
)
from tests.spec.faults import add, blob, change, cut, flipped, four_more

SECOND = "tables/blobs/0001-00001.parquet"
Frames = Callable[[list[Frame]], object]


def raw(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def archive(path: Path, **edits: Any) -> Path:
    write_directory(build(Draft(**edits)), path)
    return path


def in_two_parts(tables: dict[str, pa.Table], at: int = 1) -> None:
    """Have the blob index be two parts, the first of so many rows."""
    rows = tables[part("blobs")]
    tables[part("blobs")], tables[SECOND] = rows.slice(0, at), rows.slice(at)


def told_of(report: VerifyReport) -> list[tuple[str, str, str]]:
    return [(problem.code, problem.member, problem.message) for problem in report.problems]


def found(path: Path) -> list[tuple[str, str, str]]:
    return told_of(verify(path, jobs=1))


def checked(path: Path, jobs: int = 1) -> tuple[dict[bytes, int], set[bytes]]:
    """Return what is proved and what is doubted, by one as a worker does it, by more as threads do."""
    with open_archive(path) as opened:
        packs = [member for member in opened.manifest.members if member.kind == "pack"]
        if jobs == 1:
            of_worker = check_packs(opened, packs)
            return of_worker.good, of_worker.doubted
        check = PackCheck(opened, PacksFound(), Quiet())
        check.run(packs, jobs)
    return check.good, check.doubted


WHOLE = {raw(HELLO): len(HELLO), raw(EMPTY): 0}


@pytest.mark.parametrize(
    ("pieces", "proved", "doubted"),
    [
        ([(0, WORLD)], True, False),
        ([(0, WORLD[:5]), (5, WORLD[5:])], True, False),
        ([(0, WORLD[:1]), (1, WORLD[1:-1]), (len(WORLD) - 1, WORLD[-1:])], True, False),
        ([(0, EMPTY), (0, WORLD)], True, True),
        ([(0, EMPTY), (0, WORLD[:5]), (5, WORLD[5:])], True, False),  # which leaves a gap, as is told
        ([(0, b"other"), (0, WORLD[:5]), (5, WORLD[5:])], False, True),
        ([(0, WORLD[:5]), (5, WORLD[5:]), (5, WORLD[5:])], True, True),
        ([(0, WORLD[:5])], False, True),
        ([(5, WORLD[5:]), (0, WORLD[:5])], False, True),
        ([(0, WORLD[:5]), (6, WORLD[6:])], False, True),
        ([(0, WORLD), (len(WORLD), b"more")], True, True),
        ([(0, WORLD), (0, WORLD[:5])], True, True),
    ],
)
def test_a_blob_is_proved_by_its_extents_in_order_and_doubted_where_there_are_more(
    tmp_path: Path, pieces: list[tuple[int, bytes]], proved: bool, doubted: bool
) -> None:
    path = archive(tmp_path, frames=cut(WORLD, *pieces))
    for jobs in (1, 2):
        good, doubts = checked(path, jobs)
        assert good == {**WHOLE, **({raw(WORLD): len(WORLD)} if proved else {})}
        assert doubts == ({raw(WORLD)} if doubted else set())


def test_two_blobs_cut_in_turns_are_proved(tmp_path: Path) -> None:
    def edit(frames: list[Frame]) -> None:
        pieces = [(raw(HELLO), 0, HELLO[:3]), (raw(WORLD), 0, WORLD[:4])]
        frames[:] = [Frame(extents=pieces), Frame(extents=[(raw(WORLD), 4, WORLD[4:]), (raw(HELLO), 3, HELLO[3:])])]
        frames.append(Frame(blobs=[EMPTY]))

    assert checked(archive(tmp_path, frames=edit)) == ({**WHOLE, raw(WORLD): len(WORLD)}, set())


def test_a_blob_that_readers_refuse_is_not_sound_though_its_first_extent_is_all_of_it(tmp_path: Path) -> None:
    path = archive(tmp_path, frames=four_more)
    report = verify(path, jobs=1)
    assert [(problem.code, problem.message) for problem in report.problems] == [
        ("E042", f"blob {sha(WORLD)} does not come out with its digest")
    ]
    assert report.lost == {Lost(kind="run", id=RUN_B, path="dir/world.txt")}
    assert report.checked["blobs"] == 2
    with open_archive(path) as opened, pytest.raises(DamagedError, match="E042"):
        Blobs(opened).open(sha(WORLD))


def test_of_a_blob_that_is_there_twice_what_a_reader_makes_of_it_counts(tmp_path: Path) -> None:
    """Readers take the extent that stands first in the index."""
    damaged = compress(WORLD)
    damaged = flipped(damaged, len(damaged) - 6)
    for number, encoded in enumerate(([damaged, None], [None, damaged])):

        def edit(frames: list[Frame], encoded: list[bytes | None] = encoded) -> None:
            frames[1:] = [Frame(blobs=[WORLD], encoded=each) for each in encoded]

        path = archive(tmp_path / str(number), frames=edit)
        assert checked(path) == ({**WHOLE, raw(WORLD): len(WORLD)}, {raw(WORLD)})
        codes = [code for code, _, _ in found(path)]
        with open_archive(path) as opened:
            comes_out = blobs_come_out(opened, [sha(WORLD)]) == {raw(WORLD): len(WORLD)}
        assert codes == ["E035", "E040", *([] if comes_out else ["E042"])]


def test_behind_an_extent_that_lies_outside_the_others_of_its_frame_are_proved(tmp_path: Path) -> None:
    first, second = sorted((HELLO, EMPTY), key=sha)
    path = archive(tmp_path, rows=blob(first, offset_in_frame=len(HELLO), raw_size=1))
    assert checked(path) == ({raw(second): len(second), raw(WORLD): len(WORLD)}, {raw(first)})


def test_behind_an_extent_out_of_order_the_others_of_its_frame_are_proved(tmp_path: Path) -> None:
    first, second = sorted((HELLO, WORLD), key=sha)

    def edit(frames: list[Frame]) -> None:
        frames[:] = [Frame(extents=[(raw(first), 3, first[3:]), (raw(second), 0, second)]), Frame(blobs=[EMPTY])]

    assert checked(archive(tmp_path, frames=edit)) == ({raw(second): len(second), raw(EMPTY): 0}, {raw(first)})


def test_blobs_of_a_frame_that_is_not_there_or_of_a_pack_that_is_not_there_are_doubted(tmp_path: Path) -> None:
    path = archive(tmp_path / "a", rows=blob(WORLD, frame_offset=7))
    assert checked(path) == (WHOLE, {raw(WORLD)})
    (path / PACK).unlink()
    assert checked(path) == ({}, {raw(WORLD), *WHOLE})


def test_frames_that_are_not_there_are_told_in_their_order(tmp_path: Path) -> None:
    at = [7, 100_003, 16, 2]

    def edit(rows: dict[str, list[dict[str, Any]]]) -> None:
        [row] = [row for row in rows["blobs"] if row["digest"] == sha(WORLD)]
        rows["blobs"] += [{**row, "raw_offset": 1 + number, "frame_offset": n} for number, n in enumerate(at)]
        rows["blobs"].sort(key=lambda row: (row["digest"], row["raw_offset"]))

    said = [message for code, _, message in found(archive(tmp_path, rows=edit)) if code == "E044"]
    assert said == [f"the blob index names a frame at byte {offset}, where there is none" for offset in sorted(at)]


def test_packs_that_are_not_listed_are_told_in_their_order(tmp_path: Path) -> None:
    names = {HELLO: "packs/0001-00009.zst", WORLD: "packs/0001-00008.zst", EMPTY: "packs/0001-00007.zst"}

    def edit(rows: dict[str, list[dict[str, Any]]]) -> None:
        for data, name in names.items():
            blob(data, pack=name)(rows)

    path = archive(tmp_path, rows=edit)
    told = found(path)
    assert [message for code, _, message in told if code == "E044"] == [
        f"the blob index names the pack {name}, which the manifest does not list" for name in sorted(names.values())
    ]
    digests = sorted(map(sha, (HELLO, WORLD)))  # the empty one needs no frame
    assert [message for code, _, message in told if code == "E042"] == [
        f"blob {digest} does not come out with its digest" for digest in digests
    ]


@pytest.mark.parametrize(
    ("spans", "at"),
    [
        ([(0, 5), (5, 12)], None),
        ([(1, 4)], 0),
        ([(0, 5), (6, 12)], 5),
        ([(0, 5), (4, 12)], 5),
        ([(0, 5), (5, 0)], 5),
        ([(0, 0), (0, 5)], 0),
        ([(0, 5), (5, 1), (6, 1), (8, 1), (10, 1)], 7),
    ],
)
def test_the_first_gap_of_a_blob_is_told_at_its_byte(
    tmp_path: Path, spans: list[tuple[int, int]], at: int | None
) -> None:
    with open_archive(archive(tmp_path)) as opened:
        findings = PacksFound()
        PackCheck(opened, findings, Quiet())._check_order("d", spans)
    said = [(problem.code, problem.member, problem.message) for problem in findings.problems]
    expected = ("E043", "", f"blob d: its extents leave a gap or overlap at byte {at}")
    assert said == ([] if at is None else [expected])


def test_gaps_of_two_blobs_are_told_in_the_order_of_their_digests(tmp_path: Path) -> None:
    def edit(frames: list[Frame]) -> None:
        frames[:] = [Frame(extents=[(raw(data), at, data[at:])]) for data, at in ((WORLD, 1), (HELLO, 2), (WORLD, 5))]

    gaps = [message for code, _, message in found(archive(tmp_path, frames=edit)) if code == "E043"]
    assert gaps == [
        f"blob {digest}: its extents leave a gap or overlap at byte 0" for digest in sorted(map(sha, (WORLD, HELLO)))
    ]


def test_behind_a_part_of_the_index_that_cannot_be_read_the_next_counts(tmp_path: Path) -> None:
    path = archive(tmp_path, tables=in_two_parts, members=add(part("blobs"), b"no part"))
    _, *rest = sorted((HELLO, WORLD, EMPTY), key=sha)
    assert checked(path)[0] == {raw(data): len(data) for data in rest}
    report = verify(path, jobs=1)
    codes = [(problem.code, problem.member) for problem in report.problems]
    assert codes == [("E030", part("blobs")), ("E050", part("artifacts"))]
    assert report.checked["blobs"] == 2


def test_behind_a_blob_that_does_not_come_out_the_next_does(tmp_path: Path) -> None:
    path = archive(tmp_path, frames=four_more)
    with open_archive(path) as opened:
        assert blobs_come_out(opened, [sha(WORLD), "no digest", sha(HELLO), sha(EMPTY)]) == WHOLE
        assert blobs_come_out(opened, []) == {}


def test_a_frame_holds_what_its_label_says(tmp_path: Path) -> None:
    def edit(frames: list[Frame]) -> None:
        frames[1].extents, frames[1].encoded = [(raw(WORLD), 0, WORLD)], compress(WORLD + b"!")

    path = archive(tmp_path, frames=edit)
    with open_archive(path) as opened:
        at = max(opened.table("blobs")["frame_offset"].to_pylist())
    said = f"{PACK} at byte {at}: the frame states {len(WORLD) + 1} raw bytes, checksum on; expected {len(WORLD)}"
    assert found(path)[0] == ("E045", PACK, f"{said}, checksum on")


def test_blobs_that_nothing_refers_to_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    def edit(rows: dict[str, list[dict[str, Any]]]) -> None:
        rows["artifacts"] = [row for row in rows["artifacts"] if row["digest"] == sha(HELLO)]

    said = f"2 blobs are referred to by no artifact, such as {min(sha(WORLD), sha(EMPTY))}"
    assert found(archive(tmp_path / "a", rows=edit)) == [("W003", "", said)]
    damaged = change(PACK, lambda data: flipped(data, len(data) - 6))
    codes = [code for code, _, _ in found(archive(tmp_path / "b", rows=edit, members=damaged))]
    assert codes == ["E040", "W003"]


@pytest.mark.parametrize(("data", "size"), [(EMPTY, 1), (HELLO, 0)])
def test_an_artifact_that_states_another_size_than_its_blob_is_lost(tmp_path: Path, data: bytes, size: int) -> None:
    def edit(rows: dict[str, list[dict[str, Any]]]) -> None:
        [row] = [row for row in rows["artifacts"] if row["digest"] == sha(data)]
        row["size"] = size

    path = archive(tmp_path, rows=edit)
    name = "empty" if data == EMPTY else "a b.txt"
    message = f"run {RUN_A}, artifact {name!r}: it states {size} bytes, its blob has {len(data)}"
    report = verify(path, jobs=1)
    assert told_of(report) == [("E052", part("artifacts"), message)]
    assert report.lost == {Lost(kind="run", id=RUN_A, path=name)}


def test_behind_a_damaged_row_group_of_artifacts_the_others_are_compared(tmp_path: Path) -> None:
    rows = make_table("artifacts", [{**row, "size": row["size"] + 1} for row in base_rows()["artifacts"]])
    data = encode_part(rows, group_rows=1)
    column = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0)
    data = flipped(data, column.data_page_offset + column.total_compressed_size - 1)
    path = archive(tmp_path, members=change(part("artifacts"), lambda _: data))
    assert [(code, message) for code, _, message in found(path) if code != "E034"] == [
        ("E052", f"run {RUN_A}, artifact 'empty': it states 1 bytes, its blob has 0"),
        ("E052", f"run {RUN_B}, artifact 'dir/world.txt': it states {len(WORLD) + 1} bytes, its blob has {len(WORLD)}"),
        ("W003", f"1 blobs are referred to by no artifact, such as {sha(HELLO)}"),
    ]


def test_rows_of_two_parts_of_artifacts_are_compared_each_with_its_part(tmp_path: Path) -> None:
    second = "tables/artifacts/0001-00001.parquet"

    def split(tables: dict[str, pa.Table]) -> None:
        rows = tables[part("artifacts")].to_pylist()
        rows[0]["digest"] = rows[2]["digest"] = "0" * 64
        tables[part("artifacts")] = make_table("artifacts", rows[:2])
        tables[second] = make_table("artifacts", rows[2:])

    path = archive(tmp_path, tables=split)
    absent = f"its blob {'0' * 64} is not in the archive"
    assert [told for told in found(path) if told[0] == "E050"] == [
        ("E050", part("artifacts"), f"run {RUN_A}, artifact 'a b.txt': {absent}"),
        ("E050", second, f"run {RUN_B}, artifact 'dir/world.txt': {absent}"),
    ]
