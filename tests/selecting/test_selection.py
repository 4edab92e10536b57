"""What a selection says yes to: each of its questions alone, with everything asked for and nothing."""

from __future__ import annotations

from typing import Any

import pytest

from mlflow_archive.selecting.selection import Selection

NONE = Selection()


def test_without_options_everything_comes() -> None:
    assert (NONE.everything, NONE.only_named, NONE.cut_by_time, NONE.leaves_out_runs) == (True, False, False, False)
    assert NONE.matches_experiment("1", "e")
    assert NONE.matches_model("m")
    assert NONE.wants_kind("trace")
    assert NONE.wants_artifact("a", None)
    assert NONE.unmatched_experiments([]) == NONE.unmatched_models([]) == ()


@pytest.mark.parametrize(
    ("selection", "everything", "only_named", "cut_by_time", "leaves_out_runs"),
    [
        (Selection(experiments=("e",)), False, False, False, False),
        (Selection(runs=("r",)), False, True, False, False),
        (Selection(models=("m",)), False, True, False, False),
        (Selection(filter_string="x"), False, True, False, False),
        (Selection(evaluation_datasets=("d",)), False, True, False, False),
        (Selection(versions=("3",)), True, False, False, False),
        (Selection(filter_string=""), True, False, False, False),
        (Selection(since_ms=0), False, False, True, True),
        (Selection(until_ms=0), False, False, True, True),
        (Selection(deleted=False), True, False, False, True),
        (Selection(trace_filter="x", kinds=("run",), artifacts=False), True, False, False, False),
    ],
)
def test_what_is_left_out(
    selection: Selection, everything: bool, only_named: bool, cut_by_time: bool, leaves_out_runs: bool
) -> None:
    assert selection.everything is everything
    assert selection.only_named is only_named
    assert selection.cut_by_time is cut_by_time
    assert selection.leaves_out_runs is leaves_out_runs


def test_experiments_by_id_name_or_pattern() -> None:
    selection = Selection(experiments=("1", "churn*", "Exact[1]"))
    for experiment_id, name in (("1", "x"), ("2", "churn-2"), ("2", "1"), ("2", "Exact[1]"), ("2", "Exact1")):
        assert selection.matches_experiment(experiment_id, name)
    for experiment_id, name in (("11", "x"), ("churn-2", "x"), ("2", "CHURN")):
        assert not selection.matches_experiment(experiment_id, name)
    assert selection.unmatched_experiments([("2", "churn"), ("1", "x")]) == ("Exact[1]",)
    assert selection.unmatched_experiments([("churn", "x"), ("x", "Exact[1]"), ("y", "1")]) == ("churn*",)


def test_models_by_name_or_pattern() -> None:
    selection = Selection(models=("a", "b*", "c[1]"))
    assert [name for name in ("a", "aa", "b", "bx", "B", "c1", "c[1]") if selection.matches_model(name)] == [
        "a", "b", "bx", "c1", "c[1]"
    ]  # fmt: skip
    assert selection.unmatched_models(["bx", "c[1]"]) == ("a",)
    assert selection.unmatched_models([]) == ("a", "b*", "c[1]")


def test_kinds() -> None:
    selection = Selection(kinds=("trace", "run"))
    assert [kind for kind in ("run", "trace", "issue") if selection.wants_kind(kind)] == ["run", "trace"]


@pytest.mark.parametrize(
    ("selection", "path", "size", "wanted"),
    [
        (Selection(artifacts=False), "a", 0, False),
        (Selection(max_artifact_size=5), "a", 5, True),
        (Selection(max_artifact_size=5), "a", 6, False),
        (Selection(max_artifact_size=5), "a", None, True),
        (Selection(max_artifact_size=0), "a", 0, True),
        (Selection(max_artifact_size=0), "a", 1, False),
        (Selection(artifact_globs=("x", "*.txt")), "d/a.txt", 1, True),
        (Selection(artifact_globs=("x", "*.txt")), "x/a", 1, False),
        (Selection(artifact_globs=("*.txt",), max_artifact_size=1), "a.txt", 2, False),
    ],
)
def test_artifacts(selection: Selection, path: str, size: int | None, wanted: bool) -> None:
    assert selection.wants_artifact(path, size) is wanted


@pytest.mark.parametrize(
    ("fields", "names_runs"),
    [
        ({}, False),
        ({"filter_string": "x"}, False),
        ({"filter_string": "x", "children": True}, True),
        ({"filter_string": "x", "runs": ("r",)}, True),
        ({"filter_string": "x", "evaluation_datasets": ("d",)}, False),
        ({"evaluation_datasets": ("d",)}, True),
        ({"models": ("m",)}, True),
    ],
)
def test_runs_that_must_be_known_by_id(fields: dict[str, Any], names_runs: bool) -> None:
    assert Selection(**fields).names_runs is names_runs


def test_evaluation_datasets_by_id_name_or_pattern() -> None:
    selection = Selection(evaluation_datasets=("d-1", "quiz*"))
    pairs = [("d-1", "exam"), ("d-2", "quiz 2"), ("d-3", "exam")]
    assert [selection.matches_dataset(*pair) for pair in pairs] == [True, True, False]
    assert selection.unmatched_datasets(pairs[1:]) == ("d-1",)
    assert not Selection().matches_dataset("d-1", "exam")
