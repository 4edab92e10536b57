"""Which objects a selection takes, on a catalog at hand: each option alone and at its edge, every kind that it touches.

That every source answers alike is proved by ``tests/contracts/test_one_selection.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.kinds import (
    EVALUATION_DATASET,
    EXPERIMENT,
    LOGGED_MODEL,
    REGISTERED_MODEL,
    RUN,
    TRACE,
    WORKSPACE,
)
from mlflow_archive.selecting.catalog import RowRegistry, Where, dependencies_in, related_in, rows_from
from mlflow_archive.selecting.chosen_versions import ChosenVersions
from mlflow_archive.selecting.model_versions import ModelDependencies
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.selecting.selector import Passes, Selector

KINDS: Final = {
    "experiments": EXPERIMENT,
    "runs": RUN,
    "models": LOGGED_MODEL,
    "traces": TRACE,
    "registry": REGISTERED_MODEL,
    "datasets": EVALUATION_DATASET,
    "workspaces": WORKSPACE,
}


M3: Final = "m-" + "3" * 32


def rows(columns: str, *values: str) -> list[dict[str, Any]]:
    """Return rows from words: ``-`` is null, ``MODEL`` the id of m3, digits are numbers but for ids of experiments."""

    def cell(name: str, word: str) -> Any:
        number = word.isdigit() and name != "experiment_id"
        return None if word == "-" else int(word) if number else word.strip("'").replace("MODEL", M3)

    names = columns.split()
    return [{name: cell(name, word) for name, word in zip(names, row.split(), strict=True)} for row in values]


TABLES: Final[dict[str, list[dict[str, Any]]]] = {
    "workspaces": rows("name", "default", "other", "empty"),
    "experiments": rows(
        "experiment_id name lifecycle_stage workspace",
        "1 one active default",
        "2 two active other",
        "3 gone deleted other",
    ),
    "runs": rows(
        "run_id experiment_id start_time lifecycle_stage artifact_uri",
        "a 1 100 active s3://a",
        "b 1 200 active s3://b",
        "c 2 300 deleted s3://c",
        "d 2 - - s3://d",
        "e 3 100 active s3://e",
    ),
    "tags": rows(
        "run_id key value", "b mlflow.parentRunId a", "c mlflow.parentRunId b", "a other c", "e mlflow.parentRunId a"
    ),
    "logged_models": rows(
        "model_id experiment_id source_run_id lifecycle_stage artifact_location",
        "m1 1 a - s3://m1",
        "m2 1 '' - s3://m2",
        "MODEL 2 c - s3://m3",
        "m4 2 - - s3://m4",
    ),
    "model_inputs": rows("run_id model_id", "b m1"),
    "model_outputs": rows("run_id model_id", "d MODEL"),
    "traces": rows("trace_id experiment_id request_time", "t1 1 150", "t2 2 250", "t3 2 -", "t4 3 150"),
    "trace_links": rows("trace_id destination_id", "t1 b", "t1 x"),
    "trace_metadata": rows("trace_id key value", "t2 mlflow.sourceRun b", "t3 other b"),
    "registered_models": rows("name workspace", "churn default", "greet other"),
    "registered_model_tags": rows(
        "name workspace key value",
        "greet other mlflow.prompt.is_prompt True",
        "greet other _mlflow_experiment_ids ,2,",
        "churn default mlflow.prompt.is_prompt no",
    ),
    "registered_model_aliases": rows("name workspace alias version", "churn default best 2"),
    "model_versions": rows(
        "name workspace version source storage_location run_id current_stage",
        "churn default 1 runs:/a/model - a None",
        "churn default 2 models:/MODEL - - Staging",
        "greet other 1 - - - -",
    ),
    "evaluation_datasets": rows("dataset_id name workspace", "d1 evals other", "d2 none default"),
    "evaluation_dataset_experiments": rows("dataset_id experiment_id", "d1 2", "d1 9"),
    "webhooks": rows("webhook_id name", "w1 hook"),
}
"""Run d has neither time nor stage; nothing can be read of it. Run e lies in an experiment that is deleted."""


class _Catalog:
    """A catalog of rows, as sources have one."""

    place = "here"

    def __init__(self, piece_rows: int = 1) -> None:
        self._piece_rows = piece_rows

    def rows(self, table: str, columns: Sequence[str], where: Where | None = None) -> Iterator[pa.Table]:
        found = rows_from(table, TABLES.get(table, []), columns, where)
        for at in range(0, found.num_rows, self._piece_rows):
            yield found.slice(at, self._piece_rows)
            yield found.slice(0, 0)

    def dependencies(self, names: Sequence[str], versions: ChosenVersions) -> ModelDependencies:
        return dependencies_in(self, names, versions)

    def related(self, runs: Collection[str], *, children: bool) -> Collection[str]:
        return related_in(self, runs, children=children)

    def unreadable(self, kind: str, ids: Collection[str]) -> Collection[str]:
        return {"d", "broken"} & set(ids) if kind == RUN else ()


def selector(filters: Mapping[str, Passes] | None = None, **options: Any) -> Selector:
    return Selector(_Catalog(), Selection(**options), filters)


def taken(filters: Mapping[str, Passes] | None = None, **options: Any) -> dict[str, str]:
    """Return the ids that come of each kind, as one text; kinds of which none comes are left out."""
    chosen = selector(filters, **options)
    found = {name: [i for ids in chosen.ids(kind) for i in ids.to_pylist()] for name, kind in KINDS.items()}
    return {name: " ".join(ids).replace(M3, "m3") for name, ids in found.items() if ids}


ALL: Final = {
    "experiments": "1 2 3",
    "runs": "a b c d e",
    "models": "m1 m2 m3 m4",
    "traces": "t1 t2 t3 t4",
    "registry": "churn greet",
    "datasets": "d1 d2",
    "workspaces": "default empty other",
}
OF_TWO: Final = {
    "experiments": "2",
    "runs": "c d",
    "models": "m3 m4",
    "traces": "t2 t3",
    "datasets": "d1",
    "workspaces": "other",
}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ALL),
        ({"experiments": ("2",)}, OF_TWO),
        ({"experiments": ("tw*",)}, OF_TWO),
        ({"deleted": False}, {**ALL, "experiments": "1 2", "runs": "a b d", "traces": "t1 t2 t3"}),
        ({"deleted": False, "experiments": ("two",)}, {**OF_TWO, "runs": "d"}),
        ({"kinds": (RUN,)}, {key: ALL[key] for key in ("experiments", "runs", "workspaces")}),
        ({"kinds": (REGISTERED_MODEL,)}, {key: ALL[key] for key in ("registry", "workspaces")}),
        ({"kinds": (EVALUATION_DATASET,)}, {key: ALL[key] for key in ("experiments", "datasets", "workspaces")}),
        ({"registry": "prompts"}, {**ALL, "registry": "greet"}),
        ({"registry": "models"}, {**ALL, "registry": "churn"}),
    ],
)
def test_what_is_left_out_by_place_stage_and_kind(options: dict[str, Any], expected: dict[str, str]) -> None:
    assert taken(**options) == expected


@pytest.mark.parametrize(
    ("options", "runs", "models", "traces"),
    [
        ({"since_ms": 200}, "b c d", "m1 m2 m3 m4", "t2"),
        ({"since_ms": 201}, "c d", "m2 m3 m4", "t2"),
        ({"until_ms": 200}, "a d e", "m1 m2 m3 m4", "t1 t4"),
        ({"until_ms": 100}, "d", "m2 m3 m4", ""),
        ({"since_ms": 100, "until_ms": 101}, "a d e", "m1 m2 m3 m4", ""),
        ({"since_ms": 250, "until_ms": 251}, "d", "m2 m3 m4", "t2"),
    ],
)
def test_a_span_of_time_has_its_first_moment_and_not_its_last(
    options: dict[str, Any], runs: str, models: str, traces: str
) -> None:
    """A logged model comes with any run that comes, or if no run made it; what lies in no experiment does not."""
    expected = {"runs": runs, "models": models, "traces": traces, "experiments": "1 2 3", "datasets": "d1"}
    expected["workspaces"] = "default other"
    assert taken(**options) == {name: ids for name, ids in expected.items() if ids}


@pytest.mark.parametrize(
    ("options", "runs", "models", "traces", "experiments"),
    [
        ({"runs": ("a",)}, "a", "m1", "", "1"),
        ({"runs": ("b",)}, "b", "m1", "t1 t2", "1 2"),
        ({"runs": ("b",), "experiments": ("one",)}, "b", "m1", "t1", "1"),
        ({"runs": ("c", "d")}, "c d", "m3", "", "2"),
        ({"runs": ("e",)}, "e", "", "", "3"),
        ({"runs": ("c",), "parents": True}, "a b c", "m1 m3", "t1 t2", "1 2"),
        ({"runs": ("b",), "parents": True}, "a b", "m1", "t1 t2", "1 2"),
        ({"runs": ("a",), "children": True}, "a b c e", "m1 m3", "t1 t2", "1 2 3"),
        ({"runs": ("b",), "children": True}, "b c", "m1 m3", "t1 t2", "1 2"),
        ({"runs": ("b",), "children": True, "parents": True}, "a b c", "m1 m3", "t1 t2", "1 2"),
        ({"runs": ("a",), "children": True, "deleted": False}, "a b", "m1", "t1 t2", "1 2"),
        ({"runs": ("c",), "parents": True, "experiments": ("two",)}, "c", "m3", "", "2"),
        ({"runs": ("a",), "children": True, "since_ms": 100, "until_ms": 200}, "a e", "m1", "", "1 3"),
    ],
)
def test_what_comes_with_runs_that_are_named(
    options: dict[str, Any], runs: str, models: str, traces: str, experiments: str
) -> None:
    found = taken(**options)
    found.pop("workspaces")
    expected = {"runs": runs, "models": models, "traces": traces, "experiments": experiments}
    assert found == {name: ids for name, ids in expected.items() if ids}
    assert selector(**options).runs == runs.split()


def of(*ids: str) -> Passes:
    return lambda asked: [one for one in asked if one in ids]


def test_a_filter_judges_runs_of_the_selection_and_traces() -> None:
    found = taken({RUN: of("b", "c")}, filter_string="x")
    assert (found["runs"], found["models"], found["traces"], found["experiments"]) == ("b c", "m1 m3", "t1 t2", "1 2")
    found = taken({RUN: of("b", "c")}, filter_string="x", experiments=("one",))
    assert (found["runs"], found["experiments"], found["workspaces"]) == ("b", "1", "default")
    found = taken({RUN: of("b")}, filter_string="x", parents=True)
    assert found["runs"] == "a b"
    found = taken({RUN: of("b")}, filter_string="x", runs=("a", "b"))
    assert found["runs"] == "b"
    found = taken({TRACE: of("t2", "t4")}, trace_filter="x")
    assert found == {**ALL, "traces": "t2 t4"}
    assert taken({RUN: of("none")}, filter_string="x") == {}


def test_runs_are_judged_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def passes(ids: Sequence[str]) -> Sequence[str]:
        asked.append(len(ids))
        return ids

    many = [{**TABLES["runs"][0], "run_id": f"{number:04}"} for number in range(129)]
    monkeypatch.setitem(TABLES, "runs", many)
    chosen = Selector(_Catalog(1000), Selection(filter_string="x"), {RUN: passes})
    found = [ids.to_pylist() for ids in chosen.ids(RUN)]
    assert [size for size in asked if size] == [128, 1]
    assert [one for ids in found for one in ids] == [row["run_id"] for row in many]


def test_of_some_objects_those_that_come() -> None:
    chosen = selector(experiments=("two",))
    assert chosen.among(RUN, ["a", "d", "x"]) == {"d"}
    assert chosen.among(RUN, []) == set()
    assert chosen.among(LOGGED_MODEL, ["m1", "m4"]) == {"m4"}
    assert selector(runs=("c",)).among(RUN, ["c", "d"]) == {"c"}
    assert selector(runs=("c",), parents=True).among(RUN, ["a", "d"]) == {"a"}
    assert selector(runs=("b",)).among(LOGGED_MODEL, ["m1", "m2"]) == {"m1"}
    assert selector(runs=("b",)).among(TRACE, ["t2", "t3"]) == {"t2"}
    assert selector(models=("churn",)).among(LOGGED_MODEL, ["m1", "m2"]) == set()
    assert selector(models=("churn",)).among(LOGGED_MODEL, ["m1", M3]) == {M3}
    assert selector(kinds=(TRACE,)).among(RUN, ["a"]) == set()
    runs = [run_id for ids in selector(kinds=(TRACE,)).chosen(RUN) for run_id in ids.to_pylist()]
    assert runs == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"models": ("churn",)},
            {"experiments": "1 2", "runs": "a c", "models": "m3", "registry": "churn", "workspaces": "default other"},
        ),
        (
            {"models": ("churn",), "versions": ("1",)},
            {"experiments": "1", "runs": "a", "registry": "churn", "workspaces": "default"},
        ),
        (
            {"models": ("ch*",), "stages": ("staging",)},
            {"experiments": "2", "runs": "c", "models": "m3", "registry": "churn", "workspaces": "default other"},
        ),
        (
            {"models": ("*",), "latest_versions": 1},
            {"experiments": "2", "runs": "c", "models": "m3", "registry": "churn greet", "workspaces": "default other"},
        ),
        ({"models": ("greet",)}, {"experiments": "2", "registry": "greet", "workspaces": "other"}),
        ({"models": ("greet",), "kinds": (RUN,)}, {"workspaces": "other"}),
        (
            {"models": ("churn",), "experiments": ("one",)},
            {"experiments": "1", "runs": "a", "registry": "churn", "workspaces": "default"},
        ),
        (
            {"models": ("churn",), "runs": ("c", "d")},
            {"experiments": "2", "runs": "c", "models": "m3", "registry": "churn", "workspaces": "default other"},
        ),
        ({"evaluation_datasets": ("evals",)}, {"experiments": "2", "datasets": "d1", "workspaces": "other"}),
        ({"evaluation_datasets": ("d2",)}, {"datasets": "d2", "workspaces": "default"}),
        (
            {"evaluation_datasets": ("*",), "experiments": ("two",)},
            {"experiments": "2", "datasets": "d1", "workspaces": "other"},
        ),
    ],
)
def test_what_comes_with_registered_models_and_datasets_that_are_named(
    options: dict[str, Any], expected: dict[str, str]
) -> None:
    assert taken(**options) == expected


def test_versions_of_all_models_are_chosen_where_none_is_named() -> None:
    chosen = selector(versions=("churn=2",))
    assert [chosen.versions.takes(name, number) for name, number in (("churn", 1), ("churn", 2), ("greet", 1))] == [
        False, True, True
    ]  # fmt: skip
    assert chosen.dependencies is None
    chosen = selector(stages=("production",))
    assert [chosen.versions.takes(name, number) for name, number in (("churn", 1), ("churn", 2))] == [False, False]
    chosen = selector(models=("greet",), stages=("production",), registry="prompts")
    assert chosen.versions.takes("other/greet", 1)  # prompts have no stages


@pytest.mark.parametrize(
    ("options", "missing", "message"),
    [
        ({"experiments": ("one", "no")}, [(EXPERIMENT, "no")], "no experiment of here matches 'no'; there are "),
        (
            {"runs": ("a", "y", "x")},
            [(RUN, "x"), (RUN, "y")],
            "no run in the selected experiments of here matches 'y', 'x'",
        ),
        ({"runs": ("broken", "a")}, [], ""),
        ({"models": ("churn", "z")}, [(REGISTERED_MODEL, "z")], "no registered model of here matches 'z'; there are "),
        (
            {"models": ("churn",), "versions": ("1", "9")},
            [(REGISTERED_MODEL, "9")],
            "no version of here matches '9'; there are churn/1, churn/2",
        ),
        (
            {"evaluation_datasets": ("d1", "z")},
            [(EVALUATION_DATASET, "z")],
            "no evaluation dataset of here matches 'z'; there are 'evals' (id d1), 'none' (id d2)",
        ),
    ],
)
def test_what_is_named_and_not_there_is_passed_over_or_refused(
    options: dict[str, Any], missing: list[tuple[str, str]], message: str
) -> None:
    assert selector(**options).missing == missing
    if missing:
        with pytest.raises(SelectionError) as caught:
            selector(**options, on_missing="fail")
        assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"experiments": ("x",)},
            "no experiment of here matches 'x'; there are 'one' (id 1), 'two' (id 2), 'gone' (id 3)",
        ),
        (
            {"experiments": ("gone",), "deleted": False},
            "no experiment of here matches 'gone'; there are 'one' (id 1), 'two' (id 2); deleted ones are left out",
        ),
        ({"runs": ("x",)}, "no run in the selected experiments of here matches 'x'; there are a, b, c, d, e"),
        (
            {"runs": ("a",), "experiments": ("two",)},
            "no run in the selected experiments of here matches 'a'; there are c, d",
        ),
        (
            {"models": ("greet",), "registry": "models"},
            "no registered model of here matches 'greet'; there are 'churn'",
        ),
        (
            {"evaluation_datasets": ("d2",), "experiments": ("two",)},
            "no evaluation dataset of here matches 'd2'; there are 'evals' (id d1)",
        ),
    ],
)
def test_where_nothing_that_is_named_is_there_what_is_there_is_shown(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError) as caught:
        selector(**options)
    assert str(caught.value) == message


def test_one_name_in_two_workspaces_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "registered_models", rows("name workspace", "a default", "a other", "b other"))
    assert taken()["registry"] == "a b"


@pytest.mark.parametrize(
    ("version", "alias", "found"),
    [(1, None, 1), (2, None, 2), (3, None, None), (None, "best", 2), (None, "worst", None), (1, "best", 2)],
)
def test_a_version_is_found_by_number_or_alias(version: int | None, alias: str | None, found: int | None) -> None:
    registry = RowRegistry(_Catalog())
    row = registry.version("default", "churn", version, alias)
    assert (None if row is None else row["version"]) == found
    assert registry.version("other", "churn", version, alias) is None
    assert registry.makers(["m1", "m2", "m4"]) == {"a"}
    assert registry.roots(RUN, ["a", "x"]) == {"a": "s3://a"}
    assert registry.roots(LOGGED_MODEL, ["m1"]) == {"m1": "s3://m1"}


def test_rows_of_a_catalog_have_what_is_asked_for() -> None:
    values: list[dict[str, Any]] = [
        {"run_id": "a", "start_time": 5, "status": 1},
        {"run_id": 7, "start_time": "x"},
        {"run_id": None},
    ]
    found = rows_from("runs", values, ["start_time", "status", "run_id"])
    assert found.column_names == ["start_time", "status", "run_id"]
    assert found.to_pydict() == {
        "start_time": [5, None, None], "status": ["1", None, None], "run_id": ["a", "7", None]
    }  # fmt: skip
    assert found["start_time"].type == pa.int64()
    assert rows_from("runs", values, ["status"], ("run_id", ["a", "b"])).to_pydict() == {"status": ["1"]}
