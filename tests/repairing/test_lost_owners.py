"""Of whom damage took something: owners by their rows, those that a later export has whole not among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.format.manifest import Member
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.repairing.holdings import Holdings
from mlflow_archive.repairing.losses import Losses
from mlflow_archive.verification.tables import KeyRange
from tests.spec.drafts import RUN_A, RUN_B, Draft, base_rows, build_second, part, write_directory
from tests.support.chunks import table

SECOND = {"runs": [{**base_rows()["runs"][1], "run_name": "later"}]}
ANY = ("0", "z")


def hit(table: str, low: str = ANY[0], high: str = ANY[1], export: int = 1) -> KeyRange:
    return KeyRange(table=TABLES[table], export=export, low=low, high=high)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the runs A and B, of which the second export has B anew."""
    path = tmp_path_factory.mktemp("two") / "a"
    write_directory(build_second(Draft(), SECOND), path)
    return path


def losses(place: Path, *hits: KeyRange) -> list[tuple[str, str, str, str]]:
    with open_archive(place) as archive:
        found = Losses("ID", Holdings(archive, hits, ()))
        for each in hits:
            found.add_rows(each)
        ends = {gap.reason.partition(" damaged in the archive ")[2] for gap in found}
        assert ends <= {"ID that this one was salvaged from"}
        assert found.owners == {(gap.owner_kind, gap.owner_id) for gap in found}
        return [(gap.owner_kind, gap.owner_id, gap.path, gap.code) for gap in found]


@pytest.mark.parametrize(
    ("hits", "expected"),
    [
        ([hit("params")], [("run", RUN_A, "params", "G203")]),
        ([hit("params", RUN_A, RUN_A)], [("run", RUN_A, "params", "G203")]),
        ([hit("params", RUN_B, RUN_B)], []),
        ([hit("params", export=2)], [("run", RUN_B, "params", "G203")]),
        ([hit("metrics"), hit("metrics", RUN_A, RUN_A)], [("run", RUN_A, "metrics", "G202")]),
        ([hit("artifacts")], [("experiment", "1", "artifacts", "G105"), ("run", RUN_A, "artifacts", "G105")]),
        ([hit("artifacts", "1", "1")], [("experiment", "1", "artifacts", "G105")]),
        ([hit("runs", RUN_A, RUN_B)], [("run", f"{RUN_A} … {RUN_B}", "", "G201")]),
        ([hit("experiments", "1", "1")], [("experiment", "1", "", "G301")]),
        ([hit("traces", "t", "t")], [("trace", "t", "", "G403")]),
        ([hit("fingerprints"), hit("blobs")], []),
        (
            [hit("gaps", RUN_A, RUN_A)],
            [("source", "gaps", "", "G403"), ("run", RUN_A, "gaps", "G203")],
        ),
    ],
    ids=[
        *("rows of any", "of one", "that came again", "of the second export", "twice", "of every kind", "of an id"),
        *("objects", "an experiment", "an object of another kind", "without content", "gaps"),
    ],
)
def test_whose_rows_are_lost(place: Path, hits: list[KeyRange], expected: list[tuple[str, str, str, str]]) -> None:
    assert losses(place, *hits) == expected


def test_a_member_that_nobody_knows_belongs_to_the_source(place: Path) -> None:
    with open_archive(place) as archive:
        found = Losses("ID", Holdings(archive, (), ()))
        for path, table in (("x/y", None), ("tables/u/1", "unknown:gizmos")):
            found.add_member(Member(path=path, kind="table", table=table, export=1, size=1, sha256=""))
        end = "damaged in the archive ID that this one was salvaged from"
        assert [(gap.owner_kind, gap.owner_id, gap.code, gap.reason) for gap in found] == [
            ("source", "x/y", "G403", f"the member x/y is {end}"),
            ("source", "gizmos", "G402", f"the member tables/u/1 is {end}"),
        ]


def test_rows_are_kept_with_their_objects(place: Path) -> None:
    """The row of A is lost in the first export, that of the experiment, too, in the other case."""
    with open_archive(place) as archive:
        params, runs = archive.table("params"), archive.table("runs")
        unsound = Holdings(archive, [hit("runs", RUN_A, RUN_A)], [part("runs")])
        assert unsound.entities("run", 1) == {}
        assert unsound.entities("run", 2) == {RUN_B: RUN_B}
        assert unsound.keep(params, TABLES["params"], 1).num_rows == 0
        assert unsound.dropped == {("run", RUN_A): 1}
        assert unsound.keep(params, TABLES["params"], 2).equals(params)
        assert [unsound.is_current("run", RUN_B, export) for export in (1, 2)] == [False, True]
        assert [unsound.is_current(kind, RUN_B, 1) for kind in ("trace", "source")] == [True, True]

        sound = Holdings(archive, [], ())
        assert sound.entities("run", 1) == {RUN_A: RUN_A, RUN_B: RUN_B}
        assert sound.keep(params, TABLES["params"], 1).equals(params)
        assert sound.with_experiment(runs, TABLES["runs"], 1).equals(runs)
        assert sound.dropped == {}

        owners = [("run", RUN_A), ("run", RUN_B), ("experiment", "1"), ("trace", RUN_A), ("source", "x")]
        named = table("gaps", [{"owner_kind": kind, "owner_id": one, "path": "p", "code": "c"} for kind, one in owners])
        artifacts = table("artifacts", [{**row, "size": 1} for row in named.select([0, 1, 2]).to_pylist()])
        kept = unsound.keep(artifacts, TABLES["artifacts"], 1)
        assert [(row["owner_kind"], row["owner_id"]) for row in kept.to_pylist()] == owners[2:]
        assert unsound.dropped == {("run", RUN_A): 1, ("run", RUN_B): 1}
        assert unsound.keep(named, TABLES["gaps"], 1).equals(named)

        lost = Holdings(archive, [hit("experiments", "1", "1")], [part("experiments")])
        assert lost.with_experiment(runs, TABLES["runs"], 1).num_rows == 0
        assert lost.dropped == dict.fromkeys([("run", RUN_A), ("run", RUN_B)], 1)
        of_lost = Losses("ID", lost)
        of_lost.add_dropped()
        assert [(gap.owner_kind, gap.owner_id, gap.code) for gap in of_lost] == [
            ("run", RUN_A, "G201"),
            ("run", RUN_B, "G201"),
        ]


@pytest.mark.parametrize(
    ("hits", "expected"),
    [
        ([], []),
        ([hit("runs")], ["runs", "params", "artifacts", "fingerprints"]),
        ([hit("runs", export=2)], []),
        ([hit("params")], []),
        ([hit("experiments", export=2)], ["runs", "params", "artifacts", "fingerprints"]),
        ([hit("experiments")], ["experiments", "runs", "params", "artifacts", "fingerprints"]),
        ([hit("traces")], ["traces", "artifacts", "fingerprints"]),
    ],
)
def test_rows_may_be_of_lost_objects_where_some_are_lost(
    place: Path, hits: list[KeyRange], expected: list[str]
) -> None:
    names = ("experiments", "runs", "params", "traces", "artifacts", "gaps", "fingerprints", "blobs")
    with open_archive(place) as archive:
        holdings = Holdings(archive, hits, ())
        assert [name for name in names if holdings.may_drop(TABLES[name], 1)] == expected
