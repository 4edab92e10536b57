"""What a salvaged archive states of its exports: rows and gaps counted anew where parts were written anew."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.format.manifest import Export, Member
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.repairing.repair import RepairOptions, RepairReport
from mlflow_archive.repairing.salvage import Salvage
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveOptions
from tests.repairing.subjects import repair
from tests.spec.drafts import HELLO, RUN_A, RUN_B, WORLD, Draft, build, part, sha, write_directory
from tests.support.memory_source import MemoryOptions
from tests.writer.test_delta import exported


def member(table: str | None, export: int, rows: int | None) -> Member:
    return Member(path="x", kind="table", export=export, size=1, sha256="0" * 64, table=table, rows=rows)


def salvage(*touched: tuple[int, str], owners: bool = False, drops: bool = False) -> Any:
    """Return a salvage whose members are these, so far as its counts go."""
    members = [
        *(member("gaps", 1, 3), member("runs", 1, 2), member("runs", 1, 5), member("runs", 2, 9)),
        *(member(None, 1, 7), member("newer", 1, 8), member("params", 1, None)),
    ]
    made: Any = SimpleNamespace(_members=members, _touched=set(touched))
    made.losses = SimpleNamespace(owners=frozenset({("run", "a")} if owners else ()))
    made._holdings = SimpleNamespace(may_drop=lambda table, export: drops)
    made._counts = lambda export: Salvage._counts(made, export)
    return made


EXPORT = Export(
    number=1,
    created_ms=1,
    tool="t",
    source={},
    selection={},
    counts={"runs": 10, "gaps": 4, "tags": 6, "metrics": 1},
    gaps=4,
)


def test_rows_are_counted_by_table_of_one_export() -> None:
    assert Salvage._counts(salvage(), 1) == {"gaps": 3, "runs": 7, "params": 0}
    assert Salvage._counts(salvage(), 2) == {"runs": 9}


@pytest.mark.parametrize(
    ("touched", "counts", "gaps"),
    [
        ([], EXPORT.counts, 4),
        ([(2, "runs"), (1, "newer")], EXPORT.counts, 4),
        ([(1, "runs")], {"runs": 7, "gaps": 4, "tags": 6, "metrics": 1}, 4),
        ([(1, "gaps"), (2, "tags")], {"runs": 10, "gaps": 3, "tags": 6, "metrics": 1}, 3),
        ([(1, "tags"), (1, "newer")], {"runs": 10, "gaps": 4, "metrics": 1}, 4),
    ],
    ids=["nothing", "nothing of it", "runs", "gaps", "all of a table"],
)
def test_an_export_states_anew_what_was_written_anew(
    touched: list[tuple[int, str]], counts: dict[str, int], gaps: int
) -> None:
    found = Salvage._recounted(salvage(*touched), EXPORT)
    assert (found.counts, found.gaps) == (counts, gaps)


@pytest.mark.parametrize(
    ("table", "lost", "owners", "drops", "expected"),
    [
        ("artifacts", {"d"}, False, False, True),
        ("artifacts", set(), True, False, False),
        ("fingerprints", {"d"}, True, False, True),
        ("fingerprints", {"d"}, False, False, False),
        ("runs", {"d"}, True, False, False),
        ("runs", set(), False, True, True),
    ],
)
def test_sound_rows_may_be_left_out_where_what_they_are_of_is_lost(
    table: str, lost: set[str], owners: bool, drops: bool, expected: bool
) -> None:
    made = salvage(owners=owners, drops=drops)
    assert Salvage._may_leave_out(made, TABLES[table], 1, lost) is expected


def test_a_delta_is_not_salvaged(tmp_path: Path) -> None:
    base, delta = tmp_path / "base", tmp_path / "delta"
    exported(base, MemoryOptions(runs=1))
    exported(delta, MemoryOptions(runs=2), ArchiveOptions(base=base))
    (delta / "tables" / "runs" / "0002-00000.parquet").unlink()
    with pytest.raises(SelectionError) as refused:
        repair(delta, tmp_path / "new", salvage=True)
    assert str(refused.value) == (
        f"{delta} is a delta, and only a whole archive can be salvaged: repair it --from another copy of it, or export "
        "it again with --base"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "delta"]


def test_a_readme_that_is_sound_stays_as_it_is(tmp_path: Path) -> None:
    write_directory(build(Draft()), tmp_path / "a")
    readme = (tmp_path / "a" / "README.txt").read_bytes()
    (tmp_path / "a" / part("params")).unlink()
    report = repair(tmp_path / "a", tmp_path / "new", salvage=True)
    assert [(gap.owner_id, gap.path) for gap in report.gaps] == [(RUN_A, "params"), (RUN_B, "params")]
    assert (tmp_path / "new" / "README.txt").read_bytes() == readme
    assert [gap["path"] for gap in report.to_json()["gaps"]] == ["params", "params"]
    assert verify(tmp_path / "new").ok


def test_an_artifact_whose_blob_is_in_no_pack_is_lost_alone(tmp_path: Path) -> None:
    digest = "ab" * 32
    write_directory(build(Draft(rows=lambda rows: rows["artifacts"][0].update(digest=digest))), tmp_path / "a")
    (tmp_path / "a" / part("params")).unlink()
    report = repair(tmp_path / "a", tmp_path / "new", salvage=True)
    end = f"damaged in the archive {report.archive_id} that this one was salvaged from"
    lost = {
        "owner_kind": "run",
        "owner_id": RUN_A,
        "path": "a b.txt",
        "code": "G102",
        "reason": f"its blob {digest} is {end}",
    }
    assert next(gap.row() for gap in report.gaps) == lost
    with open_archive(tmp_path / "new") as archive:
        artifacts = [row["path"] for row in archive.table("artifacts").to_pylist()]
        blobs = {row["digest"] for row in archive.table("blobs").to_pylist()}
    assert (artifacts, blobs) == (["empty", "dir/world.txt"], {sha(b""), sha(HELLO), sha(WORLD)})
    assert verify(tmp_path / "new").ok


def test_what_a_repair_says_as_json() -> None:
    report = RepairReport(archive_id="a", written_id=None, damaged=("x",))
    assert report.to_json() == {
        "archive_id": "a",
        "written_id": None,
        "complete": False,
        "mended": [],
        "damaged": ["x"],
        "lost": [],
        "gaps": [],
    }
    assert RepairReport(archive_id="a", written_id="b").complete
    options = RepairOptions(tool="t", clock_ms=int)
    assert (options.salvage, options.jobs) == (False, 2)
