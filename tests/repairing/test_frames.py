"""Frames and parts that are made anew: of blobs that other archives have, of labels, and of rows that decode."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_archive.format.layout import CHECKSUMS, MANIFEST
from mlflow_archive.format.manifest import Member
from mlflow_archive.format.packs import compressor
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.repairing import blob_index, frames
from mlflow_archive.repairing.blob_index import BLOBS, rebuild_index, sound_labels, write_index
from mlflow_archive.repairing.copies import Copy
from mlflow_archive.repairing.drafts import Draft
from mlflow_archive.repairing.frames import rebuild_frames
from mlflow_archive.repairing.made_anew import made_anew
from mlflow_archive.repairing.mending import mended_listing
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.members import BytesMember
from mlflow_archive.writer.blob_rows import extent_table
from mlflow_archive.writer.coded import sort_rows
from mlflow_archive.writer.destination import destination
from tests.spec.drafts import (
    HELLO,
    PACK,
    RUN_B,
    WORLD,
    Frame,
    base_rows,
    build,
    build_second,
    encode_pack,
    part,
    sha,
    write_directory,
)
from tests.spec.drafts import Draft as Vector
from tests.support.memory_source import MemoryOptions, export

SQUARES = b" ".join(str(number * number).encode() for number in range(2000))
CUT = (bytes.fromhex(sha(b"0123456789")), b"0123456789")
FRAMES = [
    *(Frame(blobs=[HELLO, b""]), Frame(blobs=[SQUARES], encoded=compressor(7).compress(SQUARES))),
    Frame(extents=[(CUT[0], 6, CUT[1][6:])]),
]
WHOLE, ROWS = encode_pack(FRAMES)
PLACES = sorted({(row["frame_offset"], row["frame_size"]) for row in ROWS})


def placed(folder: Path, made: Sequence[Frame], files: dict[str, bytes] | None = None) -> Path:
    """Write an archive that has some frames as its pack."""
    write_directory(files or build(Vector(frames=lambda old: old.__setitem__(slice(None), made))), folder)
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two archives that have the blobs of the pack together, in frames of their own."""
    folder = tmp_path_factory.mktemp("others")
    return (
        placed(folder / "one", [Frame(blobs=[WORLD, SQUARES])]),
        placed(folder / "other", [Frame(blobs=[CUT[1]]), Frame(blobs=[b"", HELLO])]),
    )


def rebuilt(pack: bytes, archives: Sequence[Path]) -> tuple[bool, bytes]:
    draft = Draft([BytesMember("packs/x", pack)])
    with ExitStack() as stack:
        is_whole = rebuild_frames(draft, [stack.enter_context(open_archive(path)) for path in archives])
        return is_whole, draft.read_at(0, draft.size)


def hit(*at: int) -> bytes:
    data = bytearray(WHOLE)
    for place in at:
        data[place] ^= 1
    return bytes(data)


IN_FRAMES = [offset + size - 2 for offset, size in PLACES]


def test_frames_are_made_anew_from_blobs_that_several_archives_have(others: tuple[Path, Path]) -> None:
    assert rebuilt(WHOLE, others) == (True, WHOLE)
    assert rebuilt(hit(*IN_FRAMES), others) == (True, WHOLE)
    assert rebuilt(hit(*IN_FRAMES), others[::-1]) == (True, WHOLE)
    assert rebuilt(hit(IN_FRAMES[1]), others[:1]) == (True, WHOLE)


def test_what_nobody_has_or_no_label_names_stays_damaged(others: tuple[Path, Path]) -> None:
    first = hit(IN_FRAMES[0])
    assert rebuilt(first, []) == (False, first)
    assert rebuilt(first, others[:1]) == (False, first)
    in_label = hit(PLACES[1][0] - 3, IN_FRAMES[0])
    found, content = rebuilt(in_label, others)
    assert (found, content) == (False, hit(PLACES[1][0] - 3))
    cut = WHOLE[:-1]
    assert rebuilt(cut, others) == (False, cut)


def test_so_many_bytes_of_frames_are_made_anew_at_most(
    others: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(size for _, size in PLACES)
    for most, found in ((size, True), (size - 1, False)):
        monkeypatch.setattr(frames, "_MOST_BYTES", most)
        assert rebuilt(hit(*IN_FRAMES), others)[0] is found


def test_labels_behind_a_damaged_one_count_and_a_frame_that_is_cut_does_not() -> None:
    def offsets(pack: bytes) -> list[int]:
        return [label.frame_offset for label in sound_labels(BytesMember("p", pack))]

    every = [offset for offset, _ in PLACES]
    assert offsets(WHOLE) == every
    assert offsets(hit(2)) == every[1:]
    assert offsets(hit(PLACES[1][0] - 3)) == [every[0], *every[2:]]
    assert offsets(WHOLE[:-1]) == every[:-1]
    assert offsets(b"") == []


def test_an_index_is_that_of_the_packs_of_its_export_and_of_what_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [Frame(blobs=[HELLO, b"", b"that nobody names"]), Frame(blobs=[WORLD])]
    path = placed(tmp_path / "a", made)
    used = {sha(HELLO), sha(b""), sha(WORLD)}
    for at_once in (blob_index._ROWS_AT_ONCE, 1, 2):
        monkeypatch.setattr(blob_index, "_ROWS_AT_ONCE", at_once)
        with open_archive(path) as archive:
            every = sort_rows(archive.table("blobs"), BLOBS)
            named = [row for row in every.to_pylist() if row["digest"] in used]
            assert rebuild_index(archive, 1).to_pylist() == named
            assert rebuild_index(archive, 2).num_rows == 0
    data = bytearray((path / part("artifacts")).read_bytes())
    data[len(data) // 3] ^= 1
    (path / part("artifacts")).write_bytes(data[:-20])
    with open_archive(path) as archive:
        assert rebuild_index(archive, 1).equals(every)


def test_a_part_of_the_index_has_its_very_bytes_where_its_level_is_known(tmp_path: Path) -> None:
    rows = sort_rows(
        extent_table([(f"{number:064x}", 0, 9, PACK, 80, number, number * 9) for number in range(400)]), BLOBS
    )
    files, path = Files(), tmp_path / "x"
    within = rows.slice(10, 300)
    was = {level: blob_index._write(files, path, within, level).member("x", BLOBS, 1) for level in (3, 1, 5)}
    assert len({member.sha256 for member in was.values()}) == 3
    for member in was.values():
        assert write_index(files, path, rows, member).sha256 == member.sha256 == sha(path.read_bytes())
    another = write_index(files, path, rows, replace(was[5], rows=299))
    assert (another.sha256, another.rows) == (was[3].sha256, 300)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """An archive of two exports."""
    return placed(tmp_path / "two", [], build_second(Vector(), {"runs": [{**base_rows()["runs"][1], "run_id": RUN_B}]}))


def test_what_is_made_anew_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    export(path, MemoryOptions(runs=2, sizes=(9,)), jobs=1)
    names = [part("blobs"), part("params"), part("metrics")]
    for name in names:
        data = bytearray((path / name).read_bytes())
        data[0 if name != part("metrics") else data.index(b"\x28\xb5\x2f\xfd") + 6] ^= 1
        (path / name).write_bytes(data)
    with open_archive(path) as archive, destination(tmp_path / "new", Files()) as place:
        unsound = [member for member in archive.manifest.members if member.path in names]
        made = [(member.path, written.sha256) for member, written in made_anew(archive, unsound, place)]
        assert made == [
            (name, sha((place.new_members / name).read_bytes())) for name in (part("params"), part("blobs"))
        ]
        assert not (place.new_members / part("metrics")).exists()


def test_which_files_of_the_listing_are_not_as_they_should_be(two: Path) -> None:
    copy, sound = "manifests/0002.json", {name: (two / name).read_bytes() for name in (MANIFEST, CHECKSUMS)}
    with closing(Copy(two)) as opened:
        assert opened.opened is not None
        manifest = opened.opened

    def wrong() -> list[str]:
        with closing(Copy(two)) as damaged:
            return sorted(mended_listing(damaged, manifest))

    assert wrong() == []
    (two / CHECKSUMS).write_bytes(sound[CHECKSUMS][:-2] + b"X\n")
    assert wrong() == [CHECKSUMS]
    (two / CHECKSUMS).write_bytes(sound[CHECKSUMS] + b"\n")
    (two / MANIFEST).write_bytes(b"{}")
    assert wrong() == [CHECKSUMS, MANIFEST]
    (two / copy).unlink()
    assert wrong() == [CHECKSUMS, MANIFEST, copy]


def test_a_member_may_be_held_by_a_copy_that_states_it_or_states_nothing(two: Path) -> None:
    def member(sha256: str, name: str = "tables/x") -> Member:
        return Member(path=name, kind="table", export=1, size=5, sha256=sha256)

    with closing(Copy(two)) as copy:
        assert copy.opened is not None
        known = next(one for one in copy.opened.manifest.members if one.path == part("runs"))
        assert [copy.may_hold(member(sha256)) for sha256 in (known.sha256, "0" * 64)] == [True, False]
        [found] = copy.candidates(member(known.sha256, "tables/elsewhere"), 0)
        assert (found.name, found.size, found.read_at(0, 5)) == ("tables/elsewhere", 5, b"PAR1" + found.read_at(4, 1))
        assert [one.name for one in copy.candidates(member("0" * 64), 0)] == []
        assert (copy.structure_problem, copy.too_new) == (None, None)
    (two / MANIFEST).write_bytes(b"{}")
    (two / "manifests/0002.json").unlink()
    (two / "manifests/0001.json").unlink()
    with closing(Copy(two)) as copy:
        assert (copy.opened, copy.may_hold(member("0" * 64)), copy.archive()) == (None, True, None)
