"""Whose rows are whose, and whether a base has just these: rows of objects of several kinds with one id among them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from mlflow_archive.flow.chunk import Gap
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.writer.base import (
    ArchiveBase,
    experiment_facts,
    is_of_no_object,
    owned,
    tables_of_entity,
    text_of_rows,
)
from tests.spec.drafts import RUN_A, RUN_B, Draft, base_rows, build, sha, write_directory
from tests.support.chunks import experiment, points, run, table

ARTIFACTS = [
    {"owner_kind": kind, "owner_id": one, "path": path, "size": size, "digest": sha(b"x")}
    for kind, one, path, size in (
        ("run", "a", "x", 1),
        ("trace", "a", "x", 2),
        ("run", "b", "x", 3),
        ("run", "a", "y", 4),
    )
]


def test_rows_that_name_their_owner_are_of_its_kind_too() -> None:
    artifacts, metrics = table("artifacts", ARTIFACTS), table("metrics", points("a", "k", [1]) + points("b", "k", [2]))
    assert owned(artifacts, TABLES["artifacts"], "run", "a").to_pylist() == [True, False, False, True]
    assert owned(artifacts, TABLES["artifacts"], "trace", "a").to_pylist() == [False, True, False, False]
    assert owned(artifacts, TABLES["artifacts"], "experiment", "a").to_pylist() == [False] * 4
    assert owned(metrics, TABLES["metrics"], "run", "a").to_pylist() == [True, False]


def test_tables_with_rows_of_a_run() -> None:
    names = [one.name for one in tables_of_entity("run")]
    assert {"runs", "metrics", "params", "tags", "artifacts", "gaps"} <= set(names)
    assert not {"fingerprints", "experiments", "blobs", "traces"} & set(names)
    assert [one.name for one in tables_of_entity("nothing")] == ["artifacts", "gaps"]


def test_text_of_rows_knows_no_order_and_has_times_as_numbers() -> None:
    rows = table("runs", [run("b", "1"), run("a", "1", start_time=None)])
    assert text_of_rows(rows, TABLES["runs"]) == text_of_rows(rows.take([1, 0]), TABLES["runs"])
    assert "[None, 1655004878844]" in text_of_rows(rows, TABLES["runs"])
    nan = table("metrics", points("a", "k", [float("nan")]))
    assert text_of_rows(nan, TABLES["metrics"]) == text_of_rows(nan, TABLES["metrics"])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArchiveBase]:
    """The archive of the test vectors, with a gap of a run, one of a kind and one of the source."""
    path = tmp_path_factory.mktemp("base") / "a"
    gaps = [
        {"owner_kind": kind, "owner_id": one, "path": "p", "code": "G101", "reason": "so"}
        for kind, one in (("run", RUN_A), ("scorer", ""), ("source", "run"))
    ]
    write_directory(build(Draft(rows=lambda rows: rows.update(gaps=gaps))), path)
    held = ArchiveBase(open_archive(path))
    yield held
    held.close()


def rows_of(name: str, *owners: str) -> pa.Table:
    column = "owner_id" if name == "artifacts" else "run_id"
    return table(name, [row for row in base_rows()[name] if row[column] in owners])


def test_what_a_base_knows(base: ArchiveBase) -> None:
    assert list(base.experiments()) == [("1", None, "one")]
    assert list(experiment_facts(table("experiments", [experiment("7", "x")]))) == [("7", 1600000000000, "x")]
    assert base.holds_registered_models() is False
    assert [gap.owner_kind for gap in base.gaps_of_no_object()] == ["scorer", "source"]
    facts = {"path": "", "code": "", "reason": ""}
    assert [
        is_of_no_object(Gap(owner_kind=kind, owner_id=one, **facts))
        for kind, one in (("run", "a"), ("run", ""), ("source", "a"), ("source", ""))
    ] == [False, True, True, True]
    assert list(base.fingerprints()) == []


def test_an_entity_is_held_with_just_its_rows(base: ArchiveBase) -> None:
    names = ("runs", "params", "metrics", "artifacts")
    tables = {name: rows_of(name, RUN_A) for name in names}
    tables["gaps"] = table(
        "gaps", [{"owner_kind": "run", "owner_id": RUN_A, "path": "p", "code": "G101", "reason": "so"}]
    )
    assert base.holds_entity("run", RUN_A, tables)
    assert base.holds_entity(
        "run", RUN_A, {name: rows.take(list(range(len(rows)))[::-1]) for name, rows in tables.items()}
    )
    more = {name: pa.concat_tables([rows, rows_of(name, RUN_B)]) for name, rows in tables.items() if name in names}
    assert base.holds_entity("run", RUN_A, {**tables, **more})
    assert base.holds_entity("trace", RUN_A, {})
    assert base.holds_entity("trace", RUN_A, tables)
    assert not base.holds_entity("run", RUN_B, tables)
    for name, rows in tables.items():
        assert not base.holds_entity("run", RUN_A, {**tables, name: rows.slice(1)})
        assert not base.holds_entity("run", RUN_A, {**tables, name: pa.concat_tables([rows, rows])})


def test_rows_of_owners_are_held_as_they_are(base: ArchiveBase) -> None:
    artifacts, params = TABLES["artifacts"], TABLES["params"]
    assert base.holds_rows(params, rows_of("params", RUN_A), [RUN_A])
    assert not base.holds_rows(params, rows_of("params", RUN_A), [RUN_A, RUN_B])
    assert not base.holds_rows(params, rows_of("params", RUN_A), [])
    assert base.holds_rows(params, rows_of("params"), [])
    assert base.holds_rows(artifacts, rows_of("artifacts", RUN_A), [])
    assert base.holds_rows(artifacts, rows_of("artifacts", RUN_A, RUN_B), [])
    assert not base.holds_rows(artifacts, rows_of("artifacts", RUN_A).slice(1), [])
    other = [{**row, "owner_kind": "trace"} for row in base_rows()["artifacts"]]
    assert not base.holds_rows(artifacts, table("artifacts", other), [])
    assert not base.holds_unknown_table("gizmos", artifacts.schema.empty_table())
