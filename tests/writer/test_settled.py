"""What an archive tells of its source, or of a kind as a whole, until an export of everything does not find it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from mlflow_archive.errors import DamagedError
from mlflow_archive.flow import chunk as flow
from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.format.gaps import METRIC_UNREADABLE, OBJECT_UNREADABLE, SOURCE, UNKNOWN_FIELD, UNKNOWN_ROWS
from mlflow_archive.format.manifest import canonical_json, decode
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveOptions, ArchiveSink
from mlflow_archive.writer.settled import settled
from tests.conformance import independent_reader
from tests.support.chunks import ChunkSource, chunk, experiment

Gap = tuple[str, str, str, str]


def gap(owner_kind: str, owner_id: str, code: str, path: str = "p") -> Gap:
    return owner_kind, owner_id, path, code


OF_EXPERIMENTS: Final = gap(SOURCE, "experiment", UNKNOWN_FIELD)
OF_RUNS: Final = gap(SOURCE, "run", UNKNOWN_FIELD)
OF_PARAMS: Final = gap(SOURCE, "params", UNKNOWN_ROWS)
OF_A_TABLE: Final = gap(SOURCE, "gizmos", UNKNOWN_ROWS)
OF_SCORERS: Final = gap("scorer", "", OBJECT_UNREADABLE)
OF_A_RUN: Final = gap("run", "a" * 32, METRIC_UNREADABLE)
FIRST: Final = (OF_EXPERIMENTS, OF_RUNS, OF_PARAMS, OF_A_TABLE, OF_SCORERS, OF_A_RUN)
STAYS: Final = {OF_RUNS, OF_PARAMS, OF_A_RUN}
"""What unchanged runs hold is not read again."""


def export(path: Path, *gaps: Gap, selection: Selection | None = None, **options: Any) -> Report:
    names = ("owner_kind", "owner_id", "path", "code")
    rows = [{**dict(zip(names, one, strict=True)), "reason": "so"} for one in gaps]
    chunks = [chunk(experiments=[experiment("1", "one")], gaps=rows)]
    sink = ArchiveSink(path, ArchiveOptions(**options), tool="t 1", clock_ms=lambda: 0)
    return copy(ChunkSource((0, chunks)), sink, selection or Selection())


def told(path: Path) -> set[Gap]:
    """Return the gaps that count, for our reader and for a stranger's alike; the archive is sound."""
    assert verify(path).problems == []
    stranger = independent_reader.Archive(path)
    theirs = [{key: row[key] for key in row if key != "reason"} for row in stranger.rows("gaps")]
    stranger.close()
    with open_archive(path) as archive:
        rows = [(r["owner_kind"], r["owner_id"], r["path"], r["code"]) for r in archive.table("gaps").to_pylist()]
    assert sorted(rows) == sorted((r["owner_kind"], r["owner_id"], r["path"], r["code"]) for r in theirs)
    return set(rows)


def newest(path: Path) -> tuple[int, tuple[tuple[str, str], ...] | None]:
    """Return the minor version of an archive, and what its newest export settled."""
    with open_archive(path) as archive:
        return archive.manifest.minor, archive.newest_export.settled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An archive that tells of gaps of each form."""
    path = tmp_path / "a.mlfa"
    export(path, *FIRST)
    assert told(path) == set(FIRST)
    assert newest(path) == (3, None)
    return path


def test_what_an_export_of_everything_does_not_find_is_told_no_more(path: Path) -> None:
    assert export(path, append=True).details["unchanged"] is False
    assert told(path) == STAYS
    assert newest(path) == (3, (("scorer", ""), ("source", "experiment"), ("source", "gizmos")))
    assert export(path, append=True).details["unchanged"] is True


def test_one_that_read_all_again_knows_of_runs_too(path: Path) -> None:
    export(path, append=True, recheck=True)
    assert told(path) == {OF_A_RUN}


@pytest.mark.parametrize(
    "selection", [Selection(experiments=("1",)), Selection(kinds=("run",)), Selection(runs=("b",))]
)
def test_one_that_left_something_out_does_not_know(path: Path, selection: Selection) -> None:
    export(path, append=True, selection=selection)
    assert told(path) == set(FIRST)


def test_to_carry_unknown_tables_leaves_nothing_out() -> None:
    one = flow.Gap(owner_kind="scorer", owner_id="", path="p", code=OBJECT_UNREADABLE, reason="so")
    base = cast("Any", SimpleNamespace(gaps_of_no_object=lambda: iter([one])))
    for selection, told_no_more in (
        (Selection(), (("scorer", ""),)),
        (Selection(unknown_tables=True), (("scorer", ""),)),
        (Selection(unknown_tables=True, runs=("b",)), ()),
    ):
        assert settled(base, [], selection, rechecked=False) == told_no_more
    assert settled(base, [one], Selection(), rechecked=True) == ()


def test_what_is_found_again_stays_told_as_it_is_now(path: Path) -> None:
    assert export(path, *FIRST, append=True).details["unchanged"] is True
    otherwise = gap("scorer", "", OBJECT_UNREADABLE, "page 2")
    export(path, OF_EXPERIMENTS, OF_A_TABLE, otherwise, append=True)
    assert told(path) == {OF_EXPERIMENTS, OF_A_TABLE, otherwise, *STAYS}
    assert newest(path) == (3, (("scorer", ""),))


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], {}, "source", ["ab"], [["source"]], [["source", 1]], [["source", "a", "b"]], [["run", "a"]]),
        *([["source", "b"], ["source", "a"]], [["source", "a"], ["source", "a"]]),
    ],
)
def test_what_is_no_list_of_such_pairs_is_refused(path: Path, value: Any) -> None:
    with open_archive(path) as archive:
        member = archive.members.open("manifest.json")
        document = json.loads(member.read_at(0, member.size))
    document["exports"][0]["settled"] = value
    with pytest.raises(
        DamagedError, match=r"^E002: m is no valid manifest: exports\[0\].settled is .*, expected sorted"
    ):
        decode(canonical_json(document), where="m")
