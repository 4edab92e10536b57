"""A delta is what an append to its base would have added; beside the base it is what the append would have made."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_archive.errors import ElsewhereError, NotAnArchiveError, SelectionError, TargetError
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.format.manifest import archive_id, encode
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.blobs import Blobs
from mlflow_archive.storage.files import Files
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from tests.support.memory_source import MemoryOptions, MemorySource, run_id

DAY_1 = MemoryOptions(runs=7, sizes=(300, 0), distinct=3)
DAY_2 = replace(DAY_1, runs=9, changed=frozenset({1, 4}), gaps=frozenset({8}))
FORMS = pytest.mark.parametrize("suffix", ["", ".mlfa"])


def exported(
    path: Path, day: MemoryOptions, options: ArchiveOptions | None = None, files: Files | None = None
) -> Report:
    sink = ArchiveSink(path, options or ArchiveOptions(), tool="test 1", clock_ms=lambda: 1, files=files)
    return copy(MemorySource(day), sink, jobs=1)


def appended(base: Path, day: MemoryOptions) -> Path:
    """Return a copy of an archive to which a day was appended."""
    path = base.with_name(f"appended-{base.name}")
    (shutil.copytree if base.is_dir() else shutil.copyfile)(base, path)
    exported(path, day, ArchiveOptions(append=True))
    return path


@FORMS
def test_a_delta_beside_its_base_is_what_an_append_makes(suffix: str, tmp_path: Path) -> None:
    base, delta = tmp_path / f"base{suffix}", tmp_path / f"delta{suffix}"
    exported(base, DAY_1)
    before = verify(base)
    report = exported(delta, DAY_2, ArchiveOptions(base=base))
    with open_archive(delta, base=base) as both, open_archive(appended(base, DAY_2)) as expected:
        assert both.manifest == expected.manifest
        assert both.id == expected.id == report.details["joined_id"]
        names = {name: size for name, size in both.members.sizes().items() if name != "checksums.sha256"}
        assert names.items() <= expected.members.sizes().items()
    assert report.details["base"] == before.archive_id
    assert verify(delta, base=base).problems == verify(delta).problems == verify(base).problems == []
    assert verify(base).checked == before.checked
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.name for path in (base, delta, tmp_path / f"appended-base{suffix}")
    )


@FORMS
def test_a_delta_alone_shows_what_it_holds_and_names_where_the_rest_is(suffix: str, tmp_path: Path) -> None:
    base, delta = tmp_path / "base.mlfa", tmp_path / f"delta{suffix}"
    exported(base, DAY_1)
    exported(delta, DAY_2, ArchiveOptions(base=base))
    with open_archive(base) as opened:
        base_id, size = opened.id, sum(member.size for member in opened.manifest.members)
        size += len(encode(opened.manifest))
        count = len(opened.manifest.members) + 1
        held = opened.table("artifacts", owners=[run_id(1)])["digest"].to_pylist()
    report = verify(delta)
    assert report.elsewhere is not None
    assert report.elsewhere.to_json() == {"base": base_id, "members": count, "bytes": size}
    with open_archive(delta) as opened:
        assert set(opened.table("runs")["run_id"].to_pylist()) == {run_id(number) for number in (1, 4, 7, 8)}
        assert archive_id(encode(opened.manifest)) == opened.id
        with pytest.raises(ElsewhereError, match=f"lies in the base, archive {base_id}"):
            Blobs(opened).open(held[0])
    with open_archive(delta, base=base) as both, Blobs(both).open(held[0]) as stream:
        assert len(stream.read()) in (300, 0)


@FORMS
def test_of_nothing_new_there_is_no_delta(suffix: str, tmp_path: Path) -> None:
    base, delta = tmp_path / "base.mlfa", tmp_path / f"delta{suffix}"
    exported(base, DAY_1)
    report = exported(delta, DAY_1, ArchiveOptions(base=base))
    held = verify(base).archive_id
    assert report.details == {
        "archive_id": held,
        "export": 1,
        "unchanged": True,
        "base": held,
        "source": {"kind": "memory", "uri": "memory://test", "mlflow_version": "3.17.2", "extra": {}},
    }
    assert list(tmp_path.iterdir()) == [base]


def test_a_base_must_be_a_whole_archive_that_the_delta_was_made_of(tmp_path: Path) -> None:
    base, other, delta = tmp_path / "base.mlfa", tmp_path / "other.mlfa", tmp_path / "delta.mlfa"
    exported(base, DAY_1)
    exported(other, DAY_2)
    exported(delta, DAY_2, ArchiveOptions(base=base))
    with open_archive(other) as opened, pytest.raises(SelectionError, match=f"and {other} is {opened.id}"):
        open_archive(delta, base=other)
    with pytest.raises(SelectionError, match="is no delta but a whole archive"):
        open_archive(other, base=base)
    with pytest.raises(SelectionError, match="is a delta itself"):
        open_archive(delta, base=delta)
    with pytest.raises(SelectionError, match=r"is a delta of the archive .*; no delta is made of it"):
        exported(tmp_path / "second.mlfa", DAY_2, ArchiveOptions(base=delta))
    with pytest.raises(SelectionError, match=r"is a delta of the archive .*; nothing is added to it"):
        exported(delta, DAY_2, ArchiveOptions(append=True))
    with pytest.raises(NotAnArchiveError):
        exported(tmp_path / "second.mlfa", DAY_2, ArchiveOptions(base=tmp_path / "none.mlfa"))
    with pytest.raises(TargetError, match="is an archive already"):
        exported(delta, DAY_2, ArchiveOptions(base=base))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.mlfa", "delta.mlfa", "other.mlfa"]


class KilledError(Exception):
    """The process is gone."""


class Killing(Files):
    """Ends at the first removal behind the commit."""

    committed = False

    def publish(self, source: Path, target: Path) -> None:
        super().publish(source, target)
        self.committed |= target.name in ("delta.mlfa", "manifest.json") and ".work" not in str(target)

    def remove(self, path: Path) -> None:
        if self.committed:
            raise KilledError
        super().remove(path)


@FORMS
def test_an_export_killed_behind_its_commit_ends_as_one_that_was_not(suffix: str, tmp_path: Path) -> None:
    base, delta = tmp_path / "base.mlfa", tmp_path / f"delta{suffix}"
    exported(base, DAY_1)
    with pytest.raises(KilledError):
        exported(delta, DAY_2, ArchiveOptions(base=base), files=Killing())
    with open_archive(delta) as opened:
        first = opened.id
    assert exported(delta, DAY_2, ArchiveOptions(base=base)).details["archive_id"] == first
    assert verify(delta, base=base).problems == []
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in (base, delta))


def test_no_delta_is_written_into_its_base(tmp_path: Path) -> None:
    base = tmp_path / "base"
    exported(base, DAY_1)
    with pytest.raises(SelectionError, match=r"delta.mlfa lies in .*, which is not changed; write it elsewhere"):
        exported(base / "delta.mlfa", DAY_2, ArchiveOptions(base=base))
    assert verify(base).problems == []
