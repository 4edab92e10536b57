"""Exports of other rules do not stand in one archive, and what is stated of a selection names nobody."""

from __future__ import annotations

import pytest

from mlflow_archive.errors import TargetError
from mlflow_archive.format.manifest import Export, Manifest
from mlflow_archive.format.redaction import Redaction
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.writer.redacted import Redacted, check_redaction, stated_selection, without_names

A, B = (Redaction(rules=mark * 64) for mark in "ab")
BACK = (
    "values were taken out of this archive by rules, and what is added would bring them back: give --redact with the "
    "same rules and key, or export into an archive of its own"
)
OTHER = (
    "the archive has an export that was made without these rules, or with another key, and holds what they take out: "
    "redact it first, or export into an archive of its own"
)


def manifest_of(*redactions: Redaction | None) -> Manifest:
    exports = tuple(
        Export(number=at, created_ms=1, tool="t", source={}, selection={}, counts={}, gaps=0, redaction=redaction)
        for at, redaction in enumerate(redactions, 1)
    )
    return Manifest(exports=exports, members=())


def by(redaction: Redaction | None) -> Redacted | None:
    return None if redaction is None else Redacted(redaction=redaction, source=dict, selection={})


@pytest.mark.parametrize(
    ("before", "added", "refusal"),
    [
        ((None, None), None, None),
        ((A, A), A, None),
        ((Redaction(rules="a" * 64, archive="c" * 64),), A, None),
        ((A,), None, BACK),
        ((None, A), None, BACK),
        ((A,), B, OTHER),
        ((A, B), B, OTHER),
        ((None,), A, OTHER),
        ((None, A), A, OTHER),
    ],
)
def test_exports_of_the_same_rules_go_together(
    before: tuple[Redaction | None, ...], added: Redaction | None, refusal: str | None
) -> None:
    if refusal is None:
        check_redaction(manifest_of(*before), by(added))
        return
    with pytest.raises(TargetError) as caught:
        check_redaction(manifest_of(*before), by(added))
    assert str(caught.value) == refusal


def test_what_is_stated_of_a_selection() -> None:
    assert stated_selection(Selection()) == stated_selection(Selection(on_missing="fail")) == {}
    selection = Selection(
        runs=("a", "b"), kinds=("run",), registry="models", since_ms=5, deleted=False, filter_string="x = 'ada'"
    )
    stated = {"runs": ["a", "b"], "kinds": ["run"], "registry": "models", "since_ms": 5, "deleted": False}
    assert stated_selection(selection) == {**stated, "filter_string": "x = 'ada'"}
    assert without_names(stated_selection(selection)) == {
        **stated,
        "runs": ["[redacted]"],
        "filter_string": "[redacted]",
    }
    assert without_names({"stages": ["Production"]}) == {"stages": ["Production"]}
