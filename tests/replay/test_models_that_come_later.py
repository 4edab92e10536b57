"""Runs that are imported before the logged models which their files name: the import that brings these mends them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from mlflow_archive.errors import ItemError
from mlflow_archive.flow.report import Report
from mlflow_archive.format import refusals
from mlflow_archive.kinds import LOGGED_MODEL, TABLES, is_identity
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import Target
from mlflow_archive.sinks.replay.target.target import TargetArtifacts, TargetRun
from mlflow_archive.sinks.replay.writing.waiting import MISSING, may_have_come, missing_text
from tests.replay.conftest import Place
from tests.replay.looking import files, logged_models, runs, state
from tests.replay.small import LOST, MODEL, RUN, logged_model
from tests.replay.test_odd_models import OlderTarget
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, pairs, run

WITHOUT_MODELS = Selection(
    kinds=tuple(table.entity for table in TABLES.values() if is_identity(table) and table.entity != LOGGED_MODEL)  # type: ignore[misc]
)


def of_run(place: Place, name: str) -> dict[str, bytes]:
    """Return the files of a run of the experiment ``main``."""
    found = runs(place, "main")[name].info
    return files(place.folder / found.experiment_id / found.run_id / "artifacts")


def counts(report: Report) -> tuple[int, int, int]:
    return report.counts["created"], report.counts["updated"], report.counts["skipped"]


def test_files_and_histories_name_the_models_in_the_end(place: Place, archive: Path) -> None:
    place.replay(archive, selection=WITHOUT_MODELS)
    before = runs(place, "main")["old"]
    assert MISSING in before.data.tags
    dry = place.replay(archive, dry_run=True)
    report = place.replay(archive)
    assert report.gaps == []
    assert counts(dry) == counts(report)
    old, shared = runs(place, "main")["old"], logged_models(place, "main")["shared"].model_id
    assert of_run(place, "old") == {"old/MLmodel": f"run_id: {old.info.run_id}\nmodel_id: {shared}\n".encode()}
    assert old.info.run_id == before.info.run_id
    assert json.loads(old.data.tags["mlflow.log-model.history"])[0]["model_id"] == shared
    assert not {key for key in old.data.tags if key.startswith("mlflow_archive.")}
    once = state(place)
    report = place.replay(archive)
    assert counts(report)[:2] == (0, 0)
    assert state(place) == once


def source(*models: dict[str, Any], more: str = "") -> ChunkSource:
    """Return a deleted run with two MLmodel files, one of a model that no archive holds, and logged models."""
    made = chunk(
        [
            artifact(RUN, "a/MLmodel", f"run_id: {RUN}\nmodel_id: {MODEL}\n".encode()),
            artifact(RUN, "b/MLmodel", f"run_id: {RUN}\nmodel_id: {LOST}\n".encode()),
            artifact(RUN, "other", b"1"),
        ],
        runs=[run(RUN, "5", run_name="only", lifecycle_stage="deleted")],
        tags=pairs(RUN, {"t": more}),
    )
    return ChunkSource(
        (0, [chunk(experiments=[experiment("5", "main")])]), (1, [made]), (2, [chunk(logged_models=models)])
    )


def test_a_model_that_never_comes_changes_nothing(store_place: Place) -> None:
    store_place.replay_source(source())
    held = runs(store_place, "main")["only"]
    assert held.data.tags[MISSING] == f"{MODEL},{LOST}"
    assert counts(store_place.replay_source(source())) == (0, 0, 1)
    report = store_place.replay_source(source(logged_model(MODEL, "kept")))
    assert (report.gaps, counts(report)) == ([], (0, 1, 0))
    kept, held = logged_models(store_place, "main")["kept"].model_id, runs(store_place, "main")["only"]
    assert (held.info.lifecycle_stage, held.data.tags[MISSING]) == ("deleted", LOST)
    run_id = held.info.run_id
    expected = {
        "a/MLmodel": f"run_id: {run_id}\nmodel_id: {kept}\n".encode(),
        "b/MLmodel": f"run_id: {run_id}\nmodel_id: {LOST}\n".encode(),
        "other": b"1",
    }
    assert of_run(store_place, "only") == expected
    assert counts(store_place.replay_source(source(logged_model(MODEL, "kept")))) == (0, 0, 1)
    assert counts(store_place.replay_source(source(more="new"))) == (0, 1, 0)
    assert of_run(store_place, "only") == expected, "models of an earlier import are found again"


class _RefusingPlace:
    """The artifacts of a run, of which one is not taken a second time."""

    def __init__(self, place: TargetArtifacts, put: list[str]) -> None:
        self._place, self._put = place, put
        self.sizes = place.sizes

    def put(self, path: str, data: BinaryIO, size: int) -> None:
        if path == "a/MLmodel" and path in self._put:
            raise ItemError("not this one")
        self._put.append(path)
        self._place.put(path, data, size)


class _RefusingTarget:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._put: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def artifacts(self, found: TargetRun) -> _RefusingPlace:
        return _RefusingPlace(self._target.artifacts(found), self._put)


def test_a_file_that_is_refused_keeps_no_other_from_being_mended(store_place: Place) -> None:
    models = [logged_model(MODEL, "kept"), logged_model(LOST, "found")]
    report = store_place.replay_source(source(*models), wrap=lambda target: cast("Target", _RefusingTarget(target)))
    assert [(gap.path, gap.code) for gap in report.gaps] == [("a/MLmodel", refusals.ARTIFACT_REFUSED)]
    found, held = logged_models(store_place, "main")["found"].model_id, runs(store_place, "main")["only"]
    expected = f"run_id: {held.info.run_id}\nmodel_id: {found}\n".encode()
    assert of_run(store_place, "only")["b/MLmodel"] == expected


def test_an_older_target_keeps_the_mark_until_it_is_upgraded(store_place: Place) -> None:
    def older(target: Target) -> Any:
        return OlderTarget(target)

    for _ in range(2):
        report = store_place.replay_source(source(logged_model(MODEL, "kept"), more="1"), wrap=older)
        assert {gap.owner_kind for gap in report.gaps} == {"logged_model"}
    assert counts(report) == (0, 0, 1)
    assert counts(store_place.replay_source(source(logged_model(MODEL, "kept"), more="1"))) == (0, 1, 0)


@pytest.mark.parametrize("number", [1, 3, 200])
def test_too_many_for_a_tag_are_told_apart_all_the_same(number: int) -> None:
    models = [f"m-{n:032x}" for n in range(number)]
    text = missing_text(models, 250)
    assert len(text) <= 250
    assert text != missing_text(models[1:], 250)
    assert may_have_come(text, models[-1:])
    assert not may_have_come(text, [])
    assert missing_text([], 250) == ""
