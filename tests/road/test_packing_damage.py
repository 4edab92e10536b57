"""What happens to volumes on the road: within the parity the archive comes back, beyond it they are named."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest

from mlflow_archive.errors import DamagedVolumesError, KeyRefusedError
from mlflow_archive.packing.pack import PackOptions, pack
from mlflow_archive.packing.unpack import UnpackOptions, unpack
from mlflow_archive.packing.volumes import SetFile, encode_record
from tests.road.packed_sets import LONG, PackedSet, change, flip, identity, key_file, make_archive, packed_set, tree
from tests.support.memory_source import MemoryOptions


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> PackedSet:
    return packed_set(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> PackedSet:
    """Return a set without encryption and without parity."""
    return packed_set(tmp_path_factory.mktemp("bare"), encrypted=False, parity=None)


def damages(spoilt: PackedSet, chance: random.Random) -> list[str]:
    """Do up to four things to the set, each within its parity; return what was done."""
    done = []
    for _ in range(chance.randint(1, 4)):
        kind = chance.choice(["flip", "sector", "cut", "swap", "rename", "parity", "record", "list"])
        number, other = chance.sample(range(1, len(spoilt.record.volumes) + 1), 2)
        path = spoilt.volume(number)
        if not path.exists() or not spoilt.volume(other).exists():
            continue
        size = path.stat().st_size
        if kind == "flip":
            flip(path, chance.randrange(size), chance.randrange(8))
        elif kind == "sector":
            start, noise = chance.randrange(max(1, size - 4096)), chance.randbytes(4096)
            change(path, lambda data: data.__setitem__(slice(start, start + 4096), noise))  # noqa: B023
        elif kind == "cut":
            os.truncate(path, size - chance.randint(1, min(8000, size)))
        elif kind == "swap":
            path.rename(path.with_suffix(".swapping"))
            spoilt.volume(other).rename(path)
            path.with_suffix(".swapping").rename(spoilt.volume(other))
        elif kind == "rename":
            path.rename(path.with_name(f"found-{number}.bin"))
        elif kind == "parity":
            flip(chance.choice(sorted(spoilt.folder.glob("*.vol*.par2"))), chance.randrange(5000))
        else:
            [beside] = spoilt.folder.glob("*.json" if kind == "record" else "*.sha256")
            flip(beside, chance.randrange(beside.stat().st_size), chance.randrange(7))
        done.append(f"{kind} {number} {other}")
    return done


@pytest.mark.parametrize("seed", range(500 if LONG else 12))
def test_random_damage_within_the_parity(sound: PackedSet, tmp_path: Path, seed: int) -> None:
    spoilt = sound.copy(tmp_path / "volumes")
    done = damages(spoilt, random.Random(seed))  # noqa: S311 - chance that repeats
    before = tree(spoilt.folder)
    spoilt.unpack(tmp_path / "back.mlfa")
    assert (tmp_path / "back.mlfa").read_bytes() == sound.archive.read_bytes(), done
    assert tree(spoilt.folder) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.mlfa", "back.mlfa.sig", "volumes"]


def lose(*numbers: int) -> Callable[[PackedSet], None]:
    def spoil(spoilt: PackedSet) -> None:
        for number in numbers:
            spoilt.volume(number).unlink()

    return spoil


def swap(spoilt: PackedSet) -> None:
    first, second = spoilt.volume(1).read_bytes(), spoilt.volume(2).read_bytes()
    spoilt.volume(1).write_bytes(second)
    spoilt.volume(2).write_bytes(first)


def put_foreign(spoilt: PackedSet) -> None:
    noise = random.Random(1).randbytes(spoilt.volume(3).stat().st_size)  # noqa: S311
    spoilt.volume(3).write_bytes(noise)
    (spoilt.folder / "other-0123abcd.mlfa.age.003").write_bytes(noise)


def cut(spoilt: PackedSet) -> None:
    os.truncate(spoilt.volume(4), 40_000)


def lengthen(spoilt: PackedSet) -> None:
    change(spoilt.volume(4), lambda data: data.extend(b"!"))


def rename(spoilt: PackedSet) -> None:
    spoilt.volume(5).rename(spoilt.folder / "lost+found")


def double(spoilt: PackedSet) -> None:
    shutil.copy(spoilt.volume(1), spoilt.volume(2))


HOLDS = "swapped (it holds what belongs into BASE.mlfa.age."
CASES: dict[str, tuple[Callable[[PackedSet], None], list[str]]] = {
    "missing": (lose(2), ["002: missing, mended"]),
    "cut off": (cut, ["004: cut off (it has 40,000 of 50,000 bytes), mended"]),
    "longer": (lengthen, ["004: damaged (it has 50,001 bytes in place of 50,000), mended"]),
    "damaged": (lambda spoilt: flip(spoilt.volume(7), 5), ["007: damaged, mended"]),
    "swapped": (swap, [f"001: {HOLDS}002)", f"002: {HOLDS}001)"]),
    "renamed": (rename, ["005: renamed (it is lost+found now)"]),
    "doubled": (double, [f"002: {HOLDS}001), mended"]),
    "foreign": (
        put_foreign,
        [
            "003: of another set (no part of it is of this one), mended",
            "other-0123abcd.mlfa.age.003: of another set (other-0123abcd)",
        ],
    ),
}


def lines(spoilt: PackedSet, found: tuple[str, ...]) -> list[str]:
    """Return findings without the base of the set."""
    base = spoilt.record.base
    return [line.removeprefix(f"{base}.mlfa.age.").replace(base, "BASE") for line in found]


@pytest.mark.parametrize(("spoil", "expected"), CASES.values(), ids=CASES)
def test_each_damage_is_named_and_mended(
    sound: PackedSet, tmp_path: Path, spoil: Callable[[PackedSet], None], expected: list[str]
) -> None:
    spoilt = sound.copy(tmp_path / "volumes")
    spoil(spoilt)
    report = spoilt.unpack(tmp_path / "back.mlfa")
    assert lines(spoilt, tuple(finding.line for finding in report.findings)) == expected
    assert (tmp_path / "back.mlfa").read_bytes() == sound.archive.read_bytes()


def test_beyond_the_parity_the_volumes_are_named(sound: PackedSet, tmp_path: Path) -> None:
    spoilt = sound.copy(tmp_path / "volumes")
    lose(1, 2, 3, 6)(spoilt)
    flip(spoilt.volume(5), 30_000)
    before = tree(spoilt.folder)
    with pytest.raises(DamagedVolumesError, match=r"cannot be mended: \d+ more blocks of parity would be") as caught:
        spoilt.unpack(tmp_path / "back.mlfa")
    assert caught.value.exit_code == 12
    expected = ["001: missing", "002: missing", "003: missing", "005: damaged", "006: missing"]
    assert lines(spoilt, caught.value.volumes) == expected
    assert caught.value.lines[1:] == tuple(f"  {line}" for line in caught.value.volumes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["volumes"]
    assert tree(spoilt.folder) == before
    # With some of them fetched once more, the same call goes on.
    for number in (1, 2, 3):
        shutil.copy(sound.volume(number), spoilt.volume(number))
    spoilt.unpack(tmp_path / "back.mlfa")
    assert (tmp_path / "back.mlfa").read_bytes() == sound.archive.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.mlfa", "back.mlfa.sig", "volumes"]


def test_without_parity_what_is_lost_is_named(bare: PackedSet, tmp_path: Path) -> None:
    spoilt = bare.copy(tmp_path / "volumes")
    flip(spoilt.volume(2), 0)
    spoilt.volume(4).unlink()
    with pytest.raises(DamagedVolumesError, match="cannot be mended: there is no parity") as caught:
        spoilt.unpack(tmp_path / "back.mlfa")
    names = [volume.name for volume in bare.record.volumes]
    assert list(caught.value.volumes) == [f"{names[1]}: damaged", f"{names[3]}: missing"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["volumes"]


@pytest.mark.parametrize("pattern", ["*.json", "README.txt", "*.sig/*.sig", "*-????????.par2", "*.sha256"])
def test_what_lies_beside_the_volumes_may_be_lost(sound: PackedSet, tmp_path: Path, pattern: str) -> None:
    spoilt = sound.copy(tmp_path / "volumes")
    [path] = spoilt.folder.glob(pattern)
    path.unlink()
    lose(3)(spoilt)
    report = spoilt.unpack(tmp_path / "back.mlfa")
    assert (tmp_path / "back.mlfa").read_bytes() == sound.archive.read_bytes()
    assert tree(tmp_path / "back.mlfa.sig") == tree(sound.archive.with_name("transfer.mlfa.sig"))
    assert report.complete


def test_keys_are_tried_before_anything_is_mended(tmp_path: Path) -> None:
    """Mending may take hours, and without a key it is for nothing."""
    content = MemoryOptions(runs=1, sizes=(3_000_000,), distinct=1)
    recipients, other = [str(identity().to_public())], tmp_path / "other.txt"
    other.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    options = PackOptions(recipients=recipients, volume_size=2**20, parity_percent=60)
    report = pack(make_archive(tmp_path, content=content), tmp_path / "volumes", options=options)
    (tmp_path / "volumes" / report.record.volumes[1].name).unlink()
    for identities, reason in (([], "give the key with --identity FILE"), ([other], "the first one is as it was")):
        with pytest.raises(KeyRefusedError, match=reason):
            unpack(tmp_path / "volumes", tmp_path / "b.mlfa", options=UnpackOptions(identities=identities))
        assert not (tmp_path / "b.mlfa.unpack").exists()  # what was mended would be there still
    unpack(tmp_path / "volumes", tmp_path / "b.mlfa", options=UnpackOptions(identities=[key_file(tmp_path)]))
    assert (tmp_path / "b.mlfa").read_bytes() == (tmp_path / "transfer.mlfa").read_bytes()


def test_a_protected_key_that_is_damaged_is_mended(tmp_path: Path) -> None:
    archive = make_archive(tmp_path)
    report = pack(archive, tmp_path / "volumes", options=PackOptions(passphrase="x", parity_percent=10))  # noqa: S106
    flip(tmp_path / "volumes" / f"{report.record.base}.identity.age", 230)
    unpack(tmp_path / "volumes", tmp_path / "b.mlfa", options=UnpackOptions(passphrase="x"))  # noqa: S106
    assert (tmp_path / "b.mlfa").read_bytes() == archive.read_bytes()


def test_signatures_that_are_lost_make_it_incomplete(bare: PackedSet, tmp_path: Path) -> None:
    spoilt = bare.copy(tmp_path / "volumes")
    [signature] = spoilt.folder.glob("*.sig/*.sig")
    flip(signature, 3)
    report = spoilt.unpack(tmp_path / "back.mlfa")
    name = f"{bare.record.base}.mlfa.sig/0001-ada@example.org.sig"
    assert (report.complete, report.lost_signatures, report.signatures) == (False, (name,), 0)
    assert [finding.line for finding in report.findings] == [f"{name}: damaged"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.mlfa", "volumes"]


def test_a_folder_that_cannot_be_written(sound: PackedSet, tmp_path: Path) -> None:
    """What is mended lies beside the archive: the volumes may be on a disk that is only read."""
    spoilt = sound.copy(tmp_path / "volumes")
    lose(2)(spoilt)
    for path in [*spoilt.folder.rglob("*"), spoilt.folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    changed = {path: path.stat().st_mtime_ns for path in [spoilt.folder, *spoilt.folder.rglob("*")]}
    spoilt.unpack(tmp_path / "back.mlfa")
    assert (tmp_path / "back.mlfa").read_bytes() == sound.archive.read_bytes()
    assert {path: path.stat().st_mtime_ns for path in [spoilt.folder, *spoilt.folder.rglob("*")]} == changed
    for path in [spoilt.folder, *spoilt.folder.rglob("*")]:
        path.chmod(0o755)


def test_a_record_that_was_made_to_harm(bare: PackedSet, tmp_path: Path) -> None:

    spoilt = bare.copy(tmp_path / "volumes")
    outside = SetFile(name=f"{bare.record.base}.mlfa.sig/../../outside", size=1, sha256="0" * 64)
    record = replace(bare.record, beside=(*bare.record.beside, outside))
    (spoilt.folder / f"{bare.record.base}.json").write_bytes(encode_record(record))
    with pytest.raises(DamagedVolumesError, match="there is no parity"):
        spoilt.unpack(tmp_path / "back.mlfa")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["volumes"]
