"""Logged models over the API, and which runs took and made them."""

from __future__ import annotations

import pytest

from mlflow_archive.flow.chunk import Known
from mlflow_archive.format import gaps
from mlflow_archive.kinds import LOGGED_MODEL, RUN
from mlflow_archive.sources.rest import logged_models
from tests.sources.rest_reading import files, ids, read
from tests.support.bad_network import bad_network
from tests.support.everything import Filled
from tests.support.filling.runs import MODEL_FILES
from tests.support.mlflow_server import MlflowServer
from tests.support.reading import Read

Everything = tuple[MlflowServer, Filled]


@pytest.fixture(scope="module")
def found(everything: Everything) -> Read:
    return read(everything[0].uri, kinds=(RUN, LOGGED_MODEL))


def test_status_and_stage(everything: Everything, found: Read) -> None:
    names = {model_id: name for name, model_id in everything[1].runs.models.items()}
    states = {names[r["model_id"]]: (r["status"], r["lifecycle_stage"]) for r in found.tables["logged_models"]}
    assert states == {
        "shared": ("READY", "active"),
        "alone": ("READY", "active"),
        "failed": ("FAILED", "active"),
        "pending": ("PENDING", "active"),
        "lost": ("PENDING", "deleted"),
    }


def test_files(everything: Everything, found: Read) -> None:
    models = everything[1].runs.models
    for name in ("shared", "alone"):
        assert files(found, LOGGED_MODEL, models[name]) == {**MODEL_FILES, "name.txt": name.encode()}
    assert files(found, LOGGED_MODEL, models["failed"]) == {}


def test_runs_that_took_and_made_them(everything: Everything, found: Read) -> None:
    """One model that two runs used is one object."""
    runs, models = everything[1].runs.runs, everything[1].runs.models
    taken = {(row["run_id"], row["model_id"]) for row in found.tables["model_inputs"]}
    assert taken == {(runs["child"], models["shared"]), (runs["evaluation"], models["shared"])}
    made = {(row["run_id"], row["model_id"], row["step"]) for row in found.tables["model_outputs"]}
    assert made == {(runs["parent"], models["shared"], 3), (runs["child"], models["lost"], 1)}


def test_metrics_with_their_dataset(everything: Everything, found: Read) -> None:
    shared = everything[1].runs.models["shared"]
    rows = found.rows("logged_model_metrics", model_id=shared, key="accuracy")
    assert {(r["step"], r["value"], r["dataset_name"], r["dataset_digest"]) for r in rows} == {
        (0, 0.75, "iris", "d1"),
        (1, 0.875, "iris", "d1"),
        (2, 0.0, None, None),
    }


def test_small_pages_give_the_same(everything: Everything, found: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logged_models, "PAGE", 1)
    small = read(everything[0].uri, kinds=(RUN, LOGGED_MODEL))
    for name in ("logged_models", "logged_model_params", "logged_model_tags", "logged_model_metrics"):
        assert sorted(map(str, small.tables[name])) == sorted(map(str, found.tables[name]))


def test_unchanged_models_are_left_out(everything: Everything, found: Read) -> None:
    known = {r["owner_id"]: r["fingerprint"] for r in found.rows("fingerprints", owner_kind=LOGGED_MODEL)}
    models = everything[1].runs.models
    assert set(known) == set(models.values())
    del known[models["alone"]]
    seen: Known = lambda kind, each: known.get(each) if kind == LOGGED_MODEL else None  # noqa: E731
    again = read(everything[0].uri, seen, kinds=(LOGGED_MODEL,))
    assert ids(again, "logged_models", "model_id") == {models["alone"]}
    assert {file.owner_id for file in again.artifacts} == {models["alone"]}


@pytest.mark.parametrize(
    ("run", "models"),
    [("parent", {"shared"}), ("evaluation", {"shared"}), ("child", {"shared", "failed", "pending", "lost"})],
)
@pytest.mark.parametrize("kinds", [(), (LOGGED_MODEL,)])
def test_selection_by_run(everything: Everything, run: str, models: set[str], kinds: tuple[str, ...]) -> None:
    """Models that the run made or took, deleted ones too."""
    server, filled = everything
    found = read(server.uri, runs=(filled.runs.runs[run],), kinds=kinds)
    assert ids(found, "logged_models", "model_id") == {filled.runs.models[name] for name in models}
    assert (ids(found, "runs", "run_id") == {filled.runs.runs[run]}) == (not kinds)
    assert ids(found, "experiments", "name") == {"main"}


def test_selection_by_filter(everything: Everything) -> None:
    server, filled = everything
    found = read(server.uri, filter_string="tags.kind = 'parent'", artifacts=False)
    assert ids(found, "logged_models", "model_id") == {filled.runs.models["shared"]}
    assert found.tables["issues"] == found.tables["registered_models"] == []


def test_deleted_ones_can_be_left_out(everything: Everything) -> None:
    server, filled = everything
    found = read(server.uri, deleted=False, artifacts=False)
    assert filled.runs.models["lost"] not in ids(found, "logged_models", "model_id")
    assert filled.runs.runs["deleted"] not in ids(found, "runs", "run_id")


def test_a_server_without_logged_models(everything: Everything) -> None:
    server, _ = everything
    with bad_network(server.uri) as network:
        network.faults = {"logged-models": ["no page"] * 100}
        found = read(network.uri, kinds=(RUN, LOGGED_MODEL), artifacts=False)
    assert found.tables["logged_models"] == found.tables["gaps"] == []


def test_what_cannot_be_read_is_a_gap(everything: Everything) -> None:
    server, filled = everything
    child = filled.runs.runs["child"]
    with bad_network(server.uri) as network:
        network.faults = {f"runs/get?run_id={child}": ["500"] * 3}
        found = read(network.uri, kinds=(RUN,), artifacts=False)
    assert found.gaps() == {(child, "models", gaps.FIELD_UNREADABLE)}
    assert child in ids(found, "runs", "run_id")
    assert child not in {row["owner_id"] for row in found.tables["fingerprints"]}
    with bad_network(server.uri) as network:
        network.faults = {"logged-models/search": ["403"] * 100}
        found = read(network.uri, kinds=(LOGGED_MODEL,), artifacts=False)
    assert found.gaps() == {("", "", gaps.OBJECT_UNREADABLE)}
