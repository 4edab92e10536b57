"""A compaction takes of packs what the blob index names, as readers do: labels that say otherwise spoil nothing."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path

import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.compacting.compact import CompactOptions, compact, estimate
from mlflow_archive.writer.compacting.policy import Keep
from mlflow_archive.writer.compacting.survey import SurveyedPack, ThinningSurvey, groups_of
from mlflow_archive.writer.scratch import Scratch
from tests.spec.drafts import (
    EMPTY,
    HELLO,
    PACK,
    WORLD,
    Draft,
    Files,
    Frame,
    base_frames,
    build,
    encode_pack,
    write_directory,
)

SECOND_FRAME = max(row["frame_offset"] for row in encode_pack(base_frames())[1])
OPTIONS = CompactOptions(tool="test 2", clock_ms=lambda: 7)


def labelled(*frames: list[tuple[bytes, bytes]]) -> bytes:
    """Return a pack whose labels name blobs that may be others than the bytes: pairs of both."""
    extents = [[(hashlib.sha256(name).digest(), 0, data) for name, data in frame] for frame in frames]
    return encode_pack([Frame(extents=frame) for frame in extents])[0]


def thinned(folder: Path, pack: bytes) -> Path:
    """Write an archive that has some bytes as its pack, with the right SHA-256, and thin it out."""

    def edit(members: Files) -> None:
        members[PACK] = pack

    write_directory(build(Draft(members=edit)), folder / "old")
    compact(folder / "old", folder / "new", Keep(last=1), OPTIONS)
    return folder / "new"


@pytest.mark.parametrize(
    ("pack", "code"),
    [
        (labelled([(WORLD, HELLO), (EMPTY, EMPTY)], [(HELLO, WORLD)]), "E041"),
        (labelled([(HELLO, HELLO), (EMPTY, EMPTY)], [(HELLO, WORLD)]), "E041"),
        (labelled([(HELLO, HELLO), (EMPTY, EMPTY)]), "E044"),
    ],
    ids=["each the name of the other", "one the name of the other", "a frame that is not there"],
)
def test_labels_that_disagree_with_the_index_are_refused(tmp_path: Path, pack: bytes, code: str) -> None:
    with pytest.raises(DamagedError) as refused:
        thinned(tmp_path, pack)
    assert (refused.value.code, refused.value.member) == (code, PACK)
    assert [file.name for file in tmp_path.iterdir()] == ["old"]


def test_what_stays_of_a_pack_is_counted_by_frame(tmp_path: Path) -> None:
    """Of a frame that stays in part as many bytes count as of its blobs; one of which nothing stays has none."""
    cut = hashlib.sha256(b"dead").digest()
    frames = [
        *(Frame(blobs=[HELLO, EMPTY]), Frame(blobs=[WORLD, b"another dead"]), Frame(blobs=[b"dead", b"too"])),
        *(Frame(extents=[(cut, 0, b"d")]), Frame(extents=[(cut, 1, b"ead")]), Frame(blobs=[HELLO])),
    ]
    write_directory(build(Draft(frames=lambda made: made.__setitem__(slice(None), frames))), tmp_path / "old")
    sizes = [len(encode_pack([frame])[0]) for frame in frames]
    part = len(WORLD) / len(WORLD + b"another dead")
    with open_archive(tmp_path / "old") as archive, closing(Scratch()) as scratch:
        [surveyed] = ThinningSurvey(archive, groups_of([1]), scratch).groups
        assert surveyed.packs == [
            SurveyedPack(
                member=next(member for member in archive.manifest.members if member.path == PACK),
                live_extents=4,
                live_bytes=sizes[0] + int(sizes[1] * part) + sizes[5],
                dead_blobs=4,
                whole=False,
            )
        ]
        assert [scratch.has_blob(hashlib.sha256(blob).digest()) for blob in (HELLO, EMPTY, WORLD, b"too")] == [
            *(True, True, True, False)
        ]


@pytest.mark.parametrize(
    ("draft", "refusal"),
    [
        (
            Draft(members=lambda members: members.update({PACK: members[PACK] + b"x"})),
            f"E041: {PACK} is damaged: there is no label at byte {len(encode_pack(base_frames())[0])}",
        ),
        (
            Draft(members=lambda members: members.update({PACK: labelled([(HELLO, HELLO), (EMPTY, EMPTY)])})),
            f"E044: {PACK}: the blob index names a frame at byte {SECOND_FRAME}, where there is none",
        ),
        (
            Draft(rows=lambda rows: rows["artifacts"][0].update(digest="ab" * 32)),
            f"E050: blob {'ab' * 32}, which an artifact names, is in no pack of OLD",
        ),
    ],
    ids=["no label", "no frame", "no blob"],
)
def test_what_does_not_hold_together_is_refused(tmp_path: Path, draft: Draft, refusal: str) -> None:
    write_directory(build(draft), tmp_path / "old")
    with pytest.raises(DamagedError) as refused:
        estimate(tmp_path / "old", Keep(last=1))
    assert str(refused.value) == refusal.replace("OLD", str(tmp_path / "old"))


def test_what_only_a_label_names_is_not_taken(tmp_path: Path) -> None:
    """It was left by an interruption, and nobody has proved it: here it has the name of a blob that stays."""
    pack = labelled([(HELLO, HELLO), (EMPTY, EMPTY)], [(WORLD, WORLD)], [(HELLO, HELLO.upper())])
    new = thinned(tmp_path, pack)
    assert verify(new).problems == []
    assert (new / PACK).read_bytes() == labelled([(HELLO, HELLO), (EMPTY, EMPTY)], [(WORLD, WORLD)])
