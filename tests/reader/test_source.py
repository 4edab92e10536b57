"""An archive as a source: which shards it plans, what each gives, in which chunks, and what of files cannot be had."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import (
    ArtifactElsewhereError,
    ArtifactUnreadableError,
    Chunk,
    Shard,
    nothing_known,
)
from mlflow_archive.flow.source import SourceFacts
from mlflow_archive.format.fingerprint import Fingerprint
from mlflow_archive.format.manifest import Export
from mlflow_archive.kinds import AFTER_RUNS, RUN, TABLES
from mlflow_archive.reader import source as module
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.source import ArchiveSource, export_facts
from mlflow_archive.selecting.selection import Selection
from tests.spec.carried_tables import GIZMOS, carried
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
from tests.support.reading import plain_rows


class Expected:
    """Hears how many objects of each kind will come."""

    def __init__(self) -> None:
        self.amounts: dict[str, int] = {}

    def expect(self, unit: str, amount: int) -> None:
        self.amounts[unit] = amount

    def advance(self, unit: str, amount: int) -> None: ...

    def note(self, message: str) -> None: ...


def planned(source: ArchiveSource, selection: Selection | None = None) -> list[Shard]:
    return list(source.plan(selection or Selection(), Expected()))


def ids_of(shard: Shard) -> list[str]:
    ids: list[str] = shard.payload.ids  # type: ignore[attr-defined]
    return ids


def rows_of(chunk: Chunk) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a chunk by table, those that are there, without columns that have no value."""
    return {
        name: [{key: value for key, value in row.items() if value is not None} for row in plain_rows(table)]
        for name, table in chunk.tables.items()
        if table.num_rows
    }


def export(source: Mapping[str, Any]) -> Export:
    return Export(number=7, created_ms=5, tool="t", source=source, selection={}, counts={}, gaps=0)


def facts(uri: str, version: str | None = None, revision: str | None = None, **extra: str) -> SourceFacts:
    return SourceFacts(
        kind="archive", uri=uri, mlflow_version=version, schema_revision=revision, extra={**extra, "export": "7"}
    )


EXIM = {"exported_ms": "123", "tracking_uri": "http://server"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({}, facts("", exported_ms="5", source_kind="")),
        (
            {"kind": "sql", "uri": "sqlite:///x", "mlflow_version": "3.1", "schema_revision": "abc", "extra": EXIM},
            facts("sqlite:///x", "3.1", "abc", exported_ms="5", source_kind="sql"),
        ),
        (
            {"kind": "exim", "uri": "file:x", "extra": EXIM},
            facts("file:x", **EXIM, source_kind="exim"),
        ),
        (
            {"kind": "exim", "uri": "file:x", "extra": {"exported_ms": "12x"}},
            facts("file:x", exported_ms="5", source_kind="exim"),
        ),
        ({"kind": "exim", "uri": "file:x"}, facts("file:x", exported_ms="5", source_kind="exim")),
    ],
    ids=["nothing", "a database", "another tool", "no time", "no facts"],
)
def test_facts_of_an_export(source: Mapping[str, Any], expected: SourceFacts) -> None:
    assert export_facts(export(source)) == expected


def many_runs(rows: dict[str, list[Row]]) -> None:
    """Make 102 runs; the second is a child of the third, which is one of the last; and a workspace."""
    first = rows["runs"][0]
    rows["runs"] = [{**first, "run_id": f"{number:032x}"} for number in range(102)]
    rows["tags"] = [
        {"run_id": f"{1:032x}", "key": "mlflow.parentRunId", "value": f"{2:032x}"},
        {"run_id": f"{2:032x}", "key": "mlflow.parentRunId", "value": f"{101:032x}"},
    ]
    rows["workspaces"] = [{"name": "default"}]
    for name in ("params", "metrics", "artifacts"):
        rows[name] = []
    rows.pop("blobs")


def test_shards_hold_fifty_and_children_come_behind_their_parents(tmp_path: Path) -> None:
    write(build(Draft(frames=list.clear, rows=many_runs)), tmp_path)
    runs = [f"{number:032x}" for number in range(102) if number not in (1, 2)]
    with open_archive(tmp_path) as archive:
        expected = Expected()
        shards = list(ArchiveSource(archive).plan(Selection(), expected))
    assert [(shard.name, shard.stage, shard.kind, shard.weight, ids_of(shard)) for shard in shards] == [
        ("workspaces", 0, RUN, 0, ["default"]),
        ("experiments", 1, RUN, 0, ["1"]),
        (f"run from {runs[0]}", 2, RUN, 50, runs[:50]),
        (f"run from {runs[50]}", 2, RUN, 50, runs[50:]),
        (f"run from {2:032x}", 3, RUN, 1, [f"{2:032x}"]),
        (f"run from {1:032x}", 4, RUN, 1, [f"{1:032x}"]),
    ]
    assert {unit: amount for unit, amount in expected.amounts.items() if amount} == {"runs": 102}


@pytest.mark.parametrize(
    ("option", "selection"),
    [("filter", Selection(filter_string="x = 1")), ("trace-filter", Selection(trace_filter="x = 1"))],
)
def test_an_archive_is_not_filtered(tmp_path: Path, option: str, selection: Selection) -> None:
    write(build(Draft()), tmp_path)
    with open_archive(tmp_path) as archive, pytest.raises(SelectionError) as caught:
        planned(ArchiveSource(archive), selection)
    assert str(caught.value) == f"an archive cannot be filtered by --{option}; select by --experiment or --run"


def fingerprints(owners: list[str]) -> list[Row]:
    return [{"owner_id": owner, "owner_kind": "run", "fingerprint": owner[:2] * 32} for owner in owners]


def with_fingerprints(rows: dict[str, list[Row]]) -> None:
    rows["fingerprints"] = fingerprints([RUN_A, RUN_B])
    rows["gaps"] = [
        {"owner_id": RUN_B, "owner_kind": "run", "path": "x", "code": "G102", "reason": "away"},
        {"owner_id": RUN_B, "owner_kind": "trace", "path": "", "code": "G102", "reason": "of another kind"},
        {"owner_id": "source", "owner_kind": "source", "path": "", "code": "G901", "reason": "no one's"},
    ]


def read(archive: Archive, ids: list[str], known: dict[str, str] | None = None, **options: Any) -> list[Chunk]:
    """Read some runs of an archive, of which those are known whose fingerprint is given."""
    source = ArchiveSource(archive, **options)
    (*_, shard) = planned(source, Selection(runs=tuple(ids)))
    given = known or {}
    return list(source.read(shard, (lambda kind, owner: given.get(owner) if kind == RUN else None)))


def test_a_shard_gives_all_of_its_objects_and_nothing_of_others(tmp_path: Path) -> None:
    write(build(Draft(rows=with_fingerprints)), tmp_path)
    with open_archive(tmp_path) as archive:
        (chunk,) = read(archive, [RUN_B])
    rows = base_rows()
    with_fingerprints(rows)
    assert rows_of(chunk) == {
        "runs": [rows["runs"][1]],
        "params": [row for row in rows["params"] if row["run_id"] == RUN_B],
        "gaps": rows["gaps"][:1],
        "fingerprints": fingerprints([RUN_B]),
    }
    assert chunk.complete
    listed = next(row for row in rows["artifacts"] if row["path"] == "dir/world.txt")
    assert [(file.owner_kind, file.owner_id, file.path, file.size, file.mark) for file in chunk.artifacts] == [
        ("run", RUN_B, "dir/world.txt", 17, listed["digest"])
    ]


def test_datasets_come_with_their_experiment(tmp_path: Path) -> None:
    dataset = {"experiment_id": "1", "name": "d", "digest": "7", "source_type": "local", "source": "x"}
    write(build(Draft(rows=lambda rows: rows.update(datasets=[dataset, {**dataset, "digest": "8"}]))), tmp_path)
    with open_archive(tmp_path) as archive:
        source = ArchiveSource(archive)
        [shard] = [shard for shard in planned(source) if shard.name == "experiments"]
        [chunk] = source.read(shard, nothing_known)
    assert rows_of(chunk) == {
        "experiments": base_rows()["experiments"],
        "datasets": [dataset, {**dataset, "digest": "8"}],
    }
    assert chunk.artifacts == []


def test_what_is_known_does_not_come_again(tmp_path: Path) -> None:
    write(build(Draft(rows=with_fingerprints)), tmp_path)
    known: dict[str, str] = {RUN_A: Fingerprint("aa" * 32), RUN_B: Fingerprint("aa" * 32)}
    with open_archive(tmp_path) as archive:
        (chunk,) = read(archive, [RUN_A, RUN_B], known)
        counts = {name: len(rows) for name, rows in rows_of(chunk).items()}
        assert counts == {"runs": 1, "params": 2, "gaps": 1, "fingerprints": 1}
        assert chunk.tables["runs"]["run_id"].to_pylist() == [RUN_B]
        assert [file.owner_id for file in chunk.artifacts] == [RUN_B]


def several_groups(files: Files) -> None:
    """Write each point of the history into a row group of its own."""
    points = [{**base_rows()["metrics"][0], "step": step, "value": float(step)} for step in range(5)]
    files[part("metrics")] = encode_part(make_table("metrics", points), group_rows=1)


@pytest.mark.parametrize(("most", "cut"), [(10**6, [5]), (2, [2, 2, 1]), (1, [1] * 5), (0, [1] * 5)])
def test_a_long_history_comes_in_several_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, cut: list[int]
) -> None:
    """``most`` is how many points there is room for in a chunk, ``cut`` how many come in each."""
    write(build(Draft(rows=with_fingerprints, members=several_groups)), tmp_path)
    with open_archive(tmp_path) as archive:
        point = next(archive.batches("metrics", owners=[RUN_A])).nbytes
        monkeypatch.setattr(module, "BYTES_PER_CHUNK", most * point)
        chunks = read(archive, [RUN_A])
        left_out = read(archive, [RUN_A], leave_out=["metrics"])
        narrow = read(archive, [RUN_A], columns={"metrics": ["run_id", "step"]})
    assert [chunk.tables["metrics"].num_rows for chunk in chunks] == cut
    assert [chunk.complete for chunk in chunks] == [False] * (len(cut) - 1) + [True]
    assert [len(chunk.artifacts) for chunk in chunks] == [2] + [0] * (len(cut) - 1)
    assert ["fingerprints" in chunk.tables for chunk in chunks] == [False] * (len(cut) - 1) + [True]
    assert ["params" in chunk.tables for chunk in chunks] == [True] + [False] * (len(cut) - 1)
    assert [step for chunk in chunks for step in chunk.tables["metrics"]["step"].to_pylist()] == list(range(5))
    assert rows_of(chunks[-1])["fingerprints"] == fingerprints([RUN_A])
    assert [chunk.tables.get("metrics") for chunk in left_out] == [None]
    assert {tuple(chunk.tables["metrics"].column_names) for chunk in narrow} == {("run_id", "step")}


def test_no_history_is_an_empty_one(tmp_path: Path) -> None:
    write(build(Draft(rows=with_fingerprints)), tmp_path)
    with open_archive(tmp_path) as archive:
        (chunk,) = read(archive, [RUN_B])
    assert chunk.tables["metrics"].equals(TABLES["metrics"].schema.empty_table())


def lost(rows: dict[str, list[Row]]) -> None:
    """Name a file whose bytes are not there, before and behind others by name."""
    rows["artifacts"][1]["digest"] = "0" * 64


def test_files_come_as_they_lie_in_the_packs(tmp_path: Path) -> None:
    write(build(Draft(rows=lost)), tmp_path)
    with open_archive(tmp_path) as archive:
        (chunk,) = read(archive, [RUN_A, RUN_B])
        missing, *there = chunk.artifacts
        assert [file.path for file in there] == ["a b.txt", "dir/world.txt"]
        with pytest.raises(ArtifactUnreadableError) as caught, missing.open():
            pass
        with there[1].open() as stream:
            assert stream.read() == b"another artifact\n"
    assert (missing.path, caught.value.code) == ("empty", "G102")
    assert str(caught.value) == f"E050: blob {'0' * 64} is not in the archive"


@pytest.mark.parametrize(
    ("selection", "paths"),
    [
        (Selection(runs=(RUN_A,)), ["a b.txt", "empty"]),
        (Selection(runs=(RUN_A,), artifacts=False), []),
        (Selection(runs=(RUN_A,), artifact_globs=("e*",)), ["empty"]),
        (Selection(runs=(RUN_A,), max_artifact_size=15), ["empty"]),
        (Selection(runs=(RUN_A,), max_artifact_size=16), ["a b.txt", "empty"]),
    ],
)
def test_only_files_that_are_wanted_come(tmp_path: Path, selection: Selection, paths: list[str]) -> None:
    write(build(Draft()), tmp_path)
    with open_archive(tmp_path) as archive:
        source = ArchiveSource(archive)
        (*_, shard) = planned(source, selection)
        (chunk,) = source.read(shard, nothing_known)
    assert [file.path for file in chunk.artifacts] == paths


def test_of_several_exports_each_row_has_its_own(tmp_path: Path) -> None:
    run = base_rows()["runs"][1]
    write(build_second(Draft(), {"runs": [{**run, "run_name": "later"}]}), tmp_path / "two")
    write(build(Draft()), tmp_path / "one")
    with open_archive(tmp_path / "two") as archive:
        source = ArchiveSource(archive)
        assert source.export_of("runs") == {RUN_A: 1, RUN_B: 2}
        assert source.export_of("experiments") == {"1": 1}
        assert source.facts().extra == {"exported_ms": "1700000000000", "export": "2", "source_kind": "vector"}
    with open_archive(tmp_path / "one") as archive:
        assert ArchiveSource(archive).export_of("runs") == {}


CARRIED = {"gizmos": GIZMOS.select([0, 3]).slice(1), "Empty/ü": pa.table({"a": pa.array([], pa.string())})}


@pytest.mark.parametrize(
    ("selection", "options", "expected"),
    [
        (Selection(), {}, CARRIED),
        (Selection(kinds=("run",)), {}, {}),
        (Selection(runs=(RUN_A,)), {}, {}),
        (Selection(registry="models"), {}, {}),
        (Selection(), {"leave_out": ["metrics"]}, {}),
        (Selection(), {"columns": {"metrics": ["run_id"]}}, {}),
    ],
)
def test_tables_that_are_not_known_come_with_everything(
    tmp_path: Path, selection: Selection, options: dict[str, Any], expected: dict[str, pa.Table]
) -> None:
    write(carried(), tmp_path)
    with open_archive(tmp_path) as archive:
        source = ArchiveSource(archive, **options)
        shards = [shard for shard in planned(source, selection) if shard.name.startswith("the unknown")]
        behind_all = 2 + len(AFTER_RUNS) + 1  # runs of one level come in stage 2
        assert [(s.name, s.stage) for s in shards] == [(f"the unknown table {n}", behind_all) for n in expected]
        chunks = [chunk for shard in shards for chunk in source.read(shard, nothing_known)]
    assert [dict(chunk.tables) for chunk in chunks] == [{}] * len(expected)
    assert {name: rows for chunk in chunks for name, rows in chunk.unknown_tables.items()} == expected


def test_a_shard_of_another_source_is_refused(tmp_path: Path) -> None:
    write(build(Draft()), tmp_path)
    with open_archive(tmp_path) as archive, pytest.raises(TypeError) as caught:
        list(ArchiveSource(archive).read(Shard(name="x"), nothing_known))
    assert str(caught.value) == "x is no shard of an archive"


def test_files_of_a_delta_lie_in_its_base() -> None:
    with open_archive(Path(__file__).parents[1] / "golden" / "v1_4-delta.mlfa") as archive:
        source = ArchiveSource(archive)
        errors = []
        for shard in planned(source):
            for chunk in source.read(shard, nothing_known):
                for file in chunk.artifacts:
                    try:
                        file.open().close()  # type: ignore[attr-defined]
                    except ArtifactElsewhereError as error:
                        errors.append((error.code, str(error)))
        assert archive.manifest.delta is not None
        base = archive.manifest.delta.base
    assert {(code, text.partition(" lies ")[2]) for code, text in errors} == {
        ("G102", f"in the base, archive {base}: give it with --base, or join both")
    }
