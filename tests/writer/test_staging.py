"""The journal of an unfinished export: what it names counts, and is there after a power cut; nothing else counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.format.layout import pack_name
from mlflow_archive.kinds import TABLES
from mlflow_archive.storage.files import Files
from mlflow_archive.storage.growing import GrowingFiles
from mlflow_archive.writer.packs import WrittenPack
from mlflow_archive.writer.staged import StagedFile, StagedWriter
from mlflow_archive.writer.staging import Staging
from tests.support.chunks import pairs, table
from tests.support.crash import Disk, RecordingFiles, SimulatedDisk, materialize

ROWS = table("tags", pairs("a" * 32, {"k": "v"}))


class NoPacks:
    """Nothing is there whole."""

    def holds(self, packs: Sequence[WrittenPack]) -> bool:
        return not packs


@contextmanager
def opened(
    root: Path,
    files: Files | None = None,
    *,
    taken_up: bool = False,
    export: int = 1,
    plan: Mapping[str, str] = MappingProxyType({"selection": "all"}),
) -> Iterator[Staging]:
    """Open the staging folder as an export does; ``taken_up`` is whether that has to find what another left."""
    staging = Staging(files or Files(), root, export)
    staging.lock()
    try:
        assert staging.open(plan, GrowingFiles(files or Files(), root), NoPacks()) is taken_up
        yield staging
    finally:
        staging.close()


def write(files: Files, staging: Staging) -> StagedFile:
    """Write a file of one row."""
    writer = StagedWriter(files.create(staging.next_path()))
    writer.add(ROWS, TABLES["tags"])
    return writer.finish(durable=True)


def make_packs(root: Path, *sizes: int) -> None:
    (root / "packs").mkdir(parents=True, exist_ok=True)
    for number, size in enumerate(sizes):
        (root / pack_name(1, number)).write_bytes(bytes(size))


def test_packs_are_as_long_as_the_longest_that_any_line_knows_of(tmp_path: Path) -> None:
    """Threads seal side by side: the last line may be that of a thread which asked for the sizes first."""
    with opened(tmp_path) as staging:
        make_packs(tmp_path, 100, 100, 100)
        for sizes in ([40], [60, 7], [60, 9, 5], [50], [60, 8]):
            staging.seal(write(Files(), staging), sizes)
    with opened(tmp_path, taken_up=True) as staging:
        assert staging.pack_sizes == [60, 9, 5]
        assert [file.path.name for file in staging.staged] == [f"{number:06d}.rows" for number in range(1, 6)]
        assert [file.segment for file in staging.staged] == [1, 2, 3, 4, 5]
        assert staging.next_path().name == "000006.rows"


@pytest.mark.parametrize(("missing", "taken_up"), [(0, True), (1, False)])
def test_a_pack_shorter_than_a_line_says_begins_the_export_anew(tmp_path: Path, missing: int, taken_up: bool) -> None:
    with opened(tmp_path) as staging:
        make_packs(tmp_path, 60 - missing)
        staging.seal(write(Files(), staging), [60])
        staging.seal(write(Files(), staging), [50])
    with opened(tmp_path, taken_up=taken_up) as staging:
        assert staging.pack_sizes == ([60] if taken_up else [])
        assert len(staging.staged) == (2 if taken_up else 0)
        assert (tmp_path / pack_name(1, 0)).exists() is taken_up


@pytest.mark.parametrize(("missing", "taken_up"), [(0, True), (1, False)])
def test_a_file_shorter_than_a_line_says_begins_the_export_anew(tmp_path: Path, missing: int, taken_up: bool) -> None:
    with opened(tmp_path) as staging:
        file = write(Files(), staging)
        staging.seal(file, [])
    file.path.write_bytes(file.path.read_bytes()[: file.size - missing])
    with opened(tmp_path, taken_up=taken_up) as staging:
        assert len(staging.staged) == (1 if taken_up else 0)
        assert file.path.exists() is taken_up


def test_a_sealed_file_is_taken_up_after_a_power_cut(tmp_path: Path) -> None:
    """The name of the file is durable before the line of the journal that tells of it."""
    root = tmp_path / "archive"
    root.mkdir()
    disk, files = SimulatedDisk.of(root), RecordingFiles()
    with opened(root, files) as staging:
        for _ in range(2):
            staging.seal(write(files, staging), [])
        unsealed = write(files, staging)
    for operation in files.operations:
        disk.apply(operation)
    materialize(disk.tree(Disk.LOST), root)
    assert not unsealed.path.exists()
    with opened(root, taken_up=True) as staging:
        assert [file.path.name for file in staging.staged] == ["000001.rows", "000002.rows"]


def test_what_no_line_names_is_removed_and_earlier_exports_are_not_touched(tmp_path: Path) -> None:
    names = [f"packs/{number:04d}-{pack:05d}.zst" for number in (1, 2, 3) for pack in (0, 1)]
    names += ["manifests/0001.json", "manifests/0002.json", "tables/runs/0001-00000.parquet"]
    names += ["tables/runs/0002-00000.parquet", "manifest.json", "manifest.json.tmp", "README.txt.tmp"]
    with opened(tmp_path, export=2) as staging:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(bytes(10))
        sealed = write(Files(), staging)
        staging.seal(sealed, [10])
        unsealed = write(Files(), staging)
        (staging.folder / "folder").mkdir()
        (staging.folder / "folder" / "file").touch()
    with opened(tmp_path, export=2, taken_up=True) as staging:
        assert {path.name for path in staging.folder.iterdir()} == {
            sealed.path.name, "plan.json", "journal.jsonl", "lock"
        }  # fmt: skip
        assert staging.next_path() == unsealed.path
    assert sorted(name for name in names if (tmp_path / name).exists()) == [
        "manifest.json",
        "manifests/0001.json",
        "packs/0001-00000.zst",
        "packs/0001-00001.zst",
        "packs/0002-00000.zst",
        "tables/runs/0001-00000.parquet",
    ]


@pytest.mark.parametrize(
    ("end", "lines"),
    [(b"", 2), (b"\0" * 40, 2), (b"00000000 {}", 2), (b"00000000 {}\n", 2)],
    ids=["whole", "zeros", "half a line", "a line with another sum"],
)
def test_lines_that_are_not_whole_do_not_count_and_are_cut_off(tmp_path: Path, end: bytes, lines: int) -> None:
    with opened(tmp_path) as staging:
        for _ in range(lines):
            staging.seal(write(Files(), staging), [])
    journal = tmp_path / "staging" / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + end)
    with opened(tmp_path, taken_up=True) as staging:
        assert len(staging.staged) == lines
        staging.seal(write(Files(), staging), [])
    with opened(tmp_path, taken_up=True) as staging:
        assert len(staging.staged) == lines + 1
    journal.write_bytes(whole[:-1])
    with opened(tmp_path, taken_up=True) as staging:
        assert len(staging.staged) == lines - 1


def test_a_second_export_of_this_process_is_refused_while_the_first_has_the_lock(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(TargetError, match="another process is writing this archive"):
        Staging(Files(), tmp_path, 1).lock()
    with opened(tmp_path):
        pass


def test_another_plan_begins_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as staging:
        sealed = write(Files(), staging)
        staging.seal(sealed, [])
    with opened(tmp_path, plan={"selection": "other"}):
        assert not sealed.path.exists()
    with opened(tmp_path):
        pass
