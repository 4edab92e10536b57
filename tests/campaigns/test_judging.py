"""The campaigns' own judgement: it sees what is doubled, lost, altered or strange, and takes equal for equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.flow.chunk import Gap
from mlflow_archive.flow.copy import copy
from mlflow_archive.format.source_tags import SOURCE_EXPERIMENT_ID, SOURCE_RUN_ID
from mlflow_archive.kinds import RUN
from mlflow_archive.writer.export import ArchiveSink
from tests.campaigns.command import HUNG, Ended
from tests.campaigns.content import differences_of, read_content
from tests.campaigns.exports import unsaid
from tests.campaigns.faults import Fault
from tests.campaigns.outcomes import Outcome, Trial, faults_met, outcome_of, reasons, table
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, points, run

SOURCE_RUN = "a" * 32
PARENT = "b" * 32
Rows = dict[str, list[dict[str, Any]]]


def rows_of(
    run_id: str = SOURCE_RUN, experiment_id: str = "5", *, parent: str = PARENT, is_import: bool = False
) -> Rows:
    """Return a store with a run that has a parent, as the source has it or as an import made it."""
    tags = {"mlflow.parentRunId": parent, "kind": "child"}
    rows: Rows = {
        "experiments": [experiment(experiment_id, "main", creation_time=int(experiment_id))],
        "runs": [run(run_id, experiment_id, run_name="child"), run(parent, experiment_id, run_name="parent")],
        "params": pairs(run_id, {"lr": "0.1"}),
        "metrics": points(run_id, "loss", [0.5, float("nan")]),
        "tags": pairs(run_id, tags),
    }
    if is_import:
        rows["tags"] += [*pairs(run_id, {SOURCE_RUN_ID: SOURCE_RUN}), *pairs(parent, {SOURCE_RUN_ID: PARENT})]
        rows["experiment_tags"] = [{"experiment_id": experiment_id, "key": SOURCE_EXPERIMENT_ID, "value": "5"}]
    return rows


def archive(path: Path, rows: Rows, *, files: dict[str, bytes], gaps: tuple[Gap, ...] = ()) -> Path:
    artifacts = [artifact(rows["runs"][0]["run_id"], name, data) for name, data in files.items()]
    gap_rows = [{name: getattr(gap, name) for name in Gap.__slots__} for gap in gaps]
    experiments = chunk(experiments=rows.pop("experiments"), experiment_tags=rows.pop("experiment_tags", []))
    source = ChunkSource((0, [experiments]), (1, [chunk(artifacts, True, gaps=gap_rows, **rows)]))
    copy(source, ArchiveSink(path, tool="test 1", clock_ms=lambda: 0))
    return path


FILES = {"model/MLmodel": b"flavors: {}\n"}


def test_two_imports_are_equal_whatever_ids_they_gave(tmp_path: Path) -> None:
    first = archive(tmp_path / "1.mlfa", rows_of("c" * 32, "7", parent="d" * 32, is_import=True), files=FILES)
    second = archive(tmp_path / "2.mlfa", rows_of("e" * 32, "9", parent="f" * 32, is_import=True), files=FILES)
    contents = [read_content(path) for path in (first, second)]
    assert list(differences_of(*contents)) == []
    assert contents[0].doubles == {}
    source = read_content(archive(tmp_path / "0.mlfa", rows_of(), files=FILES))
    assert contents[0].counts == source.counts
    assert contents[0].objects["run"] == source.objects["run"]


def add_second(rows: Rows) -> None:
    """Have the run there twice, as two imports at once make it."""
    double = "9" * 32
    rows["runs"].append(run(double, "7", run_name="child"))
    rows["tags"] += pairs(double, {SOURCE_RUN_ID: SOURCE_RUN})


@pytest.mark.parametrize(
    ("table_name", "change"),
    [
        ("params", lambda rows: rows["params"].clear()),
        ("params", lambda rows: rows["params"][0].update(value="0.2")),
        ("metrics", lambda rows: rows["metrics"].pop()),
        ("metrics", lambda rows: rows["metrics"].append(dict(rows["metrics"][0]))),
        ("tags", lambda rows: rows["tags"][0].update(value="e" * 32)),
        ("runs", lambda rows: rows["runs"].append(run("8" * 32, "7", run_name="nobody's"))),
        ("runs", add_second),
    ],
    ids=["lost", "altered", "a point lost", "a point twice", "another parent", "a stranger", "a run twice"],
)
def test_a_difference_is_seen(tmp_path: Path, table_name: str, change: Callable[[Rows], object]) -> None:
    whole = archive(tmp_path / "1.mlfa", rows_of("c" * 32, "7", parent="d" * 32, is_import=True), files=FILES)
    rows = rows_of("c" * 32, "7", parent="d" * 32, is_import=True)
    change(rows)
    changed = read_content(archive(tmp_path / "2.mlfa", rows, files=FILES))
    lines = list(differences_of(read_content(whole), changed))
    assert table_name in {line.split()[1].removesuffix(":") for line in lines}
    assert changed.doubles == ({"run": 1} if change is add_second else {})


def test_another_byte_in_a_file_is_seen(tmp_path: Path) -> None:
    contents = [
        read_content(archive(tmp_path / f"{number}.mlfa", rows_of(), files={"model": data}))
        for number, data in enumerate((b"one", b"two"))
    ]
    assert [line.split(":")[0] for line in differences_of(*contents)] == ["-1 artifacts", "+1 artifacts"]


def test_what_an_export_lacks_must_be_named(tmp_path: Path) -> None:
    whole = archive(tmp_path / "1.mlfa", rows_of(), files=FILES)
    assert unsaid(whole, archive(tmp_path / "2.mlfa", rows_of(), files=FILES)) == []
    silent = archive(tmp_path / "3.mlfa", rows_of(), files={})
    assert unsaid(whole, silent) == ["run changed artifacts.row"]
    gap = Gap(owner_kind=RUN, owner_id=SOURCE_RUN, path="model/MLmodel", code="G102", reason="as told")
    assert unsaid(whole, archive(tmp_path / "4.mlfa", rows_of(), files={}, gaps=(gap,))) == []
    elsewhere = Gap(owner_kind=RUN, owner_id=PARENT, path="model/MLmodel", code="G102", reason="as told")
    assert unsaid(whole, archive(tmp_path / "5.mlfa", rows_of(), files={}, gaps=(elsewhere,))) == [
        "run changed artifacts.row"
    ]
    rows = rows_of()
    rows["metrics"].pop()
    assert unsaid(whole, archive(tmp_path / "6.mlfa", rows, files=FILES)) == ["run changed metrics.points"]


@pytest.mark.parametrize(
    ("code", "stderr", "outcome"),
    [
        (0, "", Outcome.COMPLETE),
        (3, "1 things could not be exported", Outcome.SAID),
        (13, "cannot reach it", Outcome.SAID),
        (13, "Traceback (most recent call last):\nX", Outcome.FAILED),
        (1, "mlflow-archive: no", Outcome.FAILED),
        (-9, "", Outcome.FAILED),
        (HUNG, "", Outcome.HUNG),
    ],
)
def test_an_exit_code_claims_an_outcome(code: int, stderr: str, outcome: Outcome) -> None:
    assert outcome_of(Ended(code=code, seconds=1, stderr=stderr)) is outcome


def test_the_table_counts() -> None:
    trials = [
        Trial(name="a", outcome=Outcome.COMPLETE, counts=Counter(doubles=0), faults=Counter({Fault.CUT: 2})),
        Trial(name="a", outcome=Outcome.WRONG, reason="why", counts=Counter(doubles=3), faults=Counter({Fault.CUT: 1})),
        Trial(name="longer", outcome=Outcome.WRONG, reason="why"),
    ]
    assert table(trials) == [
        "        trials  complete  said  failed  hung  WRONG  doubles",
        "a            2         1     0       0     0      1        3",
        "longer       1         0     0       0     0      1        0",
    ]
    assert reasons(trials) == ["1 x a, WRONG: why", "1 x longer, WRONG: why"]
    [line] = faults_met(trials)
    assert "body cut 3" in line
    assert "stall 0" in line
