"""What an append must notice, and what it must refuse: sources that look unchanged, and sources of other archives."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.entities import Metric
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

import mlflow_archive as ma
from mlflow_archive.errors import TargetError
from mlflow_archive.format.fingerprint import Fingerprint
from tests.support.mlruns import Experiment, Point, Run, Store, write_store

RUN_ID = "a" * 32
APPEND = ma.ExportOptions(append=True)


def store(root: Path, *, name: str = "churn", created: int = 1_700_000_000_000, run_id: str = RUN_ID) -> Path:
    """Write a file store of one run with a point and a checkpoint."""
    run = Run(run_id=run_id, metrics=(Point(key="loss", value=1.0, step=100),), artifacts={"last.ckpt": b"epoch 01"})
    experiment = Experiment(experiment_id="1", name=name, creation_time=created, runs=(run,))
    write_store(Store(experiments=(experiment,)), root)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return store(tmp_path / "mlruns")


@pytest.fixture
def archive(tmp_path: Path, root: Path) -> Path:
    path = tmp_path / "a.mlfa"
    ma.export(path, str(root))
    return path


def test_points_logged_later_for_earlier_steps_come_from_a_file_store(root: Path, archive: Path) -> None:
    with next(root.rglob("metrics/loss")).open("a") as points:
        points.write("1700000000500 2.0 50\n")
    ma.export(archive, str(root), options=APPEND)
    with ma.open(archive) as opened:
        assert opened.metrics.to_table(["step"])["step"].to_pylist() == [50, 100]


def test_points_logged_later_for_earlier_steps_come_from_a_database(tmp_path: Path) -> None:
    uri, archive = f"sqlite:///{tmp_path}/m.db", tmp_path / "a.mlfa"
    server = SqlAlchemyStore(uri, str(tmp_path))
    run = server.create_run(server.create_experiment("e"), "u", 1, [], "r").info.run_id
    server.log_batch(run, [Metric("loss", 1.0, 1_000, 100)], [], [])
    ma.export(archive, uri)
    server.log_batch(run, [Metric("loss", 2.0, 500, 50)], [], [])
    ma.export(archive, uri, options=APPEND)
    with ma.open(archive) as opened:
        assert opened.metrics.to_table(["step"])["step"].to_pylist() == [50, 100]


def test_a_file_replaced_by_as_many_bytes_is_read_again(root: Path, archive: Path) -> None:
    checkpoint = next(root.rglob("last.ckpt"))
    changed = checkpoint.stat().st_mtime_ns + 1_000_000
    checkpoint.write_bytes(b"epoch 02")
    os.utime(checkpoint, ns=(changed, changed))
    ma.export(archive, str(root), options=APPEND)
    with ma.open(archive) as opened:
        [digest] = opened.artifacts.to_table(["digest"])["digest"].to_pylist()
    assert digest == hashlib.sha256(b"epoch 02").hexdigest()


def test_what_is_unchanged_is_left_out_but_where_all_is_to_be_read_again(root: Path, archive: Path) -> None:
    assert ma.export(archive, str(root), options=APPEND).details["unchanged"]
    report = ma.export(archive, str(root), options=replace(APPEND, recheck=True))
    assert (report.counts["runs"], report.counts["metrics"]) == (1, 1)
    with ma.open(archive) as opened:
        assert [len(opened.runs), len(opened.metrics), len(opened.exports)] == [1, 1, 2]


@pytest.mark.parametrize(
    ("known", "agrees"),
    [
        ("f", True),
        (Fingerprint("f"), True),
        (Fingerprint("f", "c"), True),
        (Fingerprint("f", "d"), False),
        (None, False),
    ],
)
def test_contents_count_where_both_sides_have_them(known: str | None, *, agrees: bool) -> None:
    assert Fingerprint("f", "c").agrees_with(known) is agrees
    assert Fingerprint("f").agrees_with(known) is (known == "f")


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("other", "difference"),
    [({"created": 1_700_000_000_001}, "was made at another time"), ({"name": "fraud"}, "is 'fraud' there and 'churn'")],
)
def test_another_source_is_refused(
    archive: Path, tmp_path: Path, other: dict[str, object], difference: str, *, dry_run: bool
) -> None:
    elsewhere = store(tmp_path / "other" / "mlruns", run_id="b" * 32, **other)  # type: ignore[arg-type]
    before = archive.read_bytes()
    with pytest.raises(TargetError, match=rf"experiment 1 {difference}.*--same-source"):
        ma.export(archive, str(elsewhere), options=replace(APPEND, dry_run=dry_run))
    assert archive.read_bytes() == before


def test_the_database_made_anew_below_the_same_uri_is_refused(root: Path, archive: Path) -> None:
    for meta in root.rglob("meta.yaml"):
        meta.write_text(meta.read_text().replace("creation_time: 1700000000000", "creation_time: 1800000000000"))
    with pytest.raises(TargetError, match="was made at another time"):
        ma.export(archive, str(root), options=APPEND)


def test_another_source_is_taken_at_the_callers_word(archive: Path, tmp_path: Path) -> None:
    elsewhere = store(tmp_path / "other" / "mlruns", name="fraud", run_id="b" * 32)
    ma.export(archive, str(elsewhere), options=replace(APPEND, same_source=True))
    with ma.open(archive) as opened:
        assert sorted(opened.runs.to_table(["run_id"])["run_id"].to_pylist()) == [RUN_ID, "b" * 32]


def test_an_experiment_that_was_renamed_at_its_place_is_added(root: Path, archive: Path) -> None:
    meta = root / "1" / "meta.yaml"
    meta.write_text(meta.read_text().replace("name: churn", "name: churn 2"))
    ma.export(archive, str(root), options=APPEND)
    with ma.open(archive) as opened:
        assert opened.experiments.to_table(["name"])["name"].to_pylist() == ["churn 2"]


def test_a_link_to_an_archive_stays_one(root: Path, archive: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest.mlfa"
    link.symlink_to("a.mlfa")
    (root / "1" / RUN_ID / "tags" / "later").parent.mkdir(exist_ok=True)
    (root / "1" / RUN_ID / "tags" / "later").write_text("x")
    ma.export(link, str(root), options=APPEND)
    assert link.is_symlink()
    with ma.open(archive) as opened:
        assert opened.run(RUN_ID).tags["later"] == "x"
