"""Packing and unpacking without keys and parity, at their edges: what was killed, does not fit, and is counted."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlflow_archive.errors import DamagedVolumesError, KeyRefusedError, NotAnArchiveError, TargetError
from mlflow_archive.packing import pack as packing
from mlflow_archive.packing import unpack as unpacking
from mlflow_archive.packing.behind import WriteBehind
from mlflow_archive.packing.mending import MendingFolder
from mlflow_archive.packing.pack import PackOptions, _Packing, pack
from mlflow_archive.packing.parity import plan_parity
from mlflow_archive.packing.stream import ReadAhead
from mlflow_archive.packing.survey import Finding, VolumeState
from mlflow_archive.packing.unpack import UnpackOptions, UnpackReport, _Unpacking, _write_bounded, find_set, unpack
from mlflow_archive.packing.volumes import Names, SetFile, SetRecord
from mlflow_archive.storage import syncing
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.syncing import SyncBehind
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.report import Level, VerifyReport
from tests.road.packed_sets import PackedSet, make_archive, packed_set
from tests.spec.drafts import Draft, build, write_directory


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> PackedSet:
    """A set of plain volumes without parity."""
    return packed_set(tmp_path_factory.mktemp("sound"), encrypted=False, parity=None)


class Heard:
    """A progress that keeps what it hears."""

    def __init__(self) -> None:
        self.expected: list[tuple[str, int]] = []
        self.done: dict[str, int] = {}
        self.notes: list[str] = []

    def expect(self, unit: str, amount: int) -> None:
        self.expected.append((unit, amount))

    def advance(self, unit: str, amount: int) -> None:
        self.done[unit] = self.done.get(unit, 0) + amount

    def note(self, message: str) -> None:
        self.notes.append(message)


def refusal(error: type[Exception], action: Any, *values: object, **options: object) -> str:
    with pytest.raises(error) as caught:
        action(*values, **options)
    return str(caught.value)


def test_what_is_packed_and_unpacked_is_counted_by_bytes(sound: PackedSet, tmp_path: Path) -> None:
    archive, size = make_archive(tmp_path), sound.record.archive_size
    heard = Heard()
    report = pack(archive, tmp_path / "v", options=PackOptions(volume_size=50_000), progress=heard)
    assert (heard.expected, heard.done) == ([("bytes", size)], {"bytes": size})
    assert (report.folder, report.signatures, report.record.size) == (tmp_path / "v", 1, size)
    assert [volume.size for volume in report.record.volumes] == [50_000] * (size // 50_000) + [size % 50_000]
    heard = Heard()
    found = unpack(tmp_path / "v", tmp_path / "new.mlfa", progress=heard)
    assert (heard.expected, heard.done) == ([("bytes", size)], {"bytes": size})
    assert found == UnpackReport(
        archive=tmp_path / "new.mlfa",
        archive_id=report.record.archive_id,
        findings=(),
        signatures=1,
        lost_signatures=(),
    )
    assert (tmp_path / "new.mlfa").read_bytes() == archive.read_bytes()
    assert sorted(path.name for path in (tmp_path / "new.mlfa.sig").iterdir()) == ["0001-ada@example.org.sig"]
    assert not (tmp_path / "new.mlfa.unpack").exists()


def test_an_unpacking_that_was_killed_behind_its_end_is_ended_for_the_same_archive_only(
    sound: PackedSet, tmp_path: Path
) -> None:
    target = tmp_path / "a.mlfa"
    shutil.copyfile(sound.archive, target)
    assert refusal(TargetError, sound.unpack, target) == f"{target} exists already; choose another name"
    (tmp_path / "a.mlfa.unpack").mkdir()
    report = sound.unpack(target)
    assert (report.archive_id, report.findings, report.signatures, report.lost_signatures, report.complete) == (
        *(sound.record.archive_id, (), 1, ()),
        True,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.mlfa"]
    for other in (b"no archive", None):
        (tmp_path / "a.mlfa.unpack").mkdir(exist_ok=True)
        if other is None:
            target.unlink()
            write_directory(build(Draft()), target)
        else:
            target.write_bytes(other)
        assert refusal(TargetError, sound.unpack, target) == f"{target} exists already; choose another name"


def test_the_room_for_packing_is_that_of_the_stream_of_parity_and_of_what_lies_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(folder: Path, needed: int, progress: object) -> None:
        raise TargetError(str(needed))

    monkeypatch.setattr(packing, "check_room", no_room)
    archive = make_archive(tmp_path)
    size, signature = archive.stat().st_size, 69
    beside = 64 * 1024
    plan = plan_parity([50_000] * (size // 50_000) + [size % 50_000, beside, signature], 10, 50_000)
    for options, needed in (
        (PackOptions(volume_size=50_000), size + beside),
        (PackOptions(volume_size=50_000, parity_percent=10), size + beside + plan.size),
    ):
        assert refusal(TargetError, pack, archive, tmp_path / "v", options=options) == str(needed)
        assert list((tmp_path / "v").iterdir()) == []


def test_the_room_for_unpacking_is_that_of_the_archive(
    sound: PackedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(folder: Path, needed: int, progress: object) -> None:
        raise TargetError(f"{folder.name}: {needed}")

    monkeypatch.setattr(unpacking, "check_room", no_room)
    assert refusal(TargetError, sound.unpack, tmp_path / "a.mlfa") == f"a.mlfa.unpack: {sound.record.archive_size}"
    assert list(tmp_path.iterdir()) == []


def test_so_many_volumes_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MAX_VOLUMES", 6)
    size = make_archive(tmp_path).stat().st_size
    assert refusal(
        *(Exception, pack, tmp_path / "transfer.mlfa", tmp_path / "v"), options=PackOptions(volume_size=50_000)
    ) == (f"{-(-size // 50_000)} volumes are too many: take a larger --volume-size")
    monkeypatch.setattr(packing, "MAX_VOLUMES", -(-size // 50_000))
    assert len(pack(tmp_path / "transfer.mlfa", tmp_path / "v", options=PackOptions(volume_size=50_000)).files) > 6


def test_of_a_size_that_is_not_said_there_is_one_volume() -> None:
    for options, stream, sizes in (
        (PackOptions(), 5, (5, 2**40)),
        (PackOptions(), 0, (1, 2**40)),
        (PackOptions(), 2**40, (2**40, 2**41)),
        (PackOptions(volume_size=20_000), 2**41, (20_000, 20_000)),
    ):
        made: Any = SimpleNamespace(_options=options)
        assert (_Packing._volume_size(made, stream), _Packing._parity_limit(made, stream)) == sizes


def test_no_more_is_written_than_the_record_says(tmp_path: Path) -> None:
    record: Any = SimpleNamespace(archive_size=5)
    with Files().create(tmp_path / "a") as output, SyncBehind() as disk:
        _write_bounded(disk, output, record, memoryview(b"abc"))
        message = refusal(DamagedVolumesError, _write_bounded, disk, output, record, memoryview(b"def"))
        assert message.splitlines()[0] == "the volumes hold more than the 5 bytes of the record"
        _write_bounded(disk, output, record, memoryview(b"de"))
    assert (tmp_path / "a").read_bytes() == b"abcde"


def test_a_sync_begins_behind_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syncing, "_UNSYNCED", 10)
    syncs: list[int] = []
    written = 0
    output: Any = SimpleNamespace(write=lambda data: None, sync_on_the_way=lambda: syncs.append(written))
    with SyncBehind() as disk:
        for size, expected in ((9, 0), (1, 1), (9, 1), (1, 2), (20, 3), (9, 3)):
            disk.write(output, memoryview(bytes(size)))
            disk.finish()
            assert len(syncs) == expected, size


def test_without_a_record_the_sets_of_volumes_are_named(tmp_path: Path) -> None:
    for base in ("b-0123abcd", "a-0123abcd"):
        (tmp_path / Names(base=base).volume(1, 3)).touch()
    assert refusal(NotAnArchiveError, find_set, tmp_path) == (
        f"{tmp_path} holds volumes of a-0123abcd, b-0123abcd, but neither record nor parity"
    )


def test_threads_of_streams_keep_no_process_alive() -> None:
    with ReadAhead(iter([b"abc"])) as reader, WriteBehind(lambda block: None) as writer:
        assert (reader._thread.daemon, writer._thread.daemon) == (True, True)


def test_what_was_unpacked_is_verified_as_it_is_stored(
    sound: PackedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[Level] = []

    def noted(path: Path, level: Level = Level.FULL) -> VerifyReport:
        levels.append(level)
        return verify(path, level)

    monkeypatch.setattr(unpacking, "verify", noted)
    sound.unpack(tmp_path / "a.mlfa")
    assert levels == [Level.STORED]
    monkeypatch.setattr(unpacking, "verify", lambda path, level: VerifyReport(level=level, archive_id="other"))
    assert refusal(DamagedVolumesError, sound.unpack, tmp_path / "b.mlfa") == (
        f"{sound.folder}: the volumes are as they were written, but what they hold is not the archive "
        f"{sound.record.archive_id}: its id is other"
    )


def test_what_cannot_be_mended_is_to_be_fetched_once_more(tmp_path: Path) -> None:
    findings = [
        Finding(name="a", state=VolumeState.MISSING),
        Finding(name="b", state=VolumeState.DAMAGED, mended=True),
        Finding(name="c", state=VolumeState.CUT_OFF, detail="so"),
    ]
    start = "x: volumes are not as they were written, and cannot be mended"
    mending = MendingFolder(Files(), tmp_path, -1)
    for reasons, message in (((), f"{start}. Fetch"), (("so it is",), f"{start}: so it is. Fetch")):
        error = mending._beyond(Path("x"), findings, *reasons)
        assert str(error) == f"{message} these once more:"
        assert error.volumes == ("a: missing", "c: cut off (so)")
    assert refusal(DamagedVolumesError, mending.record, tmp_path, Names(base="a-0123abcd")).startswith(
        f"{tmp_path}: volumes are not as they were written, and cannot be mended: there is no parity. Fetch"
    )


def test_keys_that_are_asked_for_and_lacking() -> None:
    assert UnpackOptions(passphrase="x").ask() == UnpackOptions(passphrase=lambda: "x").ask() == "x"  # noqa: S106
    assert refusal(KeyRefusedError, UnpackOptions().ask) == (
        "the key is protected by a passphrase, and none was given: --passphrase-file FILE"
    )
    assert refusal(TypeError, UnpackOptions, identities="key") == "identities takes a list; found 'key'"
    names = Names(base="a-0123abcd", encrypted=True)
    record = SetRecord(
        base=names.base,
        archive_id="0" * 64,
        archive_size=1,
        encrypted=True,
        volumes=(SetFile(name=names.volume(1, 3), size=1, sha256="0" * 64),),
        beside=(),
    )
    made: Any = SimpleNamespace(_source=Path("s"), _options=UnpackOptions())
    assert refusal(KeyRefusedError, _Unpacking._keys_at_hand, made, record) == (
        "s: the volumes are encrypted; give the key with --identity FILE"
    )
    assert _Unpacking._keys_at_hand(made, replace(record, encrypted=False)) == []
    protected = replace(record, beside=(SetFile(name=names.identity, size=1, sha256="0" * 64),))
    assert _Unpacking._keys_at_hand(made, protected) is None
    with pytest.raises(DamagedVolumesError) as lost:
        _Unpacking._mended_key(made, record, {})
    assert str(lost.value) == "s: the protected key is not as it was written"
    assert lost.value.volumes == (f"{names.identity}: lost",)
