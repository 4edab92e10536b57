"""Objects of a source as they are read: whole, each with its own rows, files, gaps and holders."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import ArtifactFile, ArtifactUnreadableError
from mlflow_archive.flow.report import Quiet
from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.retiring.contents import RowSums
from mlflow_archive.retiring.kept import KeptEntities, KeptEntity
from mlflow_archive.retiring.reading import HOLD, EntityReading
from mlflow_archive.retiring.site import locate_site
from mlflow_archive.selecting.selection import Selection
from tests.redacting.subjects import write
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points, run, table

A, B, C = "a" * 32, "b" * 32, "c" * 32
MODEL = {"model_id": "m", "experiment_id": "1", "name": "net", "status": "READY"}
TRACES = [
    {"trace_id": name, "experiment_id": at, "request_time": 1, "state": "OK"} for name, at in (("t", "1"), ("u", "2"))
]

LINK = {"trace_id": "t", "destination_type": "run", "destination_id": C}


def broken(owner: str, path: str) -> ArtifactFile:
    def opened() -> AbstractContextManager[BinaryIO]:
        raise ArtifactUnreadableError("it is gone", code="G102")

    return ArtifactFile(owner_kind="run", owner_id=owner, path=path, size=1, open=opened)


def gap(kind: str, owner: str, path: str, reason: str) -> dict[str, Any]:
    return {"owner_id": owner, "owner_kind": kind, "path": path, "code": "G101", "reason": reason}


class Held:
    """An archive that holds all but one run."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def of(self, kind: str, ids: Collection[str]) -> dict[str, KeptEntity]:
        self.asked.append((kind, sorted(ids)))
        return {name: KeptEntity(row={}, sums={}, has_gaps=False) for name in ids if name != C}


def test_objects_are_read_whole_each_with_what_is_its_own() -> None:
    large = b"x" * ((1 << 20) + 1)
    first = chunk(
        [
            artifact(A, "large", large),
            broken(B, "lost"),
            broken(C, "of none"),
            artifact("1", "x", b"", kind="experiment"),
        ],
        complete=False,
        experiments=[experiment("1", "one"), experiment("2", "two")],
        experiment_tags=[
            {"experiment_id": "2", "key": HOLD, "value": "no"},
            {"experiment_id": "1", "key": "other", "value": HOLD},
        ],
        runs=[run(A, "1"), run(B, "1"), run(C, "2")],
        metrics=points(A, "m", [1.0]),
        tags=[*pairs(A, {"note": HOLD}), *pairs(B, {HOLD: ""})],
        gaps=[gap("trace", "t", "", "of a trace"), gap("run", B, "x", "no file"), gap("run", B, "y", "later")],
    )
    rest = chunk(
        metrics=points(A, "m", [2.0, 3.0]),
        logged_models=[MODEL],
        logged_model_tags=[{"model_id": "m", "key": HOLD, "value": "1"}],
        traces=TRACES,
        trace_metadata=[
            {"trace_id": "t", "key": "mlflow.sourceRun", "value": A},
            {"trace_id": "t", "key": "mlflow.user", "value": B},
            {"trace_id": "u", "key": "mlflow.sourceRun", "value": None},
        ],
        trace_links=[
            LINK,
            {"trace_id": "u", "destination_type": "issue", "destination_id": B},
        ],
    )
    held = Held()
    reading = EntityReading(cast("KeptEntities", held), frozenset(), Quiet())
    found = {entity.id: entity for entity in reading.objects(ChunkSource((0, [first, rest])), Selection())}
    assert {name: (entity.kind, entity.holder, entity.gap) for name, entity in found.items()} == {
        A: (RUN, "", ""),
        B: (RUN, f"run {B}", "x: no file"),
        C: (RUN, "experiment 2", ""),
        "m": (LOGGED_MODEL, "logged model m", ""),
        "t": (TRACE, "", "of a trace"),
        "u": (TRACE, "experiment 2", ""),
    }
    assert {name: entity.runs for name, entity in found.items() if entity.runs} == {"t": {A, C}}
    assert [name for name, entity in found.items() if entity.archived is None] == [C]
    assert {entity.experiment["name"] for entity in found.values() if entity.experiment} == {"one", "two"}
    sums = RowSums(RUN)
    for name, rows in (("runs", [run(A, "1")]), ("metrics", [*points(A, "m", [1.0]), *points(A, "m", [2.0, 3.0])])):
        sums.add(name, table(name, rows))
    sums.add("tags", table("tags", pairs(A, {"note": HOLD})))
    sums.add_file("run", A, "large", len(large), hashlib.sha256(large).hexdigest())
    assert found[A].sums == sums.of(A)
    assert held.asked == [(RUN, [A, B, C]), (LOGGED_MODEL, ["m"]), (TRACE, ["t", "u"])]


def test_a_file_that_cannot_be_read_is_a_gap_of_what_the_archive_holds() -> None:
    rows = chunk([broken(B, "lost"), broken(B, "more"), broken(C, "of none")], runs=[run(B, "1"), run(C, "1")])
    reading = EntityReading(cast("KeptEntities", Held()), frozenset({"runs.user_id"}), Quiet())
    found = {entity.id: entity for entity in reading.objects(ChunkSource((0, [rows]), (1, [chunk()])), Selection())}
    assert {name: entity.gap for name, entity in found.items()} == {B: "lost: it is gone", C: ""}
    assert {name: entity.experiment for name, entity in found.items()} == {B: None, C: None}
    hidden = RowSums(RUN, {"runs.user_id"})
    hidden.add("runs", table("runs", [run(B, "1", user_id="another")]))
    assert found[B].sums == hidden.of(B)


def test_what_an_archive_holds_of_objects(tmp_path: Path) -> None:
    files = [artifact(A, "x/y", b"1"), artifact(B, "z", b"2"), artifact(A, "of a model", b"3", kind="logged_model")]
    runs = chunk(
        files,
        runs=[run(A, "1"), run(B, "1")],
        params=pairs(B, {"lr": "1"}),
        gaps=[gap("run", B, "lost", "gone"), gap("trace", A, "", "of another kind")],
    )
    traces = chunk(traces=TRACES, trace_tags=[{"trace_id": "t", "key": key, "value": value} for key, value in PAIRS])
    one = experiment("1", "one")
    with open_archive(write(tmp_path / "a", chunk(experiments=[one]), runs, traces)) as archive:
        kept = KeptEntities(archive)
        found = kept.of(RUN, [A, B, C])
        assert (list(found), [entity.has_gaps for entity in found.values()]) == ([A, B], [False, True])
        assert (kept.of(RUN, []), kept.of(TRACE, [C])) == ({}, {})
        assert (kept.files(RUN, A), kept.files(RUN, B), kept.files(LOGGED_MODEL, A)) == (["x/y"], ["z"], ["of a model"])
        assert (kept.tags("t"), kept.tags("u")) == ({"k": "v", "none": ""}, {})
        [row] = archive.table("experiments").to_pylist()
        assert kept.is_same_experiment(row)
        for name, value in (("name", "x"), ("creation_time", None), ("workspace", "x"), ("experiment_id", "2")):
            assert not kept.is_same_experiment({**row, name: value})
        sums = RowSums(RUN)
        sums.add("runs", archive.table("runs", owners=[B]))
        sums.add("params", archive.table("params"))
        sums.add_file("run", B, "z", 1, hashlib.sha256(b"2").hexdigest())
        assert found[B].sums == sums.of(B)


PAIRS = [("k", "v"), ("none", None)]


@pytest.mark.parametrize("uri", ["file:///mlruns", "/mlruns", "s3://bucket/x"])
def test_where_nothing_is_deleted(uri: str) -> None:
    with pytest.raises(SelectionError) as caught:
        locate_site(uri, artifact_map=(), artifacts_destination=None, progress=Quiet())
    assert str(caught.value) == (
        f"{uri} is neither a server nor a database: a file store has no locks, so that what is deleted there may be "
        "written to meanwhile; give http(s)://… or the URI of a database"
    )


@pytest.mark.parametrize("uri", ["http://server:5000", "https://server"])
def test_a_server_is_asked_for_nothing_when_it_is_named(uri: str) -> None:
    site = locate_site(uri, artifact_map=(), artifacts_destination=None, progress=Quiet())
    assert (site.kind, site.uri) == ("rest", uri)
    site.close()


def test_one_object_is_read_alone() -> None:
    """What else came with it is not it."""
    reading = EntityReading(cast("KeptEntities", Held()), frozenset(), Quiet())
    given = [chunk(runs=[run(A, "1")], traces=TRACES[:1]), chunk(trace_links=[LINK])]
    found = reading.alone(given, TRACE)
    assert found is not None
    assert (found.kind, found.id, found.runs) == (TRACE, "t", frozenset({C}))
    fresh = EntityReading(cast("KeptEntities", Held()), frozenset(), Quiet())
    assert fresh.alone([chunk(runs=[run(A, "1")])], TRACE) is None


def test_what_a_trace_is_linked_to_is_no_matter_of_a_run_with_its_id() -> None:
    reading = EntityReading(cast("KeptEntities", Held()), frozenset(), Quiet())
    given = chunk(runs=[run("t", "1")], traces=TRACES[:1], trace_links=[LINK])
    found = list(reading.objects(ChunkSource((0, [given])), Selection()))
    assert [(entity.kind, entity.runs) for entity in found] == [(RUN, frozenset()), (TRACE, frozenset({C}))]
