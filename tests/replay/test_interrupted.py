"""A replay that is killed at any request, and run again, ends as one that was not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from mlflow_archive.errors import ServerError
from mlflow_archive.sinks.replay import Target
from mlflow_archive.sinks.replay.writing import failures
from tests.replay.conftest import Place
from tests.replay.looking import aliases, files, files_of_model, logged_models, own_tags, runs, versions
from tests.replay.small import small
from tests.sinks.replayed import Cut, dying
from tests.support.cuts import every


def comparable(place: Place) -> dict[str, Any]:
    """Return what a replay of ``small`` made, by names instead of the target's ids."""
    models, carriers = logged_models(place, "main"), logged_models(place, "Files of model versions")
    [run] = runs(place, "main").values()
    names = {model.model_id: name for name, model in {**models, **carriers}.items()} | {run.info.run_id: "only"}
    found: dict[str, Any] = {
        "models": {
            name: (
                str(model.status),
                model.params,
                own_tags(model.tags),
                sorted(key for key in model.tags if key.startswith("mlflow_archive.")),
                names.get(model.source_run_id),
                sorted((m.key, m.value, m.timestamp, m.step) for m in model.metrics or []),
                {path: _named(data, names) for path, data in files_of_model(place, model).items()},
            )
            for name, model in {**models, **carriers}.items()
        },
        "active": sorted(m.name for m in place.client.search_logged_models([place.experiment("main")])),
        "outputs": sorted((names[o.model_id], o.step) for o in run.outputs.model_outputs),
        "inputs": [names[i.model_id] for i in run.inputs.model_inputs],
        "run files": {
            path: _named(data, names)
            for path, data in files(place.folder / run.info.experiment_id / run.info.run_id / "artifacts").items()
        },
        "points": [m.value for m in place.client.get_metric_history(run.info.run_id, "m")],
    }
    registry = place.client._get_registry_client()
    for name in ("model", "prompt"):
        model = registry.get_registered_model(place.name(name))
        found[name] = (model.description, own_tags(model._tags), aliases(model))
        found[f"{name} versions"] = {
            number: (
                v.description,
                v.current_stage,
                own_tags(v.tags),
                names.get(v.run_id),
                _named(v.source.encode(), names),
            )
            for number, v in versions(place, name, prompt=name == "prompt").items()
        }
    return found


def _named(data: bytes, names: dict[str, str]) -> str:
    text = data.decode()
    for target_id, name in names.items():
        text = text.replace(target_id, name)
    return text


@pytest.mark.timeout(1200)
def test_killed_anywhere_and_run_again(store_place: Place) -> None:
    """One that dies behind a request is as one that dies before the next."""
    whole = replace(store_place, prefix=f"{store_place.prefix}-whole")
    report = whole.replay_source(small())
    assert report.gaps == []
    expected = comparable(whole)
    assert expected["run files"] == {"model/MLmodel": "run_id: only\nmodel_id: kept\n"}
    assert sorted(expected["model versions"]) == [1, 3, 4]
    assert sorted(expected["prompt versions"]) == [2]
    for after in range(8, 400, every(5)):
        place = replace(store_place, prefix=f"{store_place.prefix}-{after}")
        try:
            place.replay_source(small(), wrap=dying(after, executed=True))
        except Cut:
            assert place.replay_source(small()).gaps == []
            assert comparable(place) == expected, f"cut at request {after}"
            made = place.client.create_model_version(place.name("model"), "s3://bucket/new", await_creation_for=0)
            assert int(made.version) == 6, f"cut at request {after}"
        else:
            assert after > 40, "no request was cut"
            return
    pytest.fail("it never came to an end")


def test_creates_without_an_answer_are_not_done_twice(store_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "WAITS_AFTER_DOUBT_SECONDS", (0.0,) * 8)

    class Doubtful:
        """An API whose creates come to no answer, and are carried out."""

        def __init__(self, api: Any) -> None:
            self._api = api

        def __getattr__(self, name: str) -> Any:
            return getattr(self._api, name)

        def post(self, path: str, body: Any, *, idempotent: bool = True) -> Any:
            answer = self._api.post(path, body, idempotent=idempotent)
            if not idempotent:
                raise ServerError("the connection was dropped before the answer was complete")
            return answer

    class DoubtfulTarget:
        def __init__(self, target: Target) -> None:
            self._target = target
            self.api = Doubtful(target.api)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._target, name)

    whole = replace(store_place, prefix=f"{store_place.prefix}-whole")
    whole.replay_source(small())
    report = store_place.replay_source(small(), wrap=lambda target: cast("Target", DoubtfulTarget(target)))
    assert report.gaps == []
    assert comparable(store_place) == comparable(whole)
