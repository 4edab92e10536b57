"""Replay into a real server and a real store: everything arrives, or is told."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest

from mlflow_archive.flow.chunk import Chunk
from tests.sinks.conftest import Place
from tests.sinks.replayed import HISTORY, MLMODEL, A, B, C, D, P, counts, one_run, state, whole
from tests.support.chunks import FACTS, ChunkSource, artifact, chunk, experiment, pairs, points, run


def test_everything_arrives(place: Place) -> None:
    report = place.replay(whole(place.name))
    assert report.gaps == []
    assert counts(report) == (4, 0, 0)
    runs = place.runs()
    parent, child = runs["parent"], runs["child"]
    assert (parent.info.start_time, parent.info.end_time) == (1655004878844, 1655004883611)
    assert (parent.info.status, parent.info.user_id) == ("FINISHED", "ada")
    assert parent.data.params == {"p": "1", "ünï/ço": "ü", "empty": ""}
    assert (runs["running"].info.status, runs["running"].info.end_time) == ("RUNNING", None)
    assert (runs["deleted"].info.lifecycle_stage, runs["deleted"].info.status) == ("deleted", "FAILED")
    assert parent.data.tags["odd$key"] == "kept"
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.tags[f"{P}mlflow.parentRunId"] == A
    assert not [key for run in runs.values() for key in run.data.tags if key.startswith("mlflow_archive.")]
    client = place.client()
    loss = [(m.step, m.timestamp, repr(m.value)) for m in client.get_metric_history(parent.info.run_id, "loss")]
    assert sorted(loss) == [
        (0, 1655004879000, "0.5"),
        (1, 1655004880000, "nan"),
        (2, 1655004881000, "0.30000000000000004"),
    ]
    (negative,) = client.get_metric_history(parent.info.run_id, "neg")
    assert (negative.step, negative.timestamp, negative.value) == (-3, 0, -1e-300)
    (item,) = client.get_run(parent.info.run_id).inputs.dataset_inputs
    assert (item.dataset.name, item.dataset.digest, item.dataset.profile) == ("data", "abc", '{"rows": 1}')
    assert [(tag.key, tag.value) for tag in item.tags] == [("mlflow.data.context", "t")]
    assert report.details["runs"] == {
        source: runs[name].info.run_id for source, name in ((A, "parent"), (B, "child"), (C, "deleted"), (D, "running"))
    }


def test_references_to_the_run_itself_are_remapped(place: Place) -> None:
    report = place.replay(whole(place.name))
    parent = place.runs()["parent"]
    new_id = parent.info.run_id
    assert place.files(parent) == {
        "model/MLmodel": MLMODEL.replace(A.encode(), new_id.encode()),
        "a b/ü 100%.txt": b"\x00odd",
        "empty": b"",
    }
    assert parent.data.tags["mlflow.log-model.history"] == HISTORY.replace(A, new_id)
    assert parent.data.tags[f"{P}mlflow.log-model.history"] == HISTORY
    assert cast("dict[str, int]", report.details["changed"])["mlmodel_run_id"] == 1


def test_source_tags(place: Place) -> None:
    place.replay(whole(place.name))
    tags = place.runs()["parent"].data.tags
    assert {key: value for key, value in tags.items() if key.startswith((f"{P}run_info.", f"{P}metadata."))} == {
        f"{P}run_info.run_id": A,
        f"{P}run_info.run_name": "parent",
        f"{P}run_info.experiment_id": "5",
        f"{P}run_info.user_id": "ada",
        f"{P}run_info.status": "FINISHED",
        f"{P}run_info.start_time": "1655004878844",
        f"{P}run_info.end_time": "1655004883611",
        f"{P}run_info.lifecycle_stage": "active",
        f"{P}run_info.artifact_uri": f"s3://old/5/{A}/artifacts",
        f"{P}metadata.mlflow_version": "2.19.0",
        f"{P}metadata.tracking_uri": "http://source:5000",
        f"{P}metadata.experiment_name": place.name,
        f"{P}metadata.timestamp": "1655007510",
        f"{P}metadata.timestamp_nice": "2022-06-12 04:18:30",
    }
    made = place.client().get_experiment_by_name(place.name)
    assert made.tags["mlflow.note.content"] == "about"
    assert made.tags[f"{P}experiment.artifact_location"] == "s3://old/5"
    assert "s3://" not in made.artifact_location


def test_what_the_target_cannot_hold_is_shortened_and_told(place: Place) -> None:
    source = one_run(
        place.name,
        runs=[run(A, "5", run_name="n" * 300)],
        params=pairs(A, {"p": "v" * 7000, "k" * 300: "1"}),
        tags=pairs(A, {"t": "w" * 9000}),
        metrics=points(A, "m" * 260, [1.0]),
    )
    report = place.replay(source)
    (only,) = place.runs().values()
    assert only.data.params["p"].startswith("v" * 5976 + "…sha256:")
    assert len(only.data.params["p"]) == 6000
    assert len(only.data.tags["t"]) == 8000
    assert {len(key) for key in (*only.data.params, *only.data.metrics)} == {1, 250}
    assert len(only.info.run_name) == 250
    shortened = cast("list[dict[str, Any]]", report.details["shortened"])
    assert {(entry["owner"], entry["kind"], entry["length"]) for entry in shortened} == {
        (A, "run name", 300),
        (A, "param", 7000),
        (A, "param key", 300),
        (A, "tag", 9000),
        (A, "metric key", 260),
    }
    assert report.gaps == []
    assert counts(place.replay(source)) == (0, 0, 1)


def test_what_the_target_refuses_is_listed_and_the_rest_goes_on(place: Place) -> None:
    source = one_run(
        place.name,
        artifacts=[artifact(A, "../out", b"x"), artifact(A, "fine", b"y")],
        params=pairs(A, {"bad$": "1", "good": "2"}),
        metrics=[
            *points(A, "a//b", [1.0, 2.0]),
            {"run_id": A, "key": "old", "step": 0, "timestamp": -5, "value": 1.0},
            *points(A, "good", [3.0, math.inf]),
            *points(A, "good", [3.0]),
            *points(A, "zero", [-0.0]),
        ],
        dataset_inputs=[{"run_id": A, "dataset_name": "gone", "dataset_digest": "1"}],
    )
    report = place.replay(source)
    only = place.runs()["only"]
    assert sorted((gap.owner_id, gap.path, gap.code) for gap in report.gaps) == [
        (A, "../out", "R107"),
        (A, "a//b", "R103"),
        (A, "bad$", "R102"),
        (A, "gone", "R105"),
    ]
    (old,) = place.client().get_metric_history(only.info.run_id, "old")
    assert (old.value, old.timestamp) == (1.0, 0)
    assert only.data.params == {"good": "2"}
    assert place.files(only) == {"fine": b"y"}
    assert only.info.status == "FINISHED"
    changed = cast("dict[str, int]", report.details["changed"])
    counted = [changed[f"{what}_points"] for what in ("infinite", "repeated", "negative_zero")]
    assert counted == [1, 1, 1]


def test_one_bad_run_does_not_stop_the_others(place: Place) -> None:
    first = chunk(experiments=[experiment("5", place.name)])
    bad, good = run(A, "99", run_name="bad"), run(B, "5", run_name="good")
    report = place.replay(ChunkSource((0, [first]), (1, [chunk(runs=[bad, good])])))
    assert [(gap.owner_id, gap.code) for gap in report.gaps] == [(A, "R101")]
    assert place.runs().keys() == {"good"}


@pytest.mark.parametrize("source_tags", [True, False])
def test_a_child_without_its_parent_is_imported_and_told(place: Place, source_tags: bool) -> None:
    source = one_run(place.name, tags=pairs(A, {"mlflow.parentRunId": B}))
    report = place.replay(source, source_tags=source_tags)
    tags = place.runs()["only"].data.tags
    assert report.details["missing_parents"] == [{"run": A, "parent": B}]
    assert tags.get("mlflow.parentRunId") == (None if source_tags else B)
    assert tags.get(f"{P}mlflow.parentRunId") == (B if source_tags else None)


def test_dry_run_writes_nothing_and_says_what_it_would(place: Place) -> None:
    report = place.replay(whole(place.name), dry_run=True)
    assert counts(report) == (4, 0, 0)
    assert place.client().get_experiment_by_name(place.name) is None
    place.replay(one_run(place.name))
    before = state(place)
    report = place.replay(one_run(place.name, params=pairs(A, {"p": "1"})), dry_run=True)
    assert counts(report) == (0, 1, 0)
    assert state(place) == before


def test_importer_as_user(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "grace")
    place.replay(one_run(place.name, tags=pairs(A, {"mlflow.user": "ada"})), user="importer")
    only = place.runs()["only"]
    assert (only.info.user_id, only.data.tags["mlflow.user"]) == ("grace", "grace")
    assert only.data.tags[f"{P}run_info.user_id"] == "ada"


def test_two_hops_stay_traceable(place: Place) -> None:
    place.replay(one_run(place.name))
    first = place.runs()["only"]
    hop = one_run(
        f"{place.name}-2",
        first.info.run_id,
        tags=pairs(first.info.run_id, dict(first.data.tags)),
    )
    place.replay(hop)
    second = place.runs(f"{place.name}-2")["only"]
    third = one_run(f"{place.name}-3", second.info.run_id, tags=pairs(second.info.run_id, dict(second.data.tags)))
    place.replay(third)
    tags = place.runs(f"{place.name}-3")["only"].data.tags
    assert tags[f"{P}run_info.run_id"] == second.info.run_id
    assert tags[f"{P}lineage.1.run_info.run_id"] == first.info.run_id
    assert tags[f"{P}lineage.2.run_info.run_id"] == A


def test_an_unknown_export_time_gives_no_time_tag(place: Place) -> None:
    facts = type(FACTS)(kind="archive", uri="http://source")
    rows: list[Chunk] = [chunk(experiments=[experiment("5", place.name)], runs=[run(A, "5", run_name="only")])]
    place.replay(ChunkSource((0, rows), facts=facts))
    tags = place.runs()["only"].data.tags
    assert {key for key in tags if key.startswith(f"{P}metadata.")} == {
        f"{P}metadata.tracking_uri",
        f"{P}metadata.experiment_name",
    }
