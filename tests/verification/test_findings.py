"""What a check makes of what it collects: whom damage hits, which files belong to nothing, blobs in any order."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import DATASET, RUN, TABLES
from mlflow_archive.storage.members import HASH_BLOCK
from mlflow_archive.verification import checks, members
from mlflow_archive.verification.checks import _name_lost, verify
from mlflow_archive.verification.report import Level, Lost, VerifyReport
from mlflow_archive.verification.tables import KeyRange, TableFindings, _whole
from tests.spec.drafts import (
    HELLO,
    RUN_A,
    RUN_B,
    WORLD,
    Draft,
    Files,
    build,
    build_second,
    encode_part,
    in_order,
    part,
    sha,
    write_directory,
    zipped,
)
from tests.spec.faults import change, cut, in_pairs, table


def found(path: Path) -> list[tuple[str, str, str]]:
    return [(problem.code, problem.member, problem.message) for problem in verify(path, jobs=1).problems]


def written(path: Path, files: Files) -> Path:
    write_directory(files, path)
    return path


def lost_of(damaged: list[KeyRange], ids: dict[str, dict[str, str]]) -> set[Lost]:
    report = VerifyReport(level=Level.FULL, archive_id="x")
    _name_lost(report, TableFindings(damaged=damaged, ids=ids))
    return report.lost


def runs(low: str, high: str) -> KeyRange:
    return KeyRange(table=TABLES["runs"], export=1, low=low, high=high)


@pytest.mark.parametrize(
    ("low", "high", "lost"),
    [
        ("b", "b", {Lost(kind=RUN, id="run b")}),
        ("b", "c", {Lost(kind=RUN, id="run b")}),
        ("a", "b", {Lost(kind=RUN, id="run b")}),
        ("c", "c", {Lost(kind=RUN, id="c")}),
        ("c", "d", {Lost(kind=RUN, id="c … d")}),
        ("a", "a", {Lost(kind=RUN, id="a")}),
    ],
)
def test_of_damaged_identities_those_known_elsewhere_are_named_or_the_range(
    low: str, high: str, lost: set[Lost]
) -> None:
    assert lost_of([runs(low, high)], {RUN: {"run b": "b"}}) == lost


def test_datasets_are_named_by_the_runs_that_have_them() -> None:
    datasets = KeyRange(table=TABLES["datasets"], export=1, low="a", high="z")
    assert lost_of([datasets], {DATASET: {"d": "b"}}) == set()
    assert lost_of([], {RUN: {"run b": "b"}}) == set()
    params = KeyRange(table=TABLES["params"], export=1, low="a", high="z")
    assert lost_of([params], {RUN: {"run b": "b"}, "trace": {"t": "b"}}) == {Lost(kind=RUN, id="run b")}
    assert lost_of([params], {}) == set()


def test_the_range_of_a_whole_part_is_what_the_manifest_states() -> None:
    def member(low: str | None, high: str | None) -> Member:
        return Member(
            path="p", kind="table", export=3, size=0, sha256="", table="params", key_min=low, key_max=high
        )  # fmt: skip

    assert _whole(member("a", "b")) == KeyRange(table=TABLES["params"], export=3, low="a", high="b")
    for nothing in ("", None):
        assert _whole(member(nothing, nothing)) == KeyRange(table=TABLES["params"], export=3, low="", high="")


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("manifest.json.tmp", "W001", "it belongs to an export that was not finished"),
        ("packs/0001-00000.zst.tmp", "W001", "it belongs to an export that was not finished"),
        ("packs/0002-00000.zst", "W001", "it belongs to an export that was not finished"),
        ("packs/0001-00009.zst", "W002", "it belongs to nothing; the manifest does not list it"),
        ("x.TMP", "W002", "it belongs to nothing; the manifest does not list it"),
    ],
)
def test_files_that_are_not_listed(tmp_path: Path, name: str, code: str, message: str) -> None:
    path = written(tmp_path / "a", {**build(Draft()), name: b""})
    assert found(path) == [(code, name, message)]


def test_checksums_of_an_export_that_was_not_finished(tmp_path: Path) -> None:
    files = build(Draft())
    line = b"%s  %s\n" % (b"0" * 64, b"packs/0002-00000.zst")
    lines = sorted([*files["checksums.sha256"].splitlines(keepends=True), line], key=lambda text: text[66:])
    path = written(tmp_path / "a", {**files, "checksums.sha256": b"".join(lines)})
    told = ("W001", "checksums.sha256", "it lists members of an export that was not finished")
    assert found(path) == [told]
    other = ("E014", "checksums.sha256", "it does not list the members as the manifest does")
    for changed in (lines[::-1], lines[1:], [lines[0].replace(b"0", b"1"), *lines[1:]], [*lines, b"\xff"]):
        (path / "checksums.sha256").write_bytes(b"".join(changed))
        assert found(path) == [other]


@pytest.mark.parametrize(
    "pieces",
    [
        [(5, WORLD[5:]), (0, WORLD[:5])],
        [(0, WORLD[:1]), (1, WORLD[1:])],
        [(0, WORLD[:-1]), (len(WORLD) - 1, WORLD[-1:])],
        [(1, WORLD[1:5]), (5, WORLD[5:]), (0, WORLD[:1])],
    ],
)
def test_the_extents_of_a_blob_may_lie_in_any_order_and_be_of_one_byte(
    tmp_path: Path, pieces: list[tuple[int, bytes]]
) -> None:
    path = written(tmp_path / "a", build(Draft(frames=cut(WORLD, *pieces))))
    report = verify(path, jobs=1)
    assert (report.problems, report.lost) == ([], set())
    assert report.checked["blobs"] == 3


def test_a_blob_of_more_than_a_block_that_lies_in_another_order_has_its_whole_size(tmp_path: Path) -> None:
    data = bytes(HASH_BLOCK) + b"end"

    def edit(rows: dict[str, list[dict[str, Any]]]) -> None:
        rows["artifacts"][-1].update(size=len(data), digest=hashlib.sha256(data).hexdigest())

    half = len(data) // 2
    path = written(tmp_path / "a", build(Draft(frames=cut(data, (half, data[half:]), (0, data[:half])), rows=edit)))
    assert found(path) == []


def test_an_extent_of_no_byte_within_a_blob_has_the_key_of_another(tmp_path: Path) -> None:
    path = written(tmp_path / "a", build(Draft(frames=cut(WORLD, (0, b""), (0, WORLD)))))
    assert found(path) == [
        ("E035", part("blobs"), "a key (digest, raw_offset) occurs twice"),
        ("E042", "", f"blob {sha(WORLD)} does not come out with its digest"),
    ]


def test_rows_of_later_exports_are_checked_against_what_all_exports_hold(tmp_path: Path) -> None:
    run = {"run_id": "c" * 32, "experiment_id": "1", "status": "FINISHED", "lifecycle_stage": "active"}
    second: dict[str, list[dict[str, Any]]] = {
        "runs": [run],
        "params": [{"run_id": RUN_A, "key": "k", "value": "v"}, {"run_id": "c" * 32, "key": "k", "value": "v"}],
    }
    assert found(written(tmp_path / "a", build_second(Draft(), second))) == []
    second["params"][0]["run_id"] = "b" * 31
    wrong = ("E051", "tables/params/0002-00000.parquet", "1 runs have rows here and are not in the archive, such as ")
    assert found(written(tmp_path / "b", build_second(Draft(), second))) == [(*wrong[:2], wrong[2] + "b" * 31)]


def spoiled(at: int) -> Callable[[bytes], bytes]:
    """Return a change of the bytes of a part whose row groups hold two rows each."""

    def spoil(data: bytes) -> bytes:
        grouped = bytearray(in_pairs(data))
        grouped[at] ^= 1
        return bytes(grouped)

    return spoil


def test_of_a_part_with_a_damaged_row_group_the_others_count(tmp_path: Path) -> None:
    path = written(tmp_path / "a", build(Draft(members=change(part("params"), spoiled(30)))))
    report = verify(path, jobs=1)
    assert {problem.code for problem in report.problems} == {"E034"}
    assert report.lost == {Lost(kind=RUN, id=RUN_A)}
    assert report.checked["rows"] == 16 - 2


def test_a_part_that_decodes_and_has_another_hash_is_suspect_as_a_whole(tmp_path: Path) -> None:
    def edit(manifest: dict[str, Any]) -> None:
        [member] = [member for member in manifest["members"] if member["path"] == part("params")]
        member["sha256"] = "0" * 64

    report = verify(written(tmp_path / "a", build(Draft(manifest=edit))), jobs=1)
    assert [(problem.code, problem.member) for problem in report.problems] == [("E012", part("params"))]
    assert report.lost == {Lost(kind=RUN, id=RUN_A), Lost(kind=RUN, id=RUN_B)}


def test_a_cut_blob_whose_extents_lie_in_order_is_proved_while_its_pack_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(archive: object, digests: list[str]) -> dict[bytes, int]:
        return pytest.fail(f"{digests} are read once more") if digests else {}

    monkeypatch.setattr(checks, "blobs_come_out", again)
    frames = cut(WORLD, (0, WORLD[:5]), (5, WORLD[5:9]), (9, WORLD[9:]))
    report = verify(written(tmp_path / "a", build(Draft(frames=frames))), jobs=1)
    assert (report.problems, report.checked["blobs"]) == ([], 3)


def in_groups_of(rows: int) -> Callable[[bytes], bytes]:
    """Return a change of a part to row groups of so many rows."""
    return lambda data: encode_part(pq.ParquetFile(io.BytesIO(data)).read(), group_rows=rows)


def test_behind_a_damaged_row_group_of_the_blob_index_the_others_count(tmp_path: Path) -> None:
    def spoil(data: bytes) -> bytes:
        grouped = bytearray(in_groups_of(1)(data))
        grouped[30] ^= 1
        return bytes(grouped)

    sound = verify(written(tmp_path / "a", build(Draft())), jobs=1)
    report = verify(written(tmp_path / "b", build(Draft(members=change(part("blobs"), spoil)))), jobs=1)
    assert {problem.code for problem in report.problems} == {"E034", "E050"}
    assert report.checked["blobs"] == sound.checked["blobs"] - 1
    assert len(report.lost) == 1


def test_a_key_that_occurs_twice_in_two_row_groups_is_found_behind_rows_of_another_run(tmp_path: Path) -> None:
    """Rows of run A, and the first of B; then those of B in another order, the first one again."""
    rows = table("params", lambda rows: rows.take([0, 1, 3, 2, 3]))
    draft = Draft(tables=rows, members=change(part("params"), in_groups_of(3)))
    report = verify(written(tmp_path / "a", build(draft)), jobs=1)
    assert [problem.code for problem in report.problems] == ["W007", "E035"]


def test_the_crc_of_a_member_of_many_blocks_is_that_of_all_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "HASH_BLOCK", 100)
    (tmp_path / "a.mlfa").write_bytes(zipped(in_order(build(Draft()))))
    assert found(tmp_path / "a.mlfa") == []


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        (
            "datasets",
            {"experiment_id": "9", "name": "n", "digest": "d", "source_type": "s", "source": ""},
            "experiments",
        ),
        ("fingerprints", {"owner_id": "c" * 32, "owner_kind": "run", "fingerprint": "f"}, "runs"),
        ("artifacts", {"owner_id": "c" * 32, "owner_kind": "trace", "path": "p", "size": 5, "digest": ""}, "traces"),
    ],
)
def test_rows_of_what_is_not_there(tmp_path: Path, name: str, row: dict[str, Any], said: str) -> None:
    first = build(Draft(rows=lambda rows: rows.update({name: [{**row, "digest": row.get("digest") or sha(HELLO)}]})))
    owner = row.get("experiment_id") or row["owner_id"]
    message = f"1 {said} have rows here and are not in the archive, such as {owner}"
    assert [problem for problem in found(written(tmp_path, first)) if problem[0] == "E051"] == [
        ("E051", part(name), message)
    ]


@pytest.mark.parametrize("name", ["runs", "params"])
def test_a_part_that_is_not_there_is_told_once(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, build(Draft()))
    (path / part(name)).unlink()
    assert [code for code, member, _ in found(path) if member == part(name)] == ["E010"]
