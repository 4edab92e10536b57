"""What a check is asked for, whom it gives work to, and what it hands on beside its report."""

from __future__ import annotations

import io
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Quiet
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.archive_at import archive_at
from mlflow_archive.verification.checks import examine, verify
from mlflow_archive.verification.packs import raw_digest
from mlflow_archive.verification.report import Level, VerifyReport
from mlflow_archive.verification.sharing_out import CheckTask, SharedChecks
from mlflow_archive.workers.pools import Pool
from tests.spec.drafts import RUN_A, Draft, build, make_table, part, write_directory
from tests.spec.faults import change
from tests.support.workers import SendingPool

FIRST, SECOND = ({"run_id": RUN_A, "key": key, "value": "v"} for key in ("a", "b"))


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    write_directory(build(Draft()), tmp_path / "a")
    return tmp_path / "a"


@pytest.mark.parametrize(("required", "tsa"), [(True, False), (False, True), (True, True)])
def test_whom_to_trust_must_be_said(sound: Path, tmp_path: Path, required: bool, tsa: bool) -> None:
    (tmp_path / "signers").write_text("")
    options = {"require_signature": required, "tsa_ca": tmp_path / "signers" if tsa else None}
    with pytest.raises(SelectionError) as caught:
        verify(sound, **options)  # type: ignore[arg-type]
    said = "whom to trust is said by a list of allowed signers: give --signers FILE, too"
    assert str(caught.value) == said
    if not tsa:
        assert verify(sound, signers=tmp_path / "signers", require_signature=True).signatures is not None
    assert verify(sound).signatures is None


def grouped(*groups: list[dict[str, str]], dictionary: bool) -> bytes:
    """Return a part with these row groups, also where one is empty."""
    tables = [make_table("params", rows) for rows in groups]
    options: dict[str, Any] = {"compression": "zstd", "store_schema": False, "use_dictionary": dictionary}
    with pq.ParquetWriter(buffer := io.BytesIO(), tables[0].schema, **options) as writer:
        for rows in tables:
            writer.write_table(rows)
    return buffer.getvalue()


@pytest.mark.parametrize("dictionary", [False, True])
@pytest.mark.parametrize(
    ("groups", "codes"),
    [
        (([FIRST], [], [SECOND]), []),
        (([SECOND], [], [FIRST]), ["W007"]),
        (([FIRST], [], [FIRST]), ["E035"]),
        (([], [FIRST], [SECOND]), []),
        (([FIRST], [SECOND], []), []),
    ],
    ids=["in order", "not in order", "twice", "empty first", "empty last"],
)
def test_order_and_keys_hold_across_an_empty_row_group(
    tmp_path: Path, groups: tuple[list[dict[str, str]], ...], codes: list[str], dictionary: bool
) -> None:
    draft = Draft(
        rows=lambda rows: rows.update(params=[FIRST, SECOND]),
        members=change(part("params"), lambda _: grouped(*groups, dictionary=dictionary)),
    )
    write_directory(build(draft), tmp_path)
    found = [problem.code for problem in verify(tmp_path, jobs=1).problems if problem.member == part("params")]
    assert [code for code in found if code not in ("W006", "E037")] == codes


class Counted(Quiet):
    """Adds up what is done, by unit."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()

    def advance(self, unit: str, amount: int) -> None:
        self.done[unit] += amount


def examined(path: Path, pool: Pool | None) -> tuple[VerifyReport, list[tuple[str, str, str]], dict[bytes, int]]:
    """Return report, lost key ranges and proved blobs, by threads or by a pool."""
    with open_archive(path) as archive:
        report = VerifyReport(level=Level.FULL, archive_id=archive.id)
        if pool is None:
            result = examine(archive, report)
        else:
            with closing(SharedChecks(archive_at(path, None, archive.id), pool, Quiet())) as shared:
                result = examine(archive, report, shared=shared)
    ranges = [(damaged.table.name, damaged.low, damaged.high) for damaged in result.damaged]
    return report, ranges, dict(result.blobs)


def test_what_is_lost_and_what_is_proved_is_handed_on_whoever_checks(tmp_path: Path) -> None:
    def spoil(data: bytes) -> bytes:
        return data[:30] + bytes([data[30] ^ 1]) + data[31:]

    write_directory(build(Draft(members=change(part("params"), spoil))), tmp_path)
    with open_archive(tmp_path) as archive:
        sizes = {row["digest"]: row["size"] for row in archive.table("artifacts").to_pylist()}
    report, ranges, blobs = examined(tmp_path, None)
    assert [name for name, _, _ in ranges] == ["params"]
    assert ranges[0][1] == RUN_A
    assert blobs == {raw_digest(digest): size for digest, size in sizes.items()}
    with closing(SendingPool(2)) as pool:
        assert examined(tmp_path, pool) == (report, ranges, blobs)


def test_workers_are_what_is_asked_for(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of all members are told once, and of what has none nothing; a task is called by its first items."""
    given: list[tuple[int, str | None]] = []
    tasks: list[CheckTask] = []

    class Noted(SendingPool):
        def submit(self, function, work):  # type: ignore[no-untyped-def]
            tasks.append(work)
            return super().submit(function, work)

    def pool_of(processes: int, dask: str | None) -> Pool:
        given.append((processes, dask))
        return Noted(2)

    monkeypatch.setattr("mlflow_archive.verification.sharing_out.pool_of", pool_of)
    progress = Counted()
    expected = verify(sound)
    assert verify(sound, processes=3, progress=progress) == expected
    assert verify(sound, dask="tcp://host:1") == expected
    assert given == [(3, None), (0, "tcp://host:1")]
    with open_archive(sound) as archive:
        members = archive.manifest.members
    packs = sum(member.size for member in members if member.kind == "pack")
    assert progress.done["bytes"] == sum(member.size for member in members) + packs
    names = [repr(task) for task in tasks]
    assert {f"the check of {member.path}" for member in members} <= set(names)
