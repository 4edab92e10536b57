"""Rows under verification: order, keys, ranges and owners at their edges, over row groups, parts and tables."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlflow_archive.format.manifest import Member
from mlflow_archive.format.problems import Problem
from mlflow_archive.kinds import LOGGED_MODEL, RUN, TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.verification.checks import verify
from mlflow_archive.verification.report import Found, Level, Lost, VerifyReport
from mlflow_archive.verification.tables import Identified, KeyRange, PartFound, Referred, TableFindings, check_parts
from tests.spec.carried_tables import FIRST, GIZMOS, SECOND, stated
from tests.spec.drafts import RUN_A, RUN_B, Draft, Files, Row, build, encode_part, make_table, part, write_directory
from tests.spec.faults import change, flipped, member

PARAMS = part("params")
ROWS = 16
"""How many the base archive has."""
Told = list[tuple[str, str, str]]


def archive(path: Path, **edits: Any) -> Path:
    write_directory(build(Draft(**edits)), path)
    return path


def told_of(report: Found) -> Told:
    return [(problem.code, problem.member, problem.message) for problem in report.problems]


def found(path: Path) -> Told:
    return told_of(verify(path, jobs=1))


def found_in(path: Path, name: str) -> Told:
    """Return what is found in the rows of one part."""
    with open_archive(path) as opened:
        [asked] = [member for member in opened.manifest.members if member.path == name]
        [part_found] = check_parts(opened, [asked])
    return told_of(part_found)


def param(run_id: str, key: str) -> Row:
    return {"run_id": run_id, "key": key, "value": "v"}


def grouped(groups: Sequence[Sequence[Row]], spoilt: int | None = None) -> Callable[[Files], None]:
    """Return an edit that makes params of these row groups; in one of them, by its number, a bit is flipped."""
    tables = [make_table("params", list(rows)) for rows in groups]
    buffer = io.BytesIO()
    options: dict[str, Any] = {"compression": "zstd", "store_schema": False, "write_page_checksum": True}
    with pq.ParquetWriter(buffer, tables[0].schema, use_dictionary=False, **options) as writer:
        for rows in tables:
            writer.write_table(rows)
    data = buffer.getvalue()
    if spoilt is not None:
        column = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(spoilt).column(0)
        data = flipped(data, column.data_page_offset + column.total_compressed_size - 1)
    return change(PARAMS, lambda _: data)


def of_groups(path: Path, groups: Sequence[Sequence[Row]], *, spoilt: int | None = None) -> Path:
    """Write an archive whose params are of these row groups."""
    rows = [row for group in groups for row in group]
    return archive(path, rows=lambda tables: tables.update(params=rows), members=grouped(groups, spoilt))


TWICE = ("E035", PARAMS, "a key (run_id, key) occurs twice")
APART = ("E035", PARAMS, "a key (run_id, key) occurs twice, in rows that are not sorted")
WITHIN = ("W007", PARAMS, "rows of one run_id are not sorted by run_id, key")
UNSORTED = ("E033", PARAMS, "rows are not sorted by run_id")


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ([["Aa"]], []),
        ([["Aa", "Ab"]], []),
        ([["Ba", "Aa"]], [UNSORTED]),
        ([["Aa"], ["Aa"]], [TWICE]),
        ([["Aa", "Aa"]], [TWICE]),
        ([["Aa", "Ab"], ["Ab", "Ba"]], [TWICE]),
        ([["Aa"], ["Ba"], ["Bb"]], []),
        ([["Aa", "Ba"], ["Ab", "Ba"]], [UNSORTED, APART]),
        ([["Aa", "Ba"], ["Aa", "Bb"]], [UNSORTED]),
        ([["Ab"], ["Aa"], ["Ba"]], [WITHIN]),
        ([["Ab"], ["Aa"], ["Ab"]], [WITHIN, APART]),
        ([["Ab", "Aa"], [], ["Ab"]], [WITHIN, APART]),
        ([["Ab", "Aa", "Ba"], ["Bc", "Bb"], ["Bc"]], [WITHIN, WITHIN, APART]),
        ([["Ab", "Aa", "Bx"], ["Bw", "Bx"]], [WITHIN, WITHIN, APART]),
        ([["Ab", "Aa"], ["Ba", "Bb"]], [WITHIN]),
    ],
)
def test_order_and_keys_of_the_rows_of_a_part(tmp_path: Path, groups: list[list[str]], told: Told) -> None:
    """A row is written as a letter for its run, and its key."""
    runs = {"A": RUN_A, "B": RUN_B}
    rows = [[param(runs[row[0]], row[1]) for row in group] for group in groups]
    assert found_in(of_groups(tmp_path, rows), PARAMS) == told


def test_behind_a_row_group_that_cannot_be_read_keys_are_compared_anew(tmp_path: Path) -> None:
    """What lies between is not known: the rows behind it may stand before those in front of it and say nothing."""
    a, b = (param(RUN_A, key) for key in "ab")
    groups = [[b, a], [param(RUN_B, "a")], [b], [a], [a]]
    path = of_groups(tmp_path, groups, spoilt=1)
    report = verify(path, jobs=1)
    assert [told for told in told_of(report) if told[0] != "E034"] == [WITHIN, WITHIN, TWICE, APART]
    assert report.lost == {Lost(kind=RUN, id=RUN_B)}
    assert report.checked["rows"] == ROWS - 4 + 5


def test_of_rows_behind_one_that_cannot_be_read_a_key_may_be_that_of_one_before(tmp_path: Path) -> None:
    a, b = (param(RUN_A, key) for key in "ab")
    path = of_groups(tmp_path, [[b, a], [param(RUN_A, "c")], [b]], spoilt=1)
    assert [told for told in found_in(path, PARAMS) if told[0] != "E034"] == [WITHIN, APART]


@pytest.mark.parametrize(
    ("stated_range", "told"),
    [
        ({}, None),
        ({"key_min": ""}, None),
        ({"key_max": "2"}, None),
        ({"key_min": "1", "key_max": "2"}, None),
        ({"key_max": ""}, "from 1 to 2"),
        ({"key_max": "1"}, "from 1 to 2"),
        ({"key_min": "11"}, "from 1 to 2"),
        ({"key_min": "3", "key_max": "3"}, "from 1 to 2"),
    ],
)
def test_the_range_of_keys_that_a_part_states(tmp_path: Path, stated_range: dict[str, Any], told: str | None) -> None:
    experiment = {"lifecycle_stage": "active"}
    rows = [{"experiment_id": at, "name": at, **experiment} for at in ("1", "11", "2")]
    path = archive(
        tmp_path,
        rows=lambda all_rows: all_rows.update(experiments=rows),
        manifest=member(part("experiments"), **stated_range),
    )
    message = f"its keys reach {told}, outside of the manifest's range"
    expected = [] if told is None else [("E037", part("experiments"), message)]
    assert found_in(path, part("experiments")) == expected


def test_a_damaged_row_group_that_states_no_keys_is_lost_as_far_as_its_part_reaches(tmp_path: Path) -> None:
    rows = make_table("params", [param(RUN_A, "a"), param(RUN_B, "b")])
    data = encode_part(rows, statistics=False, group_rows=1)
    column = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0)
    end = column.data_page_offset + column.total_compressed_size
    path = archive(
        tmp_path,
        rows=lambda tables: tables.update(params=rows.to_pylist()),
        members=change(PARAMS, lambda _: flipped(data, end - 1)),
    )
    report = verify(path, jobs=1)
    assert [problem.code for problem in report.problems] == ["E034"]
    assert report.lost == {Lost(kind=RUN, id=RUN_A), Lost(kind=RUN, id=RUN_B)}


def entry(name: str) -> Member:
    return Member(path=part(name), kind="table", export=2, size=0, sha256="", table=name, key_min="a", key_max="b")


def refer(kind: str, *ids: str, behind: int) -> Referred:
    return Referred(kind=kind, ids=pa.array(ids, pa.string()), behind=behind)


def test_who_is_missing_is_told_between_the_problems_where_rows_name_them() -> None:
    findings, report = TableFindings(), VerifyReport(level=Level.FULL, archive_id="x")
    identity = PartFound(member=entry("runs"))
    for ids in (["a"], ["b"]):
        identity.identified.append(Identified(kind=RUN, ids=pa.chunked_array([ids]), keys=None))
    identity.identified.append(Identified(kind="trace", ids=pa.chunked_array([["t"]]), keys=pa.chunked_array([["1"]])))
    findings.take(identity, report, suspect=False)
    assert findings.ids == {RUN: {"a": "a", "b": "b"}, "trace": {"t": "1"}}
    rows = PartFound(member=entry("params"))
    for number in range(4):
        rows.add("W007", "p", str(number))
    rows.count("rows", 7)
    rows.referred += [
        refer(RUN, "a", "c", "d", behind=1),
        refer(RUN, "b", behind=2),
        refer(LOGGED_MODEL, "m", behind=3),
    ]
    findings.take(rows, report, suspect=False)
    runs = "2 runs have rows here and are not in the archive, such as c"
    models = "1 logged models have rows here and are not in the archive, such as m"
    assert report.problems == [
        Problem(code="W007", member="p", message="0"),
        Problem(code="E051", member=PARAMS, message=runs),
        Problem(code="W007", member="p", message="1"),
        Problem(code="W007", member="p", message="2"),
        Problem(code="E051", member=PARAMS, message=models),
        Problem(code="W007", member="p", message="3"),
    ]
    assert report.checked == {"rows": 7}
    assert findings.damaged == []
    findings.take(PartFound(member=entry("params")), report, suspect=True)
    whole = KeyRange(table=TABLES["params"], export=2, low="a", high="b")
    part_of_it = KeyRange(table=TABLES["params"], export=2, low="a", high="a")
    findings.take(PartFound(member=entry("params"), damaged=[part_of_it]), report, suspect=True)
    assert findings.damaged == [whole, part_of_it]
    of_delta = TableFindings(of_delta=True)
    of_delta.take(rows, (of_base := VerifyReport(level=Level.FULL, archive_id="x")), suspect=False)
    assert [problem.message for problem in of_base.problems] == ["0", "1", "2", "3"]


def test_behind_a_carried_table_that_cannot_be_read_the_next_is_checked(tmp_path: Path) -> None:
    def both(tables: dict[str, pa.Table]) -> None:
        tables[FIRST] = tables[SECOND] = GIZMOS

    def edit(document: Row) -> None:
        stated()(document)
        for path, name, rows in ((FIRST, "a", 3), (SECOND, "b", 4)):
            member(path, table=f"unknown:{name}", rows=rows)(document)

    wrong = ("E032", SECOND, "it has 3 rows, the manifest states 4")
    report = verify(archive(tmp_path / "a", tables=both, manifest=edit, members=change(FIRST, lambda _: b"no part")))
    assert [(code, name) for code, name, _ in told_of(report)] == [("E030", FIRST), ("E032", SECOND)]
    assert told_of(report)[-1] == wrong
    sound = archive(tmp_path / "b", tables=both, manifest=edit)
    of_both = verify(sound)
    assert (of_both.checked["rows"], told_of(of_both)) == (report.checked["rows"] + 3, [wrong])
    (sound / FIRST).unlink()
    (sound / SECOND).write_bytes((sound / SECOND).read_bytes() + b"x")
    assert [code for code, _, _ in found(sound)] == ["E010", "E011"]


def test_a_part_of_which_more_or_fewer_rows_are_stated(tmp_path: Path) -> None:
    for number in (3, 5):
        path = archive(tmp_path / str(number), manifest=member(PARAMS, rows=number))
        assert found_in(path, PARAMS) == [("E032", PARAMS, f"it has 4 rows, the manifest states {number}")]
