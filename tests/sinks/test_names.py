"""What a caller renames: one by one, by how names begin, by a file; and names that would meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.sinks.replay import ReplayOptions
from mlflow_archive.sinks.replay.names import check_renames, in_workspace, not_there, read_renames, renamed

RENAMES = {
    "churn": "leavers",
    "/Users/*": "/Old/*",
    "/Users/ada/*": "/Teams/a/*",
    "tmp-*": "scratch",
    "odd*": "even*",
    "x": "y*",
}


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("churn", "leavers"),
        ("churn2", "churn2"),
        ("/Users/bob/a", "/Old/bob/a"),
        ("/Users/ada/a", "/Teams/a/a"),
        ("/Users/", "/Old/"),
        ("tmp-1", "scratch"),
        ("odd*", "even*"),
        ("odd*s", "even*s"),
        ("x", "y*"),
        ("", ""),
    ],
)
def test_one_by_one_then_by_the_longest_beginning(name: str, target: str) -> None:
    assert renamed(name, RENAMES) == target


def test_every_kind_is_named_alike() -> None:
    renames = {"a": "b", "c*": "d*"}
    options = ReplayOptions(
        rename_experiment=renames,
        experiment_prefix="old/",
        rename_model={**renames, "team/a": "team-b"},
        model_prefix="old-",
        rename_evaluation_dataset=renames,
        evaluation_dataset_prefix="old ",
    )
    assert [options.experiment_name(name) for name in ("a", "cc", "e")] == ["old/b", "old/dc", "old/e"]
    assert [options.model_name(name) for name in ("a", "cc", "e")] == ["old-b", "old-dc", "old-e"]
    assert options.model_name("a", "team") == "old-team-b"
    assert options.model_name("cc", "team") == "old-dc"
    assert [options.evaluation_dataset_name(name) for name in ("a", "cc", "e")] == ["old b", "old dc", "old e"]


@pytest.mark.parametrize(
    ("text", "renames"),
    [
        ("", {}),
        ('a,b\n\nc, d\r\n" e",f', {"a": "b", "c": "d", " e": "f"}),
        ('"a, with",b\nc=d, "e ""f"""\n', {"a, with": "b", "c=d": 'e "f"'}),
        ("﻿ü,ö", {"ü": "ö"}),
        ('\n {"a": "b", "c*": "d*"}', {"a": "b", "c*": "d*"}),
        ("a,b\na,b\n", {"a": "b"}),
    ],
)
def test_a_file_of_names(text: str, renames: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "names"
    path.write_text(text, "utf-8")
    assert read_renames(path) == renames
    assert read_renames(str(path)) == renames
    assert read_renames(renames) == renames


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\nc\n", "line 2: found 'c', expected old,new"),
        ("a,b,c\n", "line 1: found 'a,b,c', expected old,new"),
        ("a,\n", "line 1: found 'a,', expected old,new"),
        ('a,"b\n', "line 1: unexpected end of data; expected old,new"),
        ("a,b\na,c\n", "'a' cannot become both 'b' and 'c'"),
        ('{"a": "b", "a": "c"}', "'a' cannot become both 'b' and 'c'"),
        ('{"a": 1}', "'a' becomes 1, expected a name for a name"),
        ('{"a": "b"', "begins like a JSON object and is none"),
    ],
)
def test_what_is_no_file_of_names_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "names"
    path.write_text(text)
    with pytest.raises(SelectionError) as caught:
        read_renames(path)
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match=r"gone\.csv: the names to rename cannot be read"):
        read_renames(tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("renames", "joinable", "message"),
    [
        ({"a": "b"}, False, "the models 'a', 'b' of the archive would all be 'b' in the target; nothing is written."),
        ({"a": "b"}, True, "give each that name: --rename-model b=b"),
        ({"a*": "b*"}, True, "the models 'a', 'b' of"),
        ({"a": "x", "b": "x"}, False, "Give each a name of its own with --rename-model"),
    ],
)
def test_names_that_would_meet_are_refused(renames: dict[str, str], joinable: bool, message: str) -> None:
    with pytest.raises(SelectionError) as caught:
        check_renames("model", ["a", "b", "aa", "ba"], renames, joinable=joinable)
    assert message in str(caught.value)


@pytest.mark.parametrize("renames", [{"a": "x", "b": "x"}, {"a": "b", "b": "b"}, {"*": "x"}, {"a": "b", "b": "a"}, {}])
def test_what_is_said_outright_may_become_one(renames: dict[str, str]) -> None:
    check_renames("experiment", ["a", "b"], renames, joinable=True)


def test_names_of_a_workspace() -> None:
    renames = {"team/a": "b", "a": "c", "z*": "y*", "gone": "x", "team/gone": "x"}
    assert in_workspace(renames, "team") == {**renames, "a": "b", "gone": "x"}
    assert in_workspace(renames, "default") == renames
    assert not_there(renames, [("default", "a"), ("team", "a")]) == ["gone", "team/gone"]


def test_aliases_move_only_where_models_are_merged() -> None:
    with pytest.raises(SelectionError, match="--move-aliases goes with --merge-models"):
        ReplayOptions(move_aliases=True)
    assert ReplayOptions(move_aliases=True, merge_models=True).merge_models
