"""The error for patterns that match nothing shows what there is instead."""

from __future__ import annotations

import pytest

from mlflow_archive.sources.reading.no_match import deleted_hint, no_match


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([], "none"),
        (["a", "b", "c", "d", "e"], "a, b, c, d, e"),
        (["a", "b", "c", "d", "e", "f", "g"], "a, b, c, d, e and 2 more"),
    ],
    ids=["nothing", "few", "many"],
)
def test_what_is_there_is_shown(names: list[str], shown: str) -> None:
    error = no_match("experiment", "/store", ("x*", "y"), names, deleted_hint(deleted=False))
    assert str(error) == f"no experiment of /store matches 'x*', 'y'; there are {shown}; deleted ones are left out"


def test_there_is_no_hint_where_deleted_ones_are_selected() -> None:
    assert deleted_hint(deleted=True) == ""
