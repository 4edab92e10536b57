"""Artifacts of file stores: names, links, places that moved, what a run declares, what cannot be had."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from mlflow_archive.artifact_roots.local import FoundFile
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.chunk import ArtifactUnreadableError
from mlflow_archive.format.gaps import (
    ARTIFACT_LISTING,
    ARTIFACT_MISSING,
    ARTIFACT_NAME,
    ARTIFACT_SIZE,
    ARTIFACT_UNREADABLE,
    FOLDER_UNKNOWN,
)
from mlflow_archive.selecting.selection import Selection
from tests.sources.mlruns_objects import read
from tests.support.mlruns import RUN_ID, one_run
from tests.support.reading import content

HISTORY = "mlflow.log-model.history"


def test_artifact_names_and_bytes(root: Path) -> None:
    files = {"a b/c#d": b"1", "%41": b"2", "what?": b"3", "漢/é": b"", "A": b"4"}
    one_run(root, artifacts=files)
    found = read(root)
    assert {file.path: content(file) for file in found.artifacts} == files
    assert found.paths(RUN_ID) == {path: len(data) for path, data in files.items()}


def test_links_and_strange_files_among_artifacts(root: Path) -> None:
    run = one_run(root, artifacts={"real/file": b"bytes"}) / "artifacts"
    (run / "inside").symlink_to("real/file")
    (run / "outside").symlink_to("/etc/hostname")
    (run / "dangling").symlink_to("nowhere")
    (run / "circle").symlink_to("circle")
    (run / "folder").symlink_to("real", target_is_directory=True)
    os.mkfifo(run / "pipe")
    Path(os.fsdecode(os.fsencode(run) + b"/name\xff")).write_text("1")
    found = read(root)
    assert {file.path: content(file) for file in found.artifacts} == {"inside": b"bytes", "real/file": b"bytes"}
    unreadable = {"outside", "dangling", "circle", "folder", "pipe"}
    assert found.gaps() == {(RUN_ID, name, ARTIFACT_UNREADABLE) for name in unreadable} | {
        (RUN_ID, "name\\xff", ARTIFACT_NAME)
    }


def test_an_artifact_folder_that_is_none_is_a_gap(root: Path) -> None:
    run = one_run(root)
    (run / "artifacts").rmdir()
    (run / "artifacts").write_text("x")
    assert read(root).gaps() == {(RUN_ID, "", ARTIFACT_LISTING)}


def test_an_artifact_that_goes_or_changes_after_the_listing(root: Path) -> None:
    folder = one_run(root, artifacts={"gone": b"1", "grown": b"1", "linked": b"1"}) / "artifacts"
    files = {file.path: file for file in read(root).artifacts}
    (folder / "gone").unlink()
    (folder / "grown").write_bytes(b"12")
    (folder / "linked").unlink()
    (folder / "linked").symlink_to("/etc/hostname")
    for name, code in (("gone", ARTIFACT_MISSING), ("grown", ARTIFACT_SIZE), ("linked", ARTIFACT_UNREADABLE)):
        with pytest.raises(ArtifactUnreadableError) as refused, files[name].open():
            pass
        assert refused.value.code == code


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that opens and cannot be read")
def test_an_error_while_reading_belongs_to_the_artifact() -> None:
    file = FoundFile(path="a", place=Path("/proc/self/mem").resolve(), size=0)
    with pytest.raises(ArtifactUnreadableError), file.open() as stream:
        stream.read(1)


def point_uri(run: Path, uri: str) -> None:
    text = (run / "meta.yaml").read_text("utf-8").splitlines()
    lines = [f"artifact_uri: {json.dumps(uri)}" if line.startswith("artifact_uri:") else line for line in text]
    (run / "meta.yaml").write_text("\n".join(lines) + "\n", "utf-8")


def elsewhere(folder: Path) -> str:
    """Put an artifact into a folder for the run and return that folder's path."""
    place = folder / RUN_ID / "artifacts"
    place.mkdir(parents=True)
    (place / "x.txt").write_bytes(b"xyz")
    return str(place)


def test_artifacts_at_the_uri(root: Path, tmp_path: Path) -> None:
    run = one_run(root)
    place = elsewhere(tmp_path / "far off")
    for uri in (place, Path(place).as_uri()):
        point_uri(run, uri)
        assert read(root).paths(RUN_ID) == {"x.txt": 3}


def test_a_uri_that_is_not_this_runs_is_not_followed(root: Path, tmp_path: Path) -> None:
    run = one_run(root)
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key").write_text("secret")
    (tmp_path / RUN_ID).mkdir()
    for uri in (f"file://{tmp_path}/private", f"{tmp_path}/{RUN_ID}/../private"):
        point_uri(run, uri)
        assert read(root).paths(RUN_ID) == {}


def test_artifacts_of_a_moved_store_outside_their_run(root: Path) -> None:
    """Some stores kept artifacts in a folder of the run's id at the top; once moved, the URI is of no use."""
    run = one_run(root)
    elsewhere(root)
    point_uri(run, f"file:///C:/somewhere/mlruns/{RUN_ID}/artifacts")
    assert read(root).paths(RUN_ID) == {"x.txt": 3}


@pytest.mark.parametrize(
    ("prefix", "uri"),
    [
        ("s3://bucket/root", f"s3://bucket/root/{RUN_ID}/artifacts"),
        ("s3://bucket/root/", f"s3://bucket/root/{RUN_ID}/artifacts"),
        ("file:///old/my%20disk", f"/old/my disk/{RUN_ID}/artifacts"),
        ("/old/my disk", f"file:///old/my%20disk/{RUN_ID}/artifacts"),
    ],
)
def test_the_artifact_map(root: Path, tmp_path: Path, prefix: str, uri: str) -> None:
    point_uri(one_run(root), uri)
    elsewhere(tmp_path / "to")
    found = read(root, artifact_map=[("other://", str(tmp_path)), (prefix, str(tmp_path / "to"))])
    assert found.paths(RUN_ID) == {"x.txt": 3}
    assert found.gaps() == set()


def test_the_artifact_map_matches_whole_parts_and_existing_folders(root: Path, tmp_path: Path) -> None:
    point_uri(one_run(root), f"s3://bucket/root2/{RUN_ID}/artifacts")
    elsewhere(tmp_path / "to" / "2")
    assert read(root, artifact_map=[("s3://bucket/root", str(tmp_path / "to"))]).paths(RUN_ID) == {}
    with pytest.raises(SelectionError, match="there is no folder"):
        read(root, artifact_map=[("s3://bucket", str(tmp_path / "nowhere"))])


@pytest.mark.parametrize("uri", [f"s3://u:pw@bucket/1/{RUN_ID}/artifacts", f"mlflow-artifacts:/1/{RUN_ID}/artifacts"])
def test_artifacts_out_of_reach_are_a_gap(root: Path, uri: str) -> None:
    point_uri(one_run(root), uri)
    found = read(root)
    assert found.gaps() == {(RUN_ID, "", ARTIFACT_LISTING)}
    assert "--artifact-map" in found.tables["gaps"][0]["reason"]
    assert "pw" not in found.tables["gaps"][0]["reason"]
    assert read(root, Selection(artifacts=False)).gaps() == set()


def test_declared_models_that_are_missing_are_gaps(root: Path) -> None:
    entries = [{"artifact_path": "here"}, {"artifact_path": "gone"}, {"artifact_path": "model3", "model_id": "m-1"}]
    one_run(root, tags={HISTORY: json.dumps(entries)}, artifacts={"here/MLmodel": b"x", "gone2/MLmodel": b"x"})
    found = read(root)
    assert found.gaps() == {(RUN_ID, "gone", ARTIFACT_MISSING), (RUN_ID, "model3", ARTIFACT_MISSING)}
    logged = root / "1" / "models" / "m-1" / "artifacts"
    logged.mkdir(parents=True)
    (logged / "MLmodel").write_text("x")
    without_meta = ("1/models/m-1", "", FOLDER_UNKNOWN)
    assert read(root).gaps() == {(RUN_ID, "gone", ARTIFACT_MISSING), without_meta}
    assert read(root, Selection(artifact_globs=("here/*",))).gaps() == {without_meta}


@pytest.mark.parametrize("text", ["", "not JSON", "{}", '[1, {"artifact_path": 3}]', "null"])
def test_a_history_tag_that_says_nothing(root: Path, text: str) -> None:
    one_run(root, tags={HISTORY: text})
    assert read(root).gaps() == set()


def test_a_local_folder_that_git_dropped_is_no_gap(root: Path) -> None:
    run = one_run(root)
    for name in ("artifacts", "params", "metrics"):
        (run / name).rmdir()
    point_uri(run, f"file:///gone/{RUN_ID}/artifacts")
    found = read(root)
    assert found.gaps() == set()
    assert len(found.tables["runs"]) == 1


def test_selected_artifacts(root: Path) -> None:
    one_run(root, artifacts={"a/big.bin": b"x" * 10, "a/small.bin": b"x", "b.txt": b"x"})
    assert set(read(root, Selection(artifact_globs=("a/*",))).paths(RUN_ID)) == {"a/big.bin", "a/small.bin"}
    assert set(read(root, Selection(max_artifact_size=5)).paths(RUN_ID)) == {"a/small.bin", "b.txt"}
    assert read(root, Selection(artifacts=False)).paths(RUN_ID) == {}
