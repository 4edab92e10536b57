"""What is purged: rows first, then the files that the archive has, and what is said where one of the two stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from mlflow_archive.artifact_roots import ArtifactRoots, ArtifactWriteError
from mlflow_archive.kinds import LOGGED_MODEL, RUN, TRACE
from mlflow_archive.retiring.database_site import DatabaseSite
from mlflow_archive.retiring.judging import Stay
from mlflow_archive.retiring.kept import KeptEntities
from mlflow_archive.retiring.purge import Purge
from mlflow_archive.retiring.purged_files import PurgedFiles, end_purge, is_kept
from mlflow_archive.retiring.receipt import RetiredObject, RetireReceipt
from mlflow_archive.retiring.site import Address
from tests.retiring.memory_site import MemoryArchive, MemorySite, beside, entries_of, site_of

FILES = ("a.txt", "docs/b.txt", "traces.json", "traces.pb")


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def left_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def archive_of(
    kind: str, object_id: str, *, tags: dict[str, str] | None = None, paths: Sequence[str] = FILES, **row: Any
) -> MemoryArchive:
    site = MemorySite()
    site.objects[kind, object_id] = {"experiment_id": "1", **row}
    archive = MemoryArchive(site)
    archive.paths[object_id], archive.tags_of[object_id] = list(paths), tags or {}
    return archive


def files_of(archive: MemoryArchive, *, of_server: bool = False, **roots: Any) -> PurgedFiles:
    asked = ArtifactRoots(**roots)
    return PurgedFiles(cast("KeptEntities", archive), lambda workspace: asked, of_server)


def entry(kind: str, object_id: str = "x", **fields: Any) -> RetiredObject:
    return RetiredObject(kind=kind, id=object_id, **{"state": "purging", **fields})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path / "x", *FILES, "beside.txt", "docs/beside.txt")
    return tmp_path / "x"


@pytest.mark.parametrize(("kind", "column"), [(RUN, "artifact_uri"), (LOGGED_MODEL, "artifact_location")])
def test_the_files_that_the_archive_has_go_and_others_stay(folder: Path, kind: str, column: str) -> None:
    row: dict[str, Any] = {"run_id": "x"} if kind == RUN else {"model_id": "x", "name": "n"}
    files = files_of(archive_of(kind, "x", **{**row, column: str(folder)}))
    files.remove(entry(kind))
    assert left_in(folder) == ["beside.txt", "docs/beside.txt"]
    files.remove(entry(kind))
    assert left_in(folder) == ["beside.txt", "docs/beside.txt"]


def test_where_an_object_has_no_files_or_no_place_nothing_is_touched(folder: Path) -> None:
    files_of(archive_of(RUN, "x", run_id="x", artifact_uri=str(folder), paths=())).remove(entry(RUN))
    files_of(archive_of(RUN, "x", run_id="x", artifact_uri=None)).remove(entry(RUN))
    files_of(archive_of(TRACE, "x", trace_id="x", request_time=1)).remove(entry(TRACE))
    assert len(left_in(folder)) == 6


def test_the_workspace_of_an_object_says_where_its_files_lie(folder: Path) -> None:
    asked: list[str | None] = []

    def roots(workspace: str | None) -> ArtifactRoots:
        asked.append(workspace)
        return ArtifactRoots()

    archive = archive_of(RUN, "x", run_id="x", artifact_uri=str(folder))
    PurgedFiles(cast("KeptEntities", archive), roots).remove(entry(RUN, workspace="team"))
    assert (asked, left_in(folder)) == (["team"], ["beside.txt", "docs/beside.txt"])


ARTIFACTS, ARCHIVED, HOME = "mlflow.artifactLocation", "mlflow.trace.archiveLocation", "mlflow.trace.spansLocation"


def test_a_trace_has_files_in_two_places_both_of_them_its_own(tmp_path: Path, folder: Path) -> None:
    put(tmp_path / "spans" / "x" / "deep", *FILES, "beside.txt")
    tags = {ARTIFACTS: str(folder), ARCHIVED: str(tmp_path / "spans" / "x" / "deep"), "other": str(tmp_path)}
    files_of(archive_of(TRACE, "x", tags=tags, trace_id="x", request_time=1)).remove(entry(TRACE))
    assert left_in(folder) == ["beside.txt", "docs/beside.txt"]
    assert left_in(tmp_path / "spans") == ["x/deep/beside.txt"]
    for name in (ARTIFACTS, ARCHIVED):
        shared = {**tags, name: str(tmp_path / "xy")}
        with pytest.raises(ArtifactWriteError) as caught:
            files_of(archive_of(TRACE, "x", tags=shared, trace_id="x", request_time=1)).remove(entry(TRACE))
        assert str(caught.value) == f"{tmp_path / 'xy'} is not the place of this trace alone"


def test_of_a_server_files_go_where_the_user_says_which_place_it_is(tmp_path: Path, folder: Path) -> None:
    archive = archive_of(RUN, "x", run_id="x", artifact_uri="/srv/x")
    with pytest.raises(ArtifactWriteError) as caught:
        files_of(archive, of_server=True).remove(entry(RUN))
    assert str(caught.value) == (
        "/srv/x is a folder of the server; remove them there, or say where it is: --artifact-map FROM=TO"
    )
    files_of(archive, of_server=True, artifact_map=[("/srv", str(tmp_path))]).remove(entry(RUN))
    assert left_in(folder) == ["beside.txt", "docs/beside.txt"]


@pytest.mark.parametrize("home", ["ARCHIVE_REPO", "TRACKING_STORE", None])
def test_spans_that_a_server_has_moved_it_removes_itself(tmp_path: Path, folder: Path, home: str | None) -> None:
    given: dict[str, Any] = {"artifact_map": [("/srv", str(tmp_path))]}
    put(tmp_path / "moved" / "x", *FILES)
    tags = {ARTIFACTS: "/srv/x", ARCHIVED: "/srv/moved/x", **({HOME: home} if home else {})}
    archive = archive_of(TRACE, "x", tags=tags, trace_id="x", request_time=1)
    files_of(archive, of_server=True, **given).remove(entry(TRACE))
    of_server = home == "ARCHIVE_REPO"
    spans = ["traces.json", "traces.pb"] if of_server else []
    assert left_in(folder) == ["beside.txt", "docs/beside.txt", *spans]
    assert left_in(tmp_path / "moved") == ([f"x/{name}" for name in FILES] if of_server else [])
    files_of(archive, **given).remove(entry(TRACE))
    assert (left_in(folder), left_in(tmp_path / "moved")) == (["beside.txt", "docs/beside.txt"], [])
    only_spans = archive_of(TRACE, "x", tags=tags, trace_id="x", request_time=1, paths=FILES[2:])
    put(folder, *FILES)
    files_of(only_spans, of_server=True, **({} if of_server else given)).remove(entry(TRACE))
    assert ("traces.json" in left_in(folder)) == of_server


def test_a_trace_whose_spans_a_server_moves_may_have_no_place_for_them_yet(tmp_path: Path, folder: Path) -> None:
    tags = {HOME: "ARCHIVE_REPO", ARTIFACTS: "/srv/x"}
    files = files_of(
        archive_of(TRACE, "x", tags=tags, trace_id="x", request_time=1),
        of_server=True,
        artifact_map=[("/srv", str(tmp_path))],
    )
    files.remove(entry(TRACE))
    assert left_in(folder) == ["beside.txt", "docs/beside.txt", "traces.json", "traces.pb"]


def test_what_becomes_of_an_object_whose_rows_or_files_stay(folder: Path) -> None:
    archive = archive_of(RUN, "x", run_id="x", artifact_uri=str(folder))
    entries = [entry(RUN, code="R1", reason="old"), entry(TRACE, "t"), entry(RUN)]
    receipt = RetireReceipt(path=None, facts={}, entries=entries)
    assert not end_purge(receipt, 0, files_of(archive), "something is linked to it")
    assert not end_purge(receipt, 1, files_of(archive), "a review queue has it")
    assert not end_purge(receipt, 2, files_of(archive, of_server=True), "")
    place = f"{folder} is a folder of the server; remove them there, or say where it is: --artifact-map FROM=TO"
    assert [(each.state, each.code, each.reason) for each in receipt.entries] == [
        ("deleted", "R504", "deleted, and not purged: something is linked to it"),
        ("left", "R504", "a review queue has it"),
        ("purging", "R504", f"its rows are purged, and not all its files: {place}"),
    ]
    assert len(left_in(folder)) == 6
    assert end_purge(receipt, 2, files_of(archive), "")
    assert receipt.entries[2] == entry(RUN, state="purged")
    held = is_kept(entry(TRACE), Stay(reason="it is held"))
    assert (held.state, held.code, held.reason) == ("held", "", "it is held")
    kept = is_kept(entry(RUN), Stay(reason="it is held"))
    assert (kept.state, kept.code, kept.reason) == ("deleted", "", "deleted, and not purged: it is held")


class PurgingSite(MemorySite):
    """A site that deletes for good; ``needed`` says by id why an object stays."""

    needed: dict[str, str]

    def sums(self, trace_ids: Sequence[str]) -> dict[str, Any]:
        self._say("sum", *trace_ids)
        return {name: {"spans": (1, 5)} for name in trace_ids}

    def purge_trace(self, trace_id: str, seen: Any) -> str:
        return self._purge(TRACE, trace_id, seen)

    def purge(self, address: Address, numbers: Any) -> str:
        return self._purge(address.kind, address.id, numbers)

    def _purge(self, kind: str, name: str, numbers: Any) -> str:
        self._say("purge", name, *(f"{table}={number}" for table, number in numbers.items()))
        if name not in self.needed:
            del self.objects[kind, name]
        return self.needed.get(name, "")


def purge_of(site: MemorySite, archive: MemoryArchive | None = None, **states: str) -> Purge:
    purging = PurgingSite(objects=site.objects, kinds=(LOGGED_MODEL, RUN, TRACE))
    purging.needed = {}
    archive = archive or MemoryArchive(site)
    receipt = RetireReceipt(path=None, facts={}, entries=entries_of(site, **states))
    return Purge(beside(purging, archive), cast("DatabaseSite", purging), receipt, files_of(archive))


def outcome(purge: Purge) -> dict[str, tuple[str, str, str]]:
    return {each.id: (each.state, each.code, each.reason) for each in purge.receipt.entries}


GONE = ("purged", "", "")


def test_what_runs_made_is_purged_before_them_each_marked_before_its_rows_go() -> None:
    site = site_of("r", "s", "planned", models={"m": "r"}, traces=("t", "u"))
    archive = MemoryArchive(site)
    for kind, name in ((RUN, "r"), (RUN, "s"), (LOGGED_MODEL, "m")):
        site.objects[kind, name]["lifecycle_stage"] = "deleted"
    purge = purge_of(site, archive, r="deleted", s="purging", m="deleted", u="deleted")
    memory, marked = cast("PurgingSite", purge.site), []

    def look(said: str) -> None:
        if said.startswith("purge"):
            [being] = [each for each in purge.receipt.entries if each.id in said.split()]
            marked.append((being.state, being.code, being.reason))

    memory.before = look
    purge.receipt.put(0, replace(purge.receipt.entries[0], code="R1", reason="old"))
    purge.run()
    assert memory.said == [
        *("stages t", "sum t", "read trace t", "purge t spans=(1, 5)"),
        *("stages m", "sum", "read logged_model r", "purge m logged_models=1"),
        *("stages r s", "sum", "read run r s", "purge r runs=1", "purge s runs=1"),
    ]
    assert marked == [("purging", "", "")] * 4
    assert outcome(purge) == {
        **dict.fromkeys("rsmt", GONE),
        "planned": ("planned", "", ""),
        "u": ("deleted", "", ""),
    }
    assert purge.receipt.state == "done"
    assert [step for step in purge.sides.progress.done if step[0] == "purged"] == [("purged", 1)] * 4  # type: ignore[attr-defined]


def test_what_is_brought_back_changed_needed_or_gone_is_not_purged(tmp_path: Path) -> None:
    names = ("back", "changed", "needed", "gone", "killed", "other")
    site = site_of(*names, traces=("away", "renamed", "cut off"))
    for name in names:
        site.objects[RUN, name].update(lifecycle_stage="deleted", artifact_uri=str(tmp_path / name))
        put(tmp_path / name, "f")
    archive = MemoryArchive(site)
    archive.paths = {name: ["f"] for name in names}
    site.objects[RUN, "back"]["lifecycle_stage"] = "active"
    site.objects[RUN, "changed"]["run_name"] = "renamed"
    site.objects[TRACE, "renamed"]["state"] = "ERROR"
    states = {**dict.fromkeys(names, "deleted"), "killed": "purging", "cut off": "purging"}
    purge = purge_of(site, archive, **states)
    for kind, name in ((RUN, "gone"), (RUN, "killed"), (TRACE, "away"), (TRACE, "cut off")):
        del site.objects[kind, name]
    cast("PurgingSite", purge.site).needed = {"needed": "an issue comes from it"}
    purge.run()
    assert outcome(purge) == {
        "back": ("left", "R502", "somebody has brought it back"),
        "changed": ("deleted", "R502", "deleted, and not purged: it is not as the archive holds it: runs"),
        "needed": ("deleted", "R504", "deleted, and not purged: an issue comes from it"),
        "gone": ("deleted", "", ""),
        "killed": GONE,
        "other": GONE,
        "away": ("left", "R502", "it is not at the source any more"),
        "renamed": ("left", "R502", "it is not as the archive holds it: traces"),
        "cut off": GONE,
    }
    assert left_in(tmp_path) == ["back/f", "changed/f", "gone/f", "needed/f"]


def test_where_nothing_may_be_purged_nothing_is_read_of_the_archive() -> None:
    site = site_of("r")
    purge = purge_of(site, r="deleted")
    purge.run()
    assert outcome(purge) == {"r": ("left", "R502", "somebody has brought it back")}
    assert cast("PurgingSite", purge.site).said == ["stages r", "sum"]


def test_many_are_purged_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlflow_archive.retiring.purge.AT_ONCE", 2)
    site = site_of(*"abcde")
    for row in site.objects.values():
        row["lifecycle_stage"] = "deleted"
    purge = purge_of(site, MemoryArchive(site), **dict.fromkeys("abcde", "deleted"))
    purge.run()
    said = cast("PurgingSite", purge.site).said
    assert [each for each in said if each.startswith("stages")] == ["stages a b", "stages c d", "stages e"]
    assert set(outcome(purge).values()) == {GONE}
