"""What is selected of a folder of mlflow-export-import, and what a broken document there takes with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.report import Quiet
from mlflow_archive.kinds import EVALUATION_DATASET, LOGGED_MODEL, REGISTERED_MODEL, RUN, TRACE
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.exim import EximSource
from tests.support.exim_objects import (
    DATASET,
    DATASET_PLACE,
    LONELY,
    MODEL,
    TRACE_ID,
    TRACE_PLACE,
    A,
    B,
    gaps,
    read,
    write_everything,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_everything(tmp_path / "exported")


@pytest.mark.parametrize(
    ("place", "kind", "owner"),
    [
        pytest.param(
            f"experiments/1/logged_models/{LONELY}/logged_model.json", LOGGED_MODEL, LONELY, id="logged model"
        ),
        pytest.param(TRACE_PLACE, TRACE, TRACE_ID, id="trace"),
        pytest.param("models/reg/model.json", REGISTERED_MODEL, "reg", id="registered model"),
        pytest.param("prompts/greet_v1/prompt.json", REGISTERED_MODEL, "greet_v1", id="prompt"),
        pytest.param(DATASET_PLACE, EVALUATION_DATASET, f"ev_{DATASET}", id="evaluation dataset"),
    ],
)
@pytest.mark.parametrize("damage", ["{", '{"mlflow": {}}'], ids=["broken", "empty"])
def test_a_broken_document_is_told_and_the_rest_is_read(
    root: Path, place: str, kind: str, owner: str, damage: str
) -> None:
    whole = read(root)
    (root / place).write_text(damage)
    found = read(root)
    assert gaps(found) == {(kind, owner, "", "G403")}
    fewer = {name for name in whole.tables if len(found.tables[name]) < len(whole.tables[name])} - {"fingerprints"}
    assert fewer
    assert all(name.startswith(_TABLES_OF[kind]) for name in fewer)


_TABLES_OF = {
    LOGGED_MODEL: ("logged_model",),
    TRACE: ("trace", "assessments", "spans"),
    REGISTERED_MODEL: ("registered_model", "model_version"),
    EVALUATION_DATASET: ("evaluation_dataset",),
}

ALL = {
    "experiments": {"1", "2"},
    "runs": {A, B},
    "logged_models": {MODEL, LONELY},
    "traces": {TRACE_ID},
    "registered_models": {"reg", "greet"},
    "evaluation_datasets": {DATASET},
}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        pytest.param({}, ALL, id="all"),
        pytest.param({"experiments": ("two",)}, {"experiments": {"2"}, "runs": {B}}, id="experiment"),
        pytest.param(
            {"experiments": ("one",)},
            {**ALL, "experiments": {"1"}, "runs": {A}, "registered_models": set()},
            id="experiment with much in it",
        ),
        pytest.param(
            {"runs": (A,)},
            {"experiments": {"1"}, "runs": {A}, "logged_models": {MODEL}, "traces": {TRACE_ID}},
            id="run",
        ),
        pytest.param(
            {"runs": (B,)}, {"experiments": {"1", "2"}, "runs": {B}, "logged_models": {MODEL}}, id="run with an input"
        ),
        pytest.param(
            {"models": ("r*",)},
            {"experiments": {"1"}, "runs": {A}, "logged_models": {MODEL}, "registered_models": {"reg"}},
            id="model and what it stands on",
        ),
        pytest.param({"models": ("greet",)}, {"registered_models": {"greet"}}, id="prompt"),
        pytest.param({"kinds": (TRACE,)}, {"experiments": {"1", "2"}, "traces": {TRACE_ID}}, id="only traces"),
        pytest.param({"kinds": (REGISTERED_MODEL,)}, {"registered_models": {"reg", "greet"}}, id="only the registry"),
        pytest.param(
            {"kinds": (RUN, EVALUATION_DATASET)},
            {"experiments": {"1", "2"}, "runs": {A, B}, "evaluation_datasets": {DATASET}},
            id="two kinds",
        ),
        pytest.param({"trace_filter": "status = 'ERROR'"}, {**ALL, "traces": set()}, id="no trace matches"),
        pytest.param({"trace_filter": f"run_id = '{A}' AND timestamp > 5"}, ALL, id="a trace matches"),
        pytest.param(
            {"filter_string": "attributes.run_name = 'first'"},
            {"experiments": {"1"}, "runs": {A}, "logged_models": {MODEL}, "traces": {TRACE_ID}},
            id="filter",
        ),
    ],
)
def test_selection(root: Path, selection: dict[str, Any], expected: dict[str, set[str]]) -> None:
    found = read(root, **selection)
    columns = {"registered_models": "name", "evaluation_datasets": "dataset_id"}
    assert {
        name: {row[columns.get(name, name[:-1] + "_id" if name != "logged_models" else "model_id")] for row in rows}
        for name, rows in found.tables.items()
        if name in ALL
    } == {name: expected.get(name, set()) for name in ALL}
    assert gaps(found) == set()


@pytest.mark.parametrize(
    "selection",
    [
        pytest.param(Selection(models=("no such*",)), id="model"),
        pytest.param(Selection(trace_filter="no filter at all"), id="trace filter"),
        pytest.param(Selection(trace_filter="span.name = 'x'"), id="what only a database can tell"),
        pytest.param(Selection(filter_string="no filter at all"), id="filter"),
    ],
)
def test_what_cannot_be_selected_is_refused(root: Path, selection: Selection) -> None:
    source = EximSource(root)
    source.facts()
    with pytest.raises(SelectionError):
        list(source.plan(selection, Quiet()))
