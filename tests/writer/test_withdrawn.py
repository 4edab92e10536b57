"""An export that fails before it has anything to go on from leaves nothing; one that has some keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from mlflow_archive.errors import SelectionError, TargetError
from mlflow_archive.flow.chunk import Shard
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Progress
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.support.memory_source import MemoryOptions, MemorySource


class Refusing(MemorySource):
    """A source that refuses the filter, or to go on after so many shards."""

    def __init__(self, after: int | None) -> None:
        super().__init__(MemoryOptions(runs=4, sizes=(10,), runs_per_shard=1))
        self._after = after

    def plan(self, selection: Selection, progress: Progress) -> Iterator[Shard]:
        yield from islice(super().plan(selection, progress), self._after or 0)
        raise SelectionError("no such key")


def export(source: MemorySource, path: Path, *, append: bool = False, seal_seconds: float = 60) -> None:
    options = ArchiveOptions(append=append, seal_seconds=seal_seconds)
    copy(source, ArchiveSink(path, options, tool="t 1", clock_ms=lambda: 0), jobs=1)


def tree(folder: Path) -> dict[str, bytes | None]:
    found = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in found}


@pytest.mark.parametrize("name", ["a", "a.mlfa"])
@pytest.mark.parametrize("after", [None, 3])
def test_nothing_is_left_of_it(name: str, after: int | None, tmp_path: Path) -> None:
    with pytest.raises(SelectionError):
        export(Refusing(after), tmp_path / name)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("name", ["a", "a.mlfa"])
@pytest.mark.parametrize("after", [None, 3])
def test_an_archive_that_it_was_to_add_to_is_as_before(name: str, after: int | None, tmp_path: Path) -> None:
    export(MemorySource(MemoryOptions(runs=1)), tmp_path / name)
    before = tree(tmp_path)
    with pytest.raises(SelectionError):
        export(Refusing(after), tmp_path / name, append=True)
    assert tree(tmp_path) == before


def test_an_empty_folder_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(SelectionError):
        export(Refusing(None), tmp_path / "a")
    assert tree(tmp_path) == {"a": None}


def test_what_was_sealed_stays_for_the_next(tmp_path: Path) -> None:
    left = []
    for after, seal_seconds in ((3, 0), (None, 60)):
        with pytest.raises(SelectionError):
            export(Refusing(after), tmp_path / "a.mlfa", seal_seconds=seal_seconds)
        left.append([name for name in tree(tmp_path) if name.endswith(".rows")])
    assert left[0] == left[1] != []


def test_another_export_that_is_under_way_is_not_disturbed(tmp_path: Path) -> None:
    sink = ArchiveSink(tmp_path / "a.mlfa", tool="t 1", clock_ms=lambda: 0)
    source = MemorySource(MemoryOptions())
    sink.begin(source.facts(), Selection())
    before = tree(tmp_path)
    with pytest.raises(TargetError, match="another process is writing"):
        export(MemorySource(MemoryOptions()), tmp_path / "a.mlfa")
    assert tree(tmp_path) == before
    sink.abort()
    assert tree(tmp_path) == {}
