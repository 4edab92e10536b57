"""Deltas joined in a chain are what appends make; a join or an index that is killed leaves nothing half."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlflow_archive as ma
from mlflow_archive.errors import TargetError
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveOptions
from mlflow_archive.writer.index import IndexBase, write_index
from mlflow_archive.writer.join import join
from tests.repairing.subjects import LONG, hashes, remove
from tests.repairing.test_interrupted import Killed, Mortal
from tests.storage.test_full_disk import SmallDisk
from tests.support.damage import copied
from tests.support.memory_source import MemoryOptions, content_of
from tests.writer.test_delta import exported

DAY = MemoryOptions(runs=5, points=3, sizes=(300, 0), distinct=3, gaps=frozenset({2}), runs_per_shard=2)
NUMBERS = st.frozensets(st.integers(0, 7), max_size=3)


@st.composite
def days(draw: st.DrawFn) -> list[tuple[MemoryOptions, str, str, bool]]:
    """Return what a server holds on some days; of each the kind of base, the form of the delta, and `recheck`."""
    return [
        (
            replace(
                DAY,
                runs=draw(st.integers(4, 8)),
                changed=draw(NUMBERS),
                gaps=draw(NUMBERS),
                long=draw(NUMBERS),
                experiment_tags={"team": draw(st.sampled_from(["vision", "text"]))},
            ),
            draw(st.sampled_from(["archive", "index"])),
            draw(st.sampled_from(["", ".mlfa"])),
            draw(st.booleans()),
        )
        for _ in range(draw(st.integers(1, 4 if LONG else 3)))
    ]


@given(chain=days(), suffix=st.sampled_from(["", ".mlfa"]))
@settings(max_examples=100 if LONG else 2, deadline=None)
def test_deltas_joined_are_what_appends_make(chain: list[tuple[MemoryOptions, str, str, bool]], suffix: str) -> None:
    """Whatever comes, by an archive or its index as base: one and the same archive, of either form, or no delta."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base, appended = folder / f"base{suffix}", folder / f"appended{suffix}"
        exported(base, DAY)
        copied(base, appended)
        deltas: list[Path] = []
        for number, (day, kind, form, recheck) in enumerate(chain):
            delta, index = folder / f"delta-{number}{form}", folder / f"{number}.index"
            ma.index(appended, index)
            options = ArchiveOptions(base=appended if kind == "archive" else index, recheck=recheck)
            unchanged = exported(delta, day, options).details["unchanged"]
            again = exported(appended, day, ArchiveOptions(append=True, recheck=recheck))
            assert again.details["unchanged"] == unchanged == (not delta.exists())
            deltas += [] if unchanged else [delta]
        if deltas:
            joined = folder / f"joined{suffix}"
            report = ma.join(base, joined, deltas=deltas)
            assert contents(joined) == contents(appended)
            assert content_of(joined) == content_of(appended)
            assert report.archive_id == verify(joined).archive_id
            assert verify(joined).problems == []


def contents(path: Path) -> dict[str, str]:
    return {name.removeprefix(str(path)): found for name, found in hashes(path).items()}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a base, a delta of it, and both joined in both forms."""
    folder = tmp_path_factory.mktemp("joining")
    exported(folder / "base.mlfa", DAY)
    exported(folder / "delta", replace(DAY, runs=7, sizes=(300, 1_200_000)), ArchiveOptions(base=folder / "base.mlfa"))
    for name in ("new", "new.mlfa"):
        ma.join(folder / "base.mlfa", folder / name, deltas=[folder / "delta"])
    return folder


@pytest.mark.parametrize("name", ["new", "new.mlfa"])
def test_a_join_killed_before_every_file_operation(place: Path, tmp_path: Path, name: str) -> None:
    base, deltas, new = place / "base.mlfa", [place / "delta"], tmp_path / name
    count = Mortal(10**9)
    join(base, deltas, new, files=count)
    operations = 10**9 - count.lives
    remove(new)
    half = 0
    for lives in range(0, operations, 1 if LONG else operations // 5):
        with pytest.raises(Killed):
            join(base, deltas, new, files=Mortal(lives))
        half += new.exists()
        if new.exists():
            with pytest.raises(TargetError, match="choose another name"):
                join(base, deltas, new)
        else:
            join(base, deltas, new)
        assert contents(new) == contents(place / name), lives
        assert [path.name for path in tmp_path.iterdir()] == [name], lives
        remove(new)
    assert half < operations


@pytest.mark.parametrize("name", ["new", "new.mlfa"])
def test_a_join_onto_a_full_disk_leaves_nothing(place: Path, tmp_path: Path, name: str) -> None:
    big = SmallDisk(10**9)
    join(place / "base.mlfa", [place / "delta"], tmp_path / name, files=big)
    remove(tmp_path / name)
    for step in range(4):
        disk = SmallDisk((10**9 - big.room) * step // 4)
        with pytest.raises(TargetError, match=r"the disk is full|an earlier write failed"):
            join(place / "base.mlfa", [place / "delta"], tmp_path / name, files=disk)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", ["nothing", "an index"])
def test_an_index_killed_before_every_file_operation(place: Path, tmp_path: Path, before: str) -> None:
    path = tmp_path / "base.index"
    with open_archive(place / "base.mlfa") as archive, open_archive(place / "new") as other:
        count = Mortal(10**9)
        write_index(archive, path, files=count)
        expected = path.read_bytes()
        for lives in range(0, 10**9 - count.lives, 1 if LONG else 7):
            path.unlink(missing_ok=True)
            if before == "an index":
                write_index(other, path)
            with pytest.raises(Killed):
                write_index(archive, path, files=Mortal(lives))
            if path.exists():
                with IndexBase(path) as base:
                    assert base.id in (archive.id, other.id)
            write_index(archive, path)
            assert path.read_bytes() == expected
            assert list(tmp_path.iterdir()) == [path]
