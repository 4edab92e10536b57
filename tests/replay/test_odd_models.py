"""Logged models that do not fit: metrics and runs that are not there, and targets that know no logged models."""

from __future__ import annotations

from typing import Any, cast

from mlflow_archive.errors import ServerError
from mlflow_archive.format import refusals
from mlflow_archive.sinks.replay import Target
from tests.replay.conftest import Place
from tests.replay.looking import logged_models, runs, versions
from tests.replay.small import LOST, MODEL, RUN, logged_model, point, small
from tests.support.chunks import ChunkSource, chunk, experiment, run


def models(*rows: dict[str, Any], **tables: Any) -> ChunkSource:
    first = chunk(experiments=[experiment("5", "main")])
    made = chunk(runs=[run(RUN, "5", run_name="only")])
    return ChunkSource((0, [first]), (1, [made]), (2, [chunk(logged_models=rows, **tables)]))


def test_points_that_no_run_of_the_target_has_are_refused_or_counted(store_place: Place) -> None:
    rows = [
        point(run_id=""),
        point(run_id="f" * 32),
        point(run_id="f" * 32, step=2),
        point(key="odd$"),
        point(timestamp=-1),
        point(key="fine", dataset_name="d", dataset_digest="1"),
        point(key="half", dataset_name="d"),
    ]
    report = store_place.replay_source(models(logged_model(MODEL, "a"), logged_model_metrics=rows))
    assert [(gap.owner_id, gap.path, gap.code, gap.reason[:30]) for gap in report.gaps] == [
        (MODEL, "m", refusals.METRIC_REFUSED, "1 points: no run has them"),
        (MODEL, "odd$", refusals.METRIC_REFUSED, "1 points: MLflow takes no metr"),
    ]
    metrics = logged_models(store_place, "main")["a"].metrics
    found = sorted((metric.key, metric.dataset_name, metric.dataset_digest) for metric in metrics)
    assert found == [("fine", "d", "1"), ("half", None, None), ("m", None, None)]
    assert [metric.timestamp for metric in metrics if metric.key == "m"] == [0]
    assert report.details["changed"] == {
        "model_points_without_run": 2,
        "points_without_their_dataset": 1,
        "points_before_1970": 1,
    }
    (note,) = cast("list[str]", report.details["notes"])
    assert note.endswith("left out: 2 of metric points of logged models to their runs")


def test_a_model_of_a_run_that_is_not_there(store_place: Place) -> None:
    row = logged_model(MODEL, "a.b/c", source_run_id="f" * 32, status="7", status_message="why")
    report = store_place.replay_source(models(row))
    assert report.gaps == []
    assert report.details["changed"] == {
        "logged_model_name": 1,
        "logged_model_without_its_run": 1,
        "logged_model_status": 1,
        "logged_model_status_message": 1,
    }
    model = logged_models(store_place, "main")["a_b_c"]
    assert not model.source_run_id
    assert model.tags["mlflow_export_import.logged_model.source_run_id"] == "f" * 32
    assert model.tags["mlflow_export_import.logged_model.name"] == "a.b/c"


def test_a_newer_export_adds_what_is_new(store_place: Place) -> None:
    store_place.replay_source(models(logged_model(MODEL, "a", status="PENDING")))
    params = [{"model_id": MODEL, "key": "p", "value": "1"}]
    later = models(
        logged_model(MODEL, "a", last_updated_timestamp=9), logged_model_params=params, logged_model_metrics=[point()]
    )
    report = store_place.replay_source(later)
    assert report.details["outcomes"] == {"logged_model": {"created": 0, "updated": 1, "skipped": 0}}
    model = logged_models(store_place, "main")["a"]
    assert (str(model.status), model.params, len(model.metrics)) == ("READY", {"p": "1"}, 1)
    params[0]["value"] = "2"
    report = store_place.replay_source(models(logged_model(MODEL, "a"), logged_model_params=params))
    assert [(gap.path, gap.code) for gap in report.gaps] == [("p", refusals.PARAM_REFUSED)]


def test_links_to_models_of_an_earlier_import(store_place: Place) -> None:
    store_place.replay_source(models(logged_model(MODEL, "a")))
    links = [{"run_id": RUN, "model_id": model, "step": 1} for model in (MODEL, LOST)]
    first = chunk(experiments=[experiment("5", "main")])
    made = chunk(runs=[run(RUN, "5", run_name="only")], model_outputs=links)
    report = store_place.replay_source(ChunkSource((0, [first]), (1, [made])))
    assert (report.gaps, report.details["changed"]) == ([], {"links_to_models_not_there": 1})
    [output] = runs(store_place, "main")["only"].outputs.model_outputs
    assert output.model_id == logged_models(store_place, "main")["a"].model_id


class OlderApi:
    """The API of a server that knows no logged models."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        def call(path: str, *args: Any, **kwargs: Any) -> Any:
            if "logged-models" in path or path.endswith("runs/outputs"):
                raise ServerError(f"{path} does not exist there (404)", status=404)
            return getattr(self._api, name)(path, *args, **kwargs)

        return call


class OlderTarget:
    def __init__(self, target: Target) -> None:
        self._target = target
        self.api = OlderApi(target.api)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


def test_an_older_target_gets_all_but_logged_models(store_place: Place) -> None:
    for expected in (2, 0):
        report = store_place.replay_source(small(), wrap=lambda target: cast("Target", OlderTarget(target)))
        [gap] = report.gaps
        assert (gap.owner_kind, gap.owner_id, gap.code) == ("logged_model", "", refusals.KIND_REFUSED)
        assert gap.reason.startswith("2 logged models")
        outcomes: Any = report.details["outcomes"]
        assert outcomes["registered_model"]["created"] == expected
    found, carriers = versions(store_place, "model"), runs(store_place, "Files of model versions")
    assert sorted(found) == [1, 3, 4]
    assert {run.data.tags["mlflow_archive.carries_files_of"] for run in carriers.values()} == {
        "default/model/3@1",
        "nothing",
    }
    three = carriers["model 3"].info
    assert (found[3].source, found[3].run_id) == (three.artifact_uri, three.run_id)
    assert (store_place.folder / three.experiment_id / three.run_id / "artifacts" / "MLmodel").is_file()
    assert found[1].source == found[4].source == carriers["no files"].info.artifact_uri
