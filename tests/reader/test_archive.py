"""What an open archive gives of its tables: of each object the newest export, of each table what is asked for."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from mlflow_archive.errors import DamagedError, ElsewhereError, MlflowArchiveError
from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import Archive, _overlaps, open_archive, owner_ids
from mlflow_archive.reader.stored.opening import read_manifest
from mlflow_archive.storage.members import DirectoryMembers, MemberFile
from tests.spec.drafts import (
    RUN_A,
    RUN_B,
    Draft,
    Files,
    Row,
    base_rows,
    build,
    build_second,
    encode_part,
    make_table,
    part,
)
from tests.spec.drafts import write_directory as write

GOLDEN = Path(__file__).parents[1] / "golden"
SECOND = base_rows()["runs"][1] | {"run_name": "later"}


def gap(owner: str, kind: str, export: int) -> Row:
    return {"owner_id": owner, "owner_kind": kind, "path": "", "code": "G102", "reason": str(export)}


def two_exports(path: Path, **options: Any) -> Path:
    """Write an archive of the runs A and B, whose second export has B anew, with one param, and gaps."""

    def first(rows: dict[str, list[Row]]) -> None:
        rows["gaps"] = [gap(RUN_A, "run", 1), gap(RUN_B, "run", 1), gap(RUN_B, "trace", 1), gap("runs", "source", 1)]

    second = {
        "runs": [SECOND],
        "params": [{"run_id": RUN_B, "key": "lr", "value": "9"}],
        "gaps": [gap("runs", "source", 2), gap("traces", "source", 2)],
    }
    write(build_second(Draft(rows=first), second, **options), path)
    return path


def rows(batches: Iterable[pa.Table]) -> list[Row]:
    return [row for batch in batches for row in batch.to_pylist()]


PARAMS_OF_A = [row for row in base_rows()["params"] if row["run_id"] == RUN_A]
PARAMS = [*PARAMS_OF_A, {"run_id": RUN_B, "key": "lr", "value": "9"}]


def test_each_object_is_as_the_newest_export_has_it(tmp_path: Path) -> None:
    with open_archive(two_exports(tmp_path)) as archive:
        assert rows(archive.batches("params")) == PARAMS
        assert rows(archive.batches("params", columns=["value"])) == [{"value": row["value"]} for row in PARAMS]
        assert rows(archive.batches("params", owners=[RUN_B])) == PARAMS[2:]
        assert rows(archive.batches("params", owners=[RUN_B, RUN_A], columns=["value", "key"])) == [
            {"key": row["key"], "value": row["value"]} for row in PARAMS
        ]
        assert rows(archive.batches_where("params", pc.field("key") == "lr")) == PARAMS
        assert rows(archive.batches_where("params", pc.field("key") == "nothing")) == []
        names = archive.table("runs", columns=["run_name", "run_id"])
        assert names.to_pylist() == [
            {"run_id": RUN_A, "run_name": "first"},
            {"run_id": RUN_B, "run_name": "later"},
        ]
        assert [row["path"] for row in archive.table("artifacts").to_pylist()] == ["a b.txt", "empty"]


def test_gaps_are_those_of_the_newest_export_of_each_owner(tmp_path: Path) -> None:
    with open_archive(two_exports(tmp_path)) as archive:
        expected = [(RUN_A, "run", "1"), (RUN_B, "trace", "1"), ("runs", "source", "2"), ("traces", "source", "2")]
        found = [
            tuple(row[name] for name in ("owner_id", "owner_kind", "reason")) for row in rows(archive.batches("gaps"))
        ]
        assert found == expected
        reasons = rows(archive.batches("gaps", columns=["reason"]))
        assert reasons == [{"reason": reason} for _, _, reason in expected]


def test_what_later_exports_hold_is_known_by_kind(tmp_path: Path) -> None:
    settled = [["scorer", ""], ["source", "never"], ["trace", ""]]
    with open_archive(two_exports(tmp_path, settled=settled)) as archive:
        newer = {kind: archive.newer(kind, 1) for kind in ("run", "trace", "scorer", "source", "experiment", "nothing")}
        assert {kind: keys if keys is None else keys.to_pylist() for kind, keys in newer.items()} == {
            "run": [RUN_B],
            "trace": [""],
            "scorer": [""],
            "source": ["runs", "traces", "never"],
            "experiment": None,
            "nothing": None,
        }
        assert {archive.newer(kind, 2) for kind in ("run", "trace", "source")} == {None}
        assert [member.path for member in archive.parts("params")] == [
            part("params"),
            "tables/params/0002-00000.parquet",
        ]
        assert [member.path for member in archive.parts("traces")] == []


@pytest.mark.parametrize("exports", [1, 2])
@pytest.mark.parametrize("owners", [None, [RUN_A], [RUN_A, RUN_B], ["0"], []])
def test_rows_with_a_key_are_those_of_a_filter(tmp_path: Path, exports: int, owners: list[str] | None) -> None:
    if exports == 1:
        write(build(Draft()), tmp_path)
    else:
        two_exports(tmp_path)
    all_rows = base_rows()["params"] if exports == 1 else PARAMS
    with open_archive(tmp_path) as archive:
        for key in ("lr", "depth", "nothing"):
            expected = [row for row in all_rows if row["key"] == key and (owners is None or row["run_id"] in owners)]
            found = list(archive.keyed("params", "key", key, columns=["value", "run_id"], owners=owners))
            assert rows(found) == [{"run_id": row["run_id"], "value": row["value"]} for row in expected], key
            assert {batch.schema.field("value").type for batch in found} <= {pa.string()}
            narrow = rows(archive.keyed("params", "key", key, columns=["value"], owners=owners))
            assert narrow == [{"value": row["value"]} for row in expected]


def test_a_table_without_rows_has_the_columns_that_are_asked_for(tmp_path: Path) -> None:
    write(build(Draft()), tmp_path)
    with open_archive(tmp_path) as archive:
        assert archive.table("traces").equals(TABLES["traces"].schema.empty_table())
        empty = archive.table("traces", columns=["state", "trace_id"])
        assert (empty.num_rows, empty.column_names) == (0, ["trace_id", "state"])
        assert archive.table("params", owners=[]).equals(TABLES["params"].schema.empty_table())


def of_three_groups(files: Files) -> None:
    """Write the base's points, which have the steps -1, 0 and 1, into a row group each."""
    files[part("metrics")] = encode_part(make_table("metrics", base_rows()["metrics"]), group_rows=1)


def test_only_row_groups_that_may_fulfil_an_expression_are_read(tmp_path: Path) -> None:
    write(build(Draft(members=of_three_groups)), tmp_path)
    with open_archive(tmp_path) as archive:

        def steps(expression: pc.Expression) -> list[int]:
            return [row["step"] for row in rows(archive.batches_where("metrics", expression))]

        assert steps(pc.field("step") >= 0) == [0, 1]
        assert steps(pc.field("step") == 5) == []
        assert steps(pc.field("value") > 5.0) == [-1, 0, 1]  # statistics of such a column leave NaN out
        assert steps(pc.field(3) == 5) == [-1, 0, 1]


@pytest.mark.parametrize("checksums", [True, False])
def test_what_a_part_is_like(tmp_path: Path, checksums: bool) -> None:
    rows = make_table("params", base_rows()["params"])

    def edit(files: Files) -> None:
        files[part("params")] = encode_part(rows, group_rows=2, checksums=checksums)

    write(build(Draft(members=edit)), tmp_path)
    with open_archive(tmp_path) as archive:
        params = archive.open_part(archive.parts("params")[0])
        assert (params.rows, params.has_page_checksums()) == (4, checksums)
        groups = params.row_groups()
        assert [(group.index, group.rows, group.key_min, group.key_max) for group in groups] == [
            (0, 2, RUN_A, RUN_A),
            (1, 2, RUN_B, RUN_B),
        ]
        asked = [["0", RUN_A], [RUN_A, RUN_B], [RUN_B, "c"], ["c"], ["0"], []]
        assert [[group.index for group in groups if group.may_hold(ids)] for ids in asked] == [
            [0],
            [0, 1],
            [1],
            [],
            [],
            [],
        ]
        assert [group.column_names for group in params.groups([RUN_B], ["value"])] == [["value"]]
        assert params.groups_where(pc.field("run_id") == RUN_B) == [1]


TWICE = "it has two columns 'key', expected one of each name"


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda rows: rows.drop_columns(["key"]), "E031", "column key should be string, found nothing"),
        (lambda rows: rows.set_column(1, "key", pa.array([1] * 4)), "E031", "column key should be string, found int64"),
        (
            lambda rows: rows.append_column("key", rows["key"]),
            "E031",
            "it has two columns 'key', expected one of each name",
        ),
        (
            lambda rows: rows.set_column(1, "key", pa.array(["a", None, "b", "c"])),
            "E036",
            "column key holds nulls, which it may not",
        ),
    ],
)
def test_columns_are_those_of_their_table(tmp_path: Path, change: Any, code: str, said: str) -> None:
    def edit(files: Files) -> None:
        files[part("params")] = encode_part(change(make_table("params", base_rows()["params"])))

    write(build(Draft(members=edit)), tmp_path)
    with open_archive(tmp_path) as archive, pytest.raises(DamagedError) as caught:
        archive.table("params")
    assert (caught.value.code, caught.value.member) == (code, part("params"))
    assert str(caught.value) == f"{code}: {part('params')}: {said}"


@pytest.mark.parametrize("dictionary", [True, False])
def test_no_value_of_a_page_is_another_unnoticed(tmp_path: Path, dictionary: bool) -> None:
    """Without compression nothing but the checksum of its page says so of a byte of a text."""
    buffer = io.BytesIO()
    rows = make_table("params", base_rows()["params"])
    options = {"compression": "none", "write_page_checksum": True, "use_dictionary": dictionary, "store_schema": False}
    pq.write_table(rows, buffer, write_statistics=["run_id"], **options)
    data = buffer.getvalue().replace(b"depth", b"dEpth")
    assert data != buffer.getvalue()
    write(build(Draft(members=lambda files: files.update({part("params"): data}))), tmp_path)
    with open_archive(tmp_path) as archive:
        for read in (archive.batches("params"), archive.keyed("params", "key", "depth", columns=["value"])):
            with pytest.raises(DamagedError, match=f"E034: {part('params')}: row group 0 cannot be read"):
                list(read)


def test_values_that_are_no_texts_stay_what_they_are(tmp_path: Path) -> None:
    write(build(Draft()), tmp_path)
    with open_archive(tmp_path) as archive:
        found = pa.concat_tables(archive.keyed("metrics", "key", "loss", columns=["step", "key"]))
    assert found.to_pylist() == [{"key": "loss", "step": step} for step in (-1, 0, 1)]
    assert found.schema.types == [pa.string(), pa.int64()]


@pytest.mark.parametrize(
    ("low", "high", "ids", "expected"),
    [
        ("b", "d", ["a", "b"], True),
        ("b", "d", ["d", "e"], True),
        ("b", "d", ["a"], False),
        ("b", "d", ["e"], False),
        ("b", "d", [], False),
        (None, None, ["a"], True),
        (None, "d", ["e"], True),
        (None, None, [], False),
    ],
)
def test_whether_a_part_may_hold_ids(low: str | None, high: str | None, ids: list[str], expected: bool) -> None:
    member = Member(path="m", kind="table", export=1, size=1, sha256="", key_min=low, key_max=high)
    assert _overlaps(member, ids) is expected


def test_a_member_of_another_size_is_damaged(tmp_path: Path) -> None:
    write(build(Draft()), tmp_path)
    path = tmp_path / part("params")
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"!")
    with open_archive(tmp_path) as archive, pytest.raises(DamagedError) as caught:
        archive.table("params")
    assert str(caught.value) == f"E011: {part('params')} has {size + 1} bytes, the manifest states {size}"
    assert (caught.value.code, caught.value.member) == ("E011", part("params"))


def test_a_part_is_opened_once_and_not_after_the_archive_is_closed(tmp_path: Path) -> None:
    write(build(Draft()), tmp_path)
    archive = open_archive(tmp_path)
    (member,) = archive.parts("params")
    assert archive.open_part(member) is archive.open_part(member)
    assert archive.path == tmp_path
    archive.close()
    with pytest.raises(MlflowArchiveError, match="is closed; open it again"):
        archive.table("params")


def test_a_delta_is_not_taken_for_a_whole_archive(tmp_path: Path) -> None:
    write(build(Draft()), tmp_path)
    with open_archive(tmp_path) as archive:
        archive.require_whole("this")
    path = GOLDEN / "v1_4-delta.mlfa"
    with open_archive(path) as archive, pytest.raises(ElsewhereError) as caught:
        archive.require_whole("this")
    assert archive.manifest.delta is not None
    assert str(caught.value) == (
        f"{path} is a delta of the archive {archive.manifest.delta.base}, and this takes a whole one: make it of both "
        f"by `mlflow-archive join BASE {path} -o NEW`"
    )


@pytest.mark.parametrize(
    ("table", "row", "expected"),
    [
        ("params", {"run_id": "r", "key": "k"}, "r"),
        ("datasets", {"experiment_id": "1", "name": "n", "digest": "d"}, "1\x1fn\x1fd"),
        ("registered_models", {"workspace": "default", "name": "m"}, "m"),
        ("registered_models", {"workspace": "team", "name": "m"}, "team/m"),
        ("skills", {"workspace": "default", "organization": "", "name": "s"}, "s"),
        ("skills", {"workspace": "default", "organization": "o", "name": "s"}, "@o/s"),
        ("skills", {"workspace": "team", "organization": "o", "name": "s"}, "team/@o/s"),
    ],
)
def test_what_owns_a_row(table: str, row: Row, expected: str) -> None:
    rows = pa.Table.from_pylist([row], TABLES[table].schema)
    assert owner_ids(rows, TABLES[table]).to_pylist() == [expected]


class Distant:
    """The bytes of a member as if on another machine: notes which ranges are brought near."""

    distant = True

    def __init__(self, member: MemberFile, brought: list[tuple[str, int, int]]) -> None:
        self._member, self._brought = member, brought

    def read(self, position: int, size: int) -> bytes:
        return self._member.read_at(position, size)

    def anticipate(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._brought += [(self._member.name, at, at + size) for at, size in ranges]

    def in_order(self, _position: int, _size: int) -> Distant:
        return self


class DistantMembers(DirectoryMembers):
    """A directory as if on another machine."""

    distant = True

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.brought: list[tuple[str, int, int]] = []

    def open(self, name: str) -> MemberFile:
        member = super().open(name)
        return MemberFile(name, Distant(member, self.brought), 0, member.size)


def brought_near(path: Path, owners: Mapping[str, list[str] | None]) -> list[tuple[str, int, int]]:
    """Return the ranges that are brought near for some owners, by member."""
    members = DistantMembers(path)
    with Archive(members, read_manifest(members)) as archive:
        archive.anticipate(owners)
        return sorted(set(members.brought))


def test_footers_and_row_groups_are_brought_near(tmp_path: Path) -> None:
    def of_two_groups(files: Files) -> None:
        for name in ("params", "metrics"):
            files[part(name)] = encode_part(make_table(name, base_rows()[name]), group_rows=2)

    write(build(Draft(members=of_two_groups)), tmp_path)
    with open_archive(tmp_path) as archive:
        sizes = {name: archive.members.open(part(name)).size for name in ("params", "metrics")}
    metadata = pq.ParquetFile(tmp_path / part("params")).metadata
    groups = []
    for group in range(2):
        columns = [metadata.row_group(group).column(number) for number in range(3)]
        groups.append(
            [(part("params"), c.data_page_offset, c.data_page_offset + c.total_compressed_size) for c in columns]
        )
    footer = (part("params"), 0, sizes["params"])
    assert brought_near(tmp_path, {"params": None}) == sorted([footer, *groups[0], *groups[1]])
    assert brought_near(tmp_path, {"params": [RUN_B]}) == sorted([footer, *groups[1]])
    assert brought_near(tmp_path, {"params": [RUN_B, RUN_A, RUN_B]}) == sorted([footer, *groups[0], *groups[1]])
    assert brought_near(tmp_path, {"params": []}) == [footer]
    assert brought_near(tmp_path, {"params": ["0"]}) == []
    assert brought_near(tmp_path, {"params": ["0"], "metrics": []}) == [(part("metrics"), 0, sizes["metrics"])]


def test_what_is_damaged_is_left_to_who_asks_for_it(tmp_path: Path) -> None:
    def edit(files: Files) -> None:
        files[part("params")] = files[part("params")][:-1] + b"X"

    write(build(Draft(files=edit)), tmp_path)
    brought = brought_near(tmp_path, {"params": None, "metrics": None})
    assert {name for name, _, _ in brought} == {part("params"), part("metrics")}
