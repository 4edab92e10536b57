"""The error for patterns that match nothing shows what there is instead."""

from __future__ import annotations

import pytest

from mlflow_archive.selecting.no_match import no_match


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ("", "none"),
        ("abcde", "A, B, C, D, E"),
        ("abcdefg", "A, B, C, D, E and others"),
    ],
    ids=["nothing", "few", "many"],
)
def test_what_is_there_is_shown(names: str, shown: str) -> None:
    error = no_match("experiment", "/store", ("x*", "y"), {name: name.upper() for name in names}, deleted=False)
    assert str(error) == f"no experiment of /store matches 'x*', 'y'; there are {shown}; deleted ones are left out"


def test_there_is_no_hint_where_deleted_ones_are_selected() -> None:
    assert str(no_match("run", "/store", ("x",), {})) == "no run of /store matches 'x'; there are none"


def test_the_names_most_like_a_pattern_come_first() -> None:
    names = {name: repr(name) for name in (*"abcdefg", "churn model", "fraud")}
    assert "there are 'churn model', 'a', 'b', 'c', 'd' and others" in str(
        no_match("model", "x", ("chrun model",), names)
    )
