"""A compaction takes of packs what the blob index names, as readers do: labels that say otherwise spoil nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.compacting.compact import CompactOptions, compact
from mlflow_archive.writer.compacting.policy import Keep
from tests.spec.drafts import EMPTY, HELLO, PACK, WORLD, Draft, Files, Frame, build, encode_pack, write_directory

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


def test_what_only_a_label_names_is_not_taken(tmp_path: Path) -> None:
    """It was left by an interruption, and nobody has proved it: here it has the name of a blob that stays."""
    pack = labelled([(HELLO, HELLO), (EMPTY, EMPTY)], [(WORLD, WORLD)], [(HELLO, HELLO.upper())])
    new = thinned(tmp_path, pack)
    assert verify(new).problems == []
    assert (new / PACK).read_bytes() == labelled([(HELLO, HELLO), (EMPTY, EMPTY)], [(WORLD, WORLD)])
