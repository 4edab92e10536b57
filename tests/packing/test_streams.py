"""A stream on its way into volumes and out of them: every byte once, in its order, and errors to who waits."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.packing.behind import BLOCK, WriteBehind
from mlflow_archive.packing.cutting import VolumeWriter
from mlflow_archive.packing.joining import VolumeChangedError, joined_blocks, sha256_of, verified_blocks
from mlflow_archive.packing.stream import ReadAhead
from mlflow_archive.packing.volumes import SetFile
from mlflow_archive.packing.workplace import check_room, quick_turns, working_in
from mlflow_archive.storage.files import Files
from tests.spec.drafts import sha

DATA = bytes(range(256)) * 10


def cut(folder: Path, pieces: list[bytes], volume_size: int) -> list[SetFile]:
    with VolumeWriter(Files(), folder, lambda number: f"v{number}", volume_size) as writer:
        assert [writer.write(piece) for piece in pieces] == [len(piece) for piece in pieces]
        return writer.finish()


@pytest.mark.parametrize("volume_size", [1000, 2560, 2559, 2561, 640])
@pytest.mark.parametrize("piece", [1, 999, 1000, 2560])
def test_volumes_are_pieces_of_the_stream(tmp_path: Path, volume_size: int, piece: int) -> None:
    pieces = [DATA[at : at + piece] for at in range(0, len(DATA), piece)]
    volumes = cut(tmp_path, pieces, volume_size)
    expected = [DATA[at : at + volume_size] for at in range(0, len(DATA), volume_size)]
    assert volumes == [
        SetFile(name=f"v{number}", size=len(data), sha256=sha(data)) for number, data in enumerate(expected, 1)
    ]
    assert [(tmp_path / volume.name).read_bytes() for volume in volumes] == expected
    places = {volume.name: tmp_path / volume.name for volume in volumes}
    assert b"".join(joined_blocks(volumes, places)) == DATA
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(places)


def test_no_stream_makes_no_volume(tmp_path: Path) -> None:
    assert cut(tmp_path, [], 10) == []
    assert list(tmp_path.iterdir()) == []


def test_a_volume_in_many_blocks_comes_out_as_it_was(tmp_path: Path) -> None:
    data = DATA * 1000
    (volume,) = cut(tmp_path, [data[:BLOCK], data[BLOCK:]], len(data))
    blocks = list(verified_blocks(tmp_path / "v1", volume))
    assert [len(block) for block in blocks] == [BLOCK, BLOCK, len(data) - 2 * BLOCK]
    assert b"".join(blocks) == data
    assert sha256_of(tmp_path / "v1") == volume.sha256 == hashlib.sha256(data).hexdigest()
    assert sha256_of(tmp_path / "no") is None


@pytest.mark.parametrize("change", [b"", b"X", b"more"])
def test_the_last_block_of_what_was_changed_is_not_given_out(tmp_path: Path, change: bytes) -> None:
    data = bytes(BLOCK) + b"end"
    (tmp_path / "v").write_bytes(data[: len(data) - len(change)] + change if change != b"more" else data + change)
    if not change:
        (tmp_path / "v").write_bytes(data[:-1])
    blocks = verified_blocks(tmp_path / "v", SetFile(name="v1", size=len(data), sha256=sha(data)))
    assert next(blocks) == bytes(BLOCK)
    with pytest.raises(VolumeChangedError) as caught:
        next(blocks)
    assert str(caught.value) == "v1 is not what was written"


def test_a_volume_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VolumeChangedError) as caught:
        list(verified_blocks(tmp_path / "v", SetFile(name="v1", size=1, sha256="")))
    assert str(caught.value) == "v1 cannot be read: No such file or directory"


def test_an_empty_file_has_one_empty_block(tmp_path: Path) -> None:
    (tmp_path / "v").touch()
    assert list(verified_blocks(tmp_path / "v", SetFile(name="v", size=0, sha256=sha(b"")))) == [b""]


def test_what_is_handed_on_comes_in_blocks_and_in_order() -> None:
    taken: list[bytes] = []
    behind = WriteBehind(lambda block: taken.append(bytes(block)))
    for piece in (b"a" * (BLOCK - 1), b"b", b"c" * BLOCK, b"d"):
        behind.write(piece)
    behind.finish()
    assert taken == [b"a" * (BLOCK - 1) + b"b", b"c" * BLOCK, b"d"]


def test_an_error_behind_is_raised_in_front_and_nothing_is_handed_on_then() -> None:
    taken: list[int] = []

    def take(block: memoryview) -> None:
        taken.append(len(block))
        raise OSError("full")

    behind = WriteBehind(take)
    behind.write(bytes(BLOCK))
    with pytest.raises(OSError, match="full"):
        behind.finish()
    with pytest.raises(OSError, match="full"):
        behind.finish()
    assert taken == [BLOCK]


def blocks(*given: bytes, error: BaseException | None = None) -> Iterator[bytes]:
    yield from given
    if error is not None:
        raise error


def test_what_is_read_ahead_is_given_out_as_it_is_asked_for() -> None:
    with ReadAhead(blocks(b"abc", b"", b"defg")) as ahead:
        assert [ahead.read(size) for size in (2, 5, 1, 9, 9, 9)] == [b"ab", b"c", b"d", b"efg", b"", b""]


def test_an_error_of_who_makes_the_blocks_comes_behind_them() -> None:
    with ReadAhead(blocks(b"abc", error=OSError("gone"))) as ahead:
        assert ahead.read(9) == b"abc"
        with pytest.raises(OSError, match="gone"):
            ahead.read(1)


def test_reading_ahead_stops_in_the_middle() -> None:
    made: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            made.append(1)
            yield b"x"

    with ReadAhead(endless()) as ahead:
        assert ahead.read(1) == b"x"
    assert len(made) < 100


class Notes:
    """Keeps what a person is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def expect(self, unit: str, amount: int) -> None: ...

    def advance(self, unit: str, amount: int) -> None: ...

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_room_is_looked_for_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    monkeypatch.setattr("mlflow_archive.packing.workplace.shutil.disk_usage", lambda _: Usage(5000))
    check_room(tmp_path, 5000, notes)
    assert notes.notes == [f"5,000 bytes will be written to {tmp_path}, 5,000 are free"]
    with pytest.raises(TargetError) as caught:
        check_room(tmp_path, 5001, notes)
    assert str(caught.value) == (
        f"{tmp_path}: 5,001 bytes are needed there, 5,000 are free; make room, or choose another"
    )


class Usage:
    """What a disk says of itself."""

    def __init__(self, free: int) -> None:
        self.free = free


def test_a_folder_is_for_one_at_a_time(tmp_path: Path) -> None:
    with working_in(tmp_path) as descriptor:
        assert descriptor >= 0
        with pytest.raises(TargetError) as caught, working_in(tmp_path):
            pass
    assert str(caught.value) == f"{tmp_path}: another process is at work here; wait until it is done"
    with working_in(tmp_path):
        pass


def test_threads_take_quick_turns_for_a_while() -> None:
    before = sys.getswitchinterval()
    with quick_turns():
        assert sys.getswitchinterval() == pytest.approx(0.0001)
    assert sys.getswitchinterval() == before
