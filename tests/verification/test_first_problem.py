"""What is checked before an archive is taken: which members, which artifacts, and what is raised first."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlflow_archive.errors import DamagedError, ElsewhereError
from mlflow_archive.flow.report import Quiet
from mlflow_archive.kinds import IDENTITIES
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.verification import taken
from mlflow_archive.verification.report import Level, VerifyReport
from mlflow_archive.verification.taken import _artifacts, _check_waits, _raise_first, _selected_ids, check_taken
from tests.spec.drafts import (
    EMPTY,
    HELLO,
    PACK,
    RUN_A,
    RUN_B,
    WORLD,
    Draft,
    Frame,
    Row,
    build,
    compress,
    part,
    sha,
    write_directory,
)
from tests.spec.faults import change, cut, flipped, lying_frame, member
from tests.support.chunks import table


def archive(path: Path, **edits: Any) -> Archive:
    write_directory(build(Draft(**edits)), path)
    return open_archive(path)


def refusal(opened: Archive) -> DamagedError:
    with opened, pytest.raises(DamagedError) as caught:
        check_taken(opened)
    return caught.value


def test_of_several_members_that_are_bad_the_largest_is_told(tmp_path: Path) -> None:
    def edit(document: Row) -> None:
        for name in ("blobs", "params", "runs"):
            member(part(name), sha256="0" * 64)(document)

    opened = archive(tmp_path, manifest=edit)
    largest = max(
        (each for each in opened.manifest.members if each.sha256 == "0" * 64), key=lambda each: each.size
    ).path
    error = refusal(opened)
    right = hashlib.sha256((tmp_path / largest).read_bytes()).hexdigest()
    stated = f"the manifest states {'0' * 64}"
    assert str(error) == f"E012: {tmp_path}: {largest}: its SHA-256 is {right}, {stated}"
    assert (error.code, error.member) == ("E012", largest)


def test_the_first_error_is_raised_and_no_warning(tmp_path: Path) -> None:
    report = VerifyReport(level=Level.FULL, archive_id="x")
    _raise_first(report)
    report.add("W007", "tables/a", "in another order")
    _raise_first(report)
    report.add("E035", "", "twice")
    report.add("E051", "tables/b", "unknown")
    with pytest.raises(DamagedError) as caught:
        _raise_first(report)
    assert (str(caught.value), caught.value.code, caught.value.member) == ("E035: twice", "E035", None)
    del report.problems[1]
    with pytest.raises(DamagedError) as caught:
        _raise_first(report)
    assert (str(caught.value), caught.value.code, caught.value.member) == ("E051: unknown", "E051", "tables/b")
    with archive(
        tmp_path, tables=lambda tables: tables.update({part("params"): tables[part("params")].take([1, 0, 2, 3])})
    ) as opened:
        check_taken(opened)


def test_only_files_of_runs_and_logged_models_may_wait_for_the_base() -> None:
    error = ElsewhereError("blob d lies in the base")
    for kind in ("run", "logged_model"):
        _check_waits(kind, "run a, artifact 'f'", error)
    for kind in ("trace", "", "registered_model"):
        with pytest.raises(ElsewhereError) as caught:
            _check_waits(kind, "trace t, artifact 'f'", error)
        assert str(caught.value) == "trace t, artifact 'f': blob d lies in the base"


class Stored:
    """Artifacts of an archive, in batches."""

    def __init__(self, *batches: list[tuple[str, str, str, int]]) -> None:
        names = ("owner_id", "owner_kind", "path", "size")
        self._batches = [
            table("artifacts", [{**dict(zip(names, row, strict=True)), "digest": ""} for row in rows])
            for rows in batches
        ]

    def batches(self, name: str) -> list[pa.Table]:
        assert name == "artifacts"
        return self._batches


def chosen(stored: Stored, selection: Selection, *ids: str) -> list[list[str]]:
    """Return the paths that are selected, as they come."""
    only = pa.array(ids, pa.string()) if ids else None
    return [[row["path"] for row in rows] for rows in _artifacts(stored, selection, only)]  # type: ignore[arg-type]


def test_each_artifact_that_is_selected_comes_once_and_not_too_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a", "run", f"f{number}", number) for number in range(5)]
    stored = Stored(rows[:5], [], [("b", "run", "g", 9)])
    monkeypatch.setattr(taken, "_AT_ONCE", 2)
    assert chosen(stored, Selection()) == [["f0", "f1"], ["f2", "f3"], ["f4"], ["g"]]
    assert chosen(stored, Selection(max_artifact_size=3)) == [["f0", "f1"], ["f2", "f3"], [], []]
    assert chosen(stored, Selection(), "b") == [["g"]]
    assert chosen(stored, Selection(artifacts=False)) == []
    monkeypatch.setattr(taken, "_AT_ONCE", 5)
    assert chosen(stored, Selection(artifact_globs=("f?",))) == [["f0", "f1", "f2", "f3", "f4"], []]


def test_files_of_what_no_single_id_names_are_looked_at_for_any_selection() -> None:
    """Their ids are texts put together of several: which of these are selected is found out when they are read."""
    of_several = next(kind for kind, table in IDENTITIES.items() if len(table.owner) > 1)
    of_one = next(kind for kind, table in IDENTITIES.items() if len(table.owner) == 1 and kind != "run")
    stored = Stored([("x", of_one, "one", 1), ("x", of_several, "several", 1), ("r", "run", "run", 1)])
    assert chosen(stored, Selection(), "r") == [["several", "run"]]
    assert chosen(stored, Selection(), "x") == [["one", "several"]]
    assert chosen(stored, Selection()) == [["one", "several", "run"]]


def test_the_ids_of_all_that_is_selected_are_sorted_and_everything_has_none(tmp_path: Path) -> None:
    with archive(tmp_path) as opened:
        assert _selected_ids(opened, Selection()) is None
        ids = _selected_ids(opened, Selection(runs=(RUN_B, RUN_A)))
        assert ids is not None
        assert ids.to_pylist() == ["1", RUN_A, RUN_B]


def test_the_sizes_of_a_cut_blob_are_added_up_and_each_of_its_frames_is_looked_at(tmp_path: Path) -> None:
    pieces = [(0, WORLD[:5]), (5, WORLD[5:])]
    with archive(tmp_path / "a", frames=cut(WORLD, *pieces)) as opened:
        check_taken(opened)

    def edit(frames: list[Frame]) -> None:
        cut(WORLD, *pieces)(frames)
        frames[-1].encoded = lying_frame(len(WORLD) - 6, compress(WORLD[5:]))

    opened = archive(tmp_path / "b", frames=edit)
    at = max(opened.table("blobs")["frame_offset"].to_pylist())
    error = refusal(opened)
    assert str(error) == f"E044: {PACK}: an extent lies outside of the frame at byte {at}"


@pytest.mark.parametrize(("data", "size"), [(EMPTY, 1), (HELLO, len(HELLO) - 1)])
def test_an_artifact_that_states_another_size_than_its_blob(tmp_path: Path, data: bytes, size: int) -> None:
    def edit(rows: dict[str, list[Row]]) -> None:
        [row] = [row for row in rows["artifacts"] if row["digest"] == sha(data)]
        row["size"] = size

    opened = archive(tmp_path, rows=edit)
    [row] = [row for row in opened.table("artifacts").to_pylist() if row["digest"] == sha(data)]
    artifact = f"run {row['owner_id']}, artifact {row['path']!r}"
    error = refusal(opened)
    assert str(error) == f"E052: {artifact}: it states {size} bytes, its blob has {len(data)}"


def test_an_artifact_whose_blob_is_not_there(tmp_path: Path) -> None:
    def edit(rows: dict[str, list[Row]]) -> None:
        rows["artifacts"][1]["digest"] = "0" * 64

    said = f"run {RUN_A}, artifact 'empty': its blob {'0' * 64} is not in the archive"
    assert str(refusal(archive(tmp_path / "a", rows=edit))) == f"E050: {said}"
    with open_archive(tmp_path / "a") as opened:
        check_taken(opened, Selection(artifact_globs=("*.txt",)))
        check_taken(opened, Selection(runs=(RUN_B,)))


class Steps(Quiet):
    """Adds up what is expected and what is done."""

    def __init__(self) -> None:
        self.expected: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    def expect(self, unit: str, amount: int) -> None:
        self.expected[unit] += amount

    def advance(self, unit: str, amount: int) -> None:
        self.done[unit] += amount


def test_without_artifacts_no_pack_is_read_and_without_its_run_no_part(tmp_path: Path) -> None:
    damaged = change(PACK, lambda data: flipped(data, 3))
    opened = archive(tmp_path, files=damaged)
    sizes = {each.path: each.size for each in opened.manifest.members if each.kind != "text"}
    for selection, unread in (
        (Selection(artifacts=False), [PACK]),
        (Selection(runs=(RUN_B,), artifacts=False), [PACK, part("metrics")]),
    ):
        steps = Steps()
        check_taken(opened, selection, progress=steps)
        assert steps.expected == steps.done == {"bytes": sum(sizes.values()) - sum(sizes[name] for name in unread)}
    assert refusal(opened).member == PACK
