"""A join gives, byte for byte, the archive that appends to the base would have made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import mlflow_archive as ma
from mlflow_archive.errors import DamagedError, SelectionError, TargetError
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveOptions
from tests.repairing.subjects import hashes
from tests.support.damage import copied
from tests.support.memory_source import MemoryOptions
from tests.writer.test_delta import exported

DAY_1 = MemoryOptions(runs=4, sizes=(300, 2_500_000), distinct=2)
DAY_2 = replace(DAY_1, runs=6, changed=frozenset({1}), gaps=frozenset({5}))
DAY_3 = replace(DAY_2, runs=7, distinct=7, gaps=frozenset())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a base and two deltas, one of the base and one of both, in both forms."""
    folder = tmp_path_factory.mktemp("deltas")
    for suffix in ("", ".mlfa"):
        base, first, second = (folder / f"{name}{suffix}" for name in ("base", "first", "second"))
        exported(base, DAY_1)
        exported(first, DAY_2, ArchiveOptions(base=base))
        ma.join(base, folder / f"both{suffix}", deltas=[first])
        exported(second, DAY_3, ArchiveOptions(base=folder / f"both{suffix}"))
    return folder


def contents(path: Path) -> dict[str, str]:
    return {name.removeprefix(str(path)): found for name, found in hashes(path).items()}


@pytest.mark.parametrize("suffix", ["", ".mlfa"])
def test_a_join_is_what_appends_make_byte_for_byte(place: Path, suffix: str, tmp_path: Path) -> None:
    appended = copied(place / f"base{suffix}", tmp_path / f"appended{suffix}")
    exported(appended, DAY_2, ArchiveOptions(append=True))
    report = exported(appended, DAY_3, ArchiveOptions(append=True))
    seen: list[tuple[str, int, int]] = []
    joined = ma.join(
        place / f"base{suffix}",
        tmp_path / f"new{suffix}",
        deltas=[place / f"first{suffix}", place / f"second{suffix}"],
        progress=lambda *amounts: seen.append(amounts),
    )
    assert contents(tmp_path / f"new{suffix}") == contents(appended)
    whole = verify(appended)
    assert joined.to_json() == {
        "base": verify(place / f"base{suffix}").archive_id,
        "archive_id": report.details["archive_id"],
        "exports": 3,
        "members": whole.checked["members"],
        "bytes": seen[-1][1],
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"appended{suffix}", f"new{suffix}"]


def test_the_forms_of_what_is_joined_may_differ(place: Path, tmp_path: Path) -> None:
    ma.join(place / "base", tmp_path / "new.mlfa", deltas=[place / "first.mlfa", place / "second"])
    ma.join(place / "base.mlfa", tmp_path / "other.mlfa", deltas=[place / "first", place / "second.mlfa"])
    assert verify(tmp_path / "new.mlfa").problems == []
    assert (tmp_path / "new.mlfa").read_bytes() == (tmp_path / "other.mlfa").read_bytes()


def test_what_cannot_be_joined_is_refused_and_leaves_nothing(place: Path, tmp_path: Path) -> None:
    base, first, second = (place / f"{name}.mlfa" for name in ("base", "first", "second"))
    new = tmp_path / "new.mlfa"
    with pytest.raises(SelectionError, match=r"is a delta of export 2 of the archive .* join them in their order"):
        ma.join(base, new, deltas=[second, first])
    with pytest.raises(SelectionError, match="is a delta itself"):
        ma.join(first, new, deltas=[second])
    with pytest.raises(SelectionError, match="is no delta but a whole archive"):
        ma.join(base, new, deltas=[base])
    with pytest.raises(SelectionError, match="at least one delta"):
        ma.join(base, new, deltas=[])
    with pytest.raises(TargetError, match="choose another name"):
        ma.join(base, second, deltas=[first])
    with pytest.raises(SelectionError, match="which is not changed"):
        ma.join(place / "base", place / "base" / "new.mlfa", deltas=[first])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["packs", "tables"])
def test_a_damaged_member_is_named_and_nothing_is_written(place: Path, kind: str, tmp_path: Path) -> None:
    base = copied(place / "base", tmp_path / "base")
    member = max((base / kind).rglob("0001-*"), key=lambda path: path.stat().st_size)
    data = bytearray(member.read_bytes())
    data[len(data) // 2] ^= 1
    member.write_bytes(data)
    for name in ("new", "new.mlfa"):
        with pytest.raises(DamagedError, match=f"^E012: {base}: {member.relative_to(base)} has SHA-256"):
            ma.join(base, tmp_path / name, deltas=[place / "first"])
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_of_several_archives_the_damaged_one_is_named(place: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mlfa"
    ma.join(place / "base", cut, deltas=[place / "first"])
    cut.write_bytes(cut.read_bytes()[:-10])
    damage = f"^E020: {cut}: the file does not end as an archive does"
    with pytest.raises(DamagedError, match=damage):
        ma.join(place / "base", tmp_path / "new", deltas=[cut])
    with pytest.raises(DamagedError, match=damage):
        ma.join(cut, tmp_path / "new", deltas=[place / "first"])
    with pytest.raises(DamagedError, match=damage):
        ma.open(place / "first", base=cut)
    with pytest.raises(DamagedError, match=damage):
        exported(tmp_path / "new", DAY_3, ArchiveOptions(base=cut))


def test_what_was_joined_so_far_is_called_by_all_its_names(place: Path, tmp_path: Path) -> None:
    base, first, second = place / "base", place / "first", place / "second"
    with pytest.raises(SelectionError) as caught:
        ma.join(base, tmp_path / "new", deltas=[first, second, first])
    assert f", and {base} joined with {first} joined with {second} is " in str(caught.value)


def test_a_damaged_copy_of_the_manifest_is_made_anew(place: Path, tmp_path: Path) -> None:
    base = copied(place / "base", tmp_path / "base")
    (base / "manifests" / "0001.json").write_bytes(b"{}")
    ma.join(base, tmp_path / "new", deltas=[place / "first"])
    assert contents(tmp_path / "new") == contents(place / "both")
