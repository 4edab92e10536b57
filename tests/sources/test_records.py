"""What sources collect of objects on the way into chunks: rows, points, files, gaps, fingerprints, as whole values."""

from __future__ import annotations

from math import inf, nan
from pathlib import Path

import pytest

from mlflow_archive.artifact_roots.local import FoundFile
from mlflow_archive.flow.chunk import ArtifactFile, Gap
from mlflow_archive.format.fingerprint import Fingerprint, entity_fingerprint, run_fingerprint
from mlflow_archive.format.gaps import EXPERIMENT_UNREADABLE, FIELD_UNREADABLE, OBJECT_UNREADABLE, RUN_UNREADABLE
from mlflow_archive.kinds import EXPERIMENT, LOGGED_MODEL, REGISTERED_MODEL, RUN, TABLES, TRACE
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.reading.file_kinds import fault_of, known_fault
from mlflow_archive.sources.reading.gaplist import GapList, Problems, unreadable
from mlflow_archive.sources.reading.points import Latest, Points
from mlflow_archive.sources.reading.records import Entity, RunEdges, RunRecord, selected_files
from mlflow_archive.sources.reading.rows import Rows, pair_rows

MODEL = {"model_id": "m", "experiment_id": "1", "name": "n"}


def found(path: str, size: int = 3) -> FoundFile:
    return FoundFile(path=path, place=Path("/nowhere", path), size=size, mark=f"mark of {path}")


def gap(path: str, code: str, reason: str, *, kind: str = RUN, owner_id: str = "r") -> Gap:
    return Gap(owner_kind=kind, owner_id=owner_id, path=path, code=code, reason=reason)


def entity(kind: str = LOGGED_MODEL) -> Entity:
    made = Entity.new(kind, "m")
    made.add("logged_models", **MODEL)
    made.add_pairs("logged_model_tags", {"a": "1", "b": None}, model_id="m")
    return made


def test_files_that_a_selection_takes_are_named_below_a_prefix() -> None:
    files = [found("a.txt"), found("sub/b.bin", 9), found("c.txt", 10)]
    assert selected_files(RUN, "r", files, Selection()) == [
        ArtifactFile(
            owner_kind=RUN, owner_id="r", path=file.path, size=file.size, open=file.open, mark=f"mark of {file.path}"
        )
        for file in files
    ]
    taken = selected_files(RUN, "r", files, Selection(artifact_globs=("2/*",), max_artifact_size=9), "2/")
    assert [(file.path, file.size) for file in taken] == [("2/a.txt", 3), ("2/sub/b.bin", 9)]
    assert selected_files(RUN, "r", files, Selection(artifact_globs=("sub/*",)), "2/") == []


def test_an_entity_gives_its_rows_files_and_fingerprint() -> None:
    made, rows = entity(), Rows()
    made.take_files([found("a"), found("b")], Selection(artifact_globs=("x/a",)), prefix="x/")
    made.shared.append(("datasets", {"experiment_id": "1", "name": "d", "digest": "e"}))
    assert (made.kind, made.owner_id, [file.path for file in made.files]) == (LOGGED_MODEL, "m", ["x/a"])
    fingerprint = entity_fingerprint(made.rows, made.files)
    assert made.fingerprint() == fingerprint
    made.add_to(rows)
    assert (rows.size, rows.points, bool(rows)) == (5, 0, True)
    chunk = rows.chunk()
    tables = {name: [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()]
              for name, table in chunk.tables.items()}  # fmt: skip
    assert tables == {
        "logged_models": [MODEL],
        "logged_model_tags": [{"model_id": "m", "key": "a", "value": "1"}, {"model_id": "m", "key": "b"}],
        "datasets": [{"experiment_id": "1", "name": "d", "digest": "e"}],
        "fingerprints": [fingerprint.row(LOGGED_MODEL, "m")],
    }
    assert all(table.schema == TABLES[name].schema for name, table in chunk.tables.items())
    assert (chunk.artifacts, chunk.complete) == (tuple(made.files), True)
    assert not rows.chunk(complete=False).complete


def test_an_entity_that_is_known_gives_nothing_and_one_with_gaps_no_fingerprint() -> None:
    made = entity()
    fingerprint = made.fingerprint()
    asked: list[tuple[str, str]] = []

    def known(kind: str, owner_id: str) -> Fingerprint | None:
        asked.append((kind, owner_id))
        return fingerprint

    rows = Rows()
    made.add_to(rows, known)
    assert (bool(rows), asked) == (False, [(LOGGED_MODEL, "m")])
    made.gaps.add("x", "G010", "gone")
    assert made.fingerprint() is None
    made.add_to(rows, known)
    tables = rows.chunk().tables
    assert set(tables) == {"logged_models", "logged_model_tags", "gaps"}
    assert tables["gaps"].to_pylist() == [gap("x", "G010", "gone", kind=LOGGED_MODEL, owner_id="m").row()]
    assert entity(REGISTERED_MODEL).fingerprint() is None


def test_a_run_gives_what_comes_before_and_after_its_points() -> None:
    run = RunRecord(
        run_id="r",
        info={"run_id": "r", "experiment_id": "1", "status": "FINISHED"},
        params={"p": "1"},
        tags={"t": "2"},
        gaps=GapList(owner_kind=RUN, owner_id="r"),
        datasets=[{"experiment_id": "1", "name": "d", "digest": "e"}],
        edges=RunEdges(
            datasets=[
                (
                    {"run_id": "r", "dataset_name": "d", "dataset_digest": "e"},
                    pair_rows({"context": "train"}, run_id="r"),
                )
            ],
            model_inputs=[{"run_id": "r", "model_id": "in"}],
            model_outputs=[{"run_id": "r", "model_id": "out", "step": 3}],
        ),
        files=selected_files(RUN, "r", [found("a")], Selection()),
    )
    run.latest.add("loss", 1, 2, 0.5)
    rows = Rows()
    run.begin(rows)
    tables = rows.chunk().tables
    assert {name: table.num_rows for name, table in tables.items()} == dict.fromkeys(
        (
            *("runs", "params", "tags", "datasets", "dataset_inputs", "dataset_input_tags"),
            *("model_inputs", "model_outputs"),
        ),
        1,
    )
    assert [tables[name]["key"].to_pylist() for name in ("params", "tags")] == [["p"], ["t"]]
    assert tables["params"]["run_id"].to_pylist() == tables["tags"]["run_id"].to_pylist() == ["r"]
    assert tables["model_inputs"]["model_id"].to_pylist() == ["in"]
    expected = run_fingerprint(run.info, run.params, run.tags, [("loss", 1, 2, 0.5)], run.files, {"loss": 1})
    assert run.fingerprint() == expected
    run.finish(rows)
    chunk = rows.chunk()
    assert chunk.tables["fingerprints"].to_pylist() == [expected.row(RUN, "r")]
    assert chunk.artifacts == tuple(run.files)
    run.gaps.add("x", "G010", "gone")
    assert run.fingerprint() is None


def points(*values: float) -> Points:
    made = Points()
    for step, value in enumerate(values):
        made.keys.append("k")
        made.steps.append(step)
        made.times.append(1000 + step)
        made.values.append(value)
        made.datasets.append(("d", "e") if step else None)
    return made


def test_points_of_runs_are_rows_of_metrics() -> None:
    rows, more = Rows(), Rows()
    rows.add_points("r", points(0.5, inf))
    more.add_points("s", points(1.5))
    more.add("tags", {"run_id": "s", "key": "a"})
    more.finish(GapList(owner_kind=RUN, owner_id="s"), selected_files(RUN, "s", [found("a")], Selection()), None)
    rows.merge(more)
    assert (rows.points, rows.size, bool(rows)) == (3, 1, True)
    chunk = rows.chunk()
    columns = chunk.tables["metrics"].to_pydict()
    times = [value.value // 10**6 if hasattr(value, "value") else round(value.timestamp() * 1000)
             for value in columns.pop("timestamp")]  # fmt: skip
    assert times == [1000, 1001, 1000]
    assert columns == {
        "run_id": ["r", "r", "s"],
        "key": ["k"] * 3,
        "step": [0, 1, 0],
        "value": [0.5, inf, 1.5],
        "dataset_name": [None, "d", None],
        "dataset_digest": [None, "e", None],
    }
    assert chunk.tables["metrics"].schema == TABLES["metrics"].schema
    assert [file.path for file in chunk.artifacts] == ["a"]


def test_rows_are_given_out_when_there_are_enough() -> None:
    rows = Rows()
    assert list(rows.drain()) == []
    rows.add_all({"tags": [{"run_id": "r", "key": "a"}, {"run_id": "r", "key": "b"}]})
    rows.add_points("r", points(1.0))
    assert list(rows.drain(size=3)) == list(rows.drain(points=2)) == list(rows.drain(size=2, points=2)) == []
    [chunk] = rows.drain(size=2, points=1)
    assert {name: table.num_rows for name, table in chunk.tables.items()} == {"tags": 2, "metrics": 1}
    assert (bool(rows), rows.size, rows.points, list(rows.drain())) == (False, 0, 0, [])
    rows.add_gap(TRACE, "t", "p", "G010", "why")
    [chunk] = rows.drain(size=1)
    assert chunk.tables["gaps"].to_pylist() == [gap("p", "G010", "why", kind=TRACE, owner_id="t").row()]


@pytest.mark.parametrize(
    ("given", "latest"),
    [
        ([(1, 1, 1.0), (2, 0, 0.0)], (2, 0, 0.0)),
        ([(2, 0, 0.0), (1, 9, 9.0)], (2, 0, 0.0)),
        ([(1, 1, 1.0), (1, 2, 0.0)], (1, 2, 0.0)),
        ([(1, 2, 0.0), (1, 1, 1.0)], (1, 2, 0.0)),
        ([(1, 1, 1.0), (1, 1, 2.0)], (1, 1, 2.0)),
        ([(1, 1, 2.0), (1, 1, 1.0)], (1, 1, 2.0)),
        ([(1, 1, -1.0), (1, 1, nan)], (1, 1, nan)),
        ([(1, 1, 0.5), (1, 1, nan)], (1, 1, 0.5)),
        ([(1, 1, 0.0), (1, 1, nan)], (1, 1, 0.0)),
    ],
)
def test_the_latest_point_has_the_highest_step_time_and_value(
    given: list[tuple[int, int, float]], latest: tuple[int, int, float]
) -> None:
    found_latest = Latest()
    for point in given:
        found_latest.add("k", *point)
    assert repr(found_latest.points) == repr({"k": ("k", *latest)})
    assert found_latest.counts == {"k": len(given)}


def test_gaps_of_one_place_and_code_are_one() -> None:
    gaps = GapList(owner_kind=RUN, owner_id="r")
    assert not gaps
    gaps.add("a", "G010", "first")
    gaps.add("a", "G010", "second")
    gaps.add("a", "G011", "other")
    gaps.under("tags")("k", "bad")
    gaps.under("")("start_time", "worse")
    gaps.under("params", "G012")("", "none")
    assert gaps
    assert list(gaps.by_place.values()) == [
        gap("a", "G010", "first; second"),
        gap("a", "G011", "other"),
        gap("tags/k", FIELD_UNREADABLE, "bad"),
        gap("start_time", FIELD_UNREADABLE, "worse"),
        gap("params", "G012", "none"),
    ]
    assert [unreadable(kind) for kind in (RUN, EXPERIMENT, TRACE)] == [
        RUN_UNREADABLE, EXPERIMENT_UNREADABLE, OBJECT_UNREADABLE
    ]  # fmt: skip


def test_problems_are_counted_and_the_first_is_told() -> None:
    problems = Problems(units="lines")
    problems.add("line 3 is bad")
    assert (problems.count, problems.text) == (1, "line 3 is bad")
    problems.add("line 9 is bad", 2)
    assert (problems.count, problems.text) == (3, "line 3 is bad; 3 lines in all")


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (
            b"version https://git-lfs.github.com",
            "is a pointer of Git LFS, not the file itself; get that with `git lfs pull`",
        ),
        (b"PK\x03\x04x", "is a ZIP file; unpack it and give the folder inside"),
        (b"\x1f\x8b\x08", "is a file compressed by gzip; unpack it and give what is inside"),
        (b"\x28\xb5\x2f\xfd", "is a file compressed by zstd; unpack it and give what is inside"),
        (b"xPK\x03\x04", None),
        (b"PK\x05\x06", None),
        (b"", None),
    ],
)
def test_files_that_are_known_to_be_something_else(head: bytes, sentence: str | None, tmp_path: Path) -> None:
    assert known_fault(head) == sentence
    (tmp_path / "file").write_bytes(head + bytes(100))
    assert fault_of(tmp_path / "file") == sentence
    assert fault_of(tmp_path / "none") is None
