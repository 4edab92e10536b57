"""What histories of models become in a target: the newest entries that fit, still JSON; else cut by digest."""

from __future__ import annotations

import json

import pytest

from mlflow_archive.format.source_tags import shorten
from mlflow_archive.sinks.replay.writing.references import fit_history

ENTRIES = [{"run_id": "a" * 32, "artifact_path": path} for path in ("oldest", "middle", "newest")]
WHOLE = json.dumps(ENTRIES)
NEWEST_TWO, NEWEST = json.dumps(ENTRIES[1:]), json.dumps(ENTRIES[2:])


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (len(WHOLE), WHOLE),
        (len(WHOLE) - 1, NEWEST_TWO),
        (len(NEWEST_TWO), NEWEST_TWO),
        (len(NEWEST_TWO) - 1, NEWEST),
        (len(NEWEST), NEWEST),
    ],
    ids=["all", "all but one character", "two", "two but one character", "one"],
)
def test_a_history_keeps_the_newest_entries_that_fit(limit: int, expected: str) -> None:
    assert fit_history(WHOLE, limit) == expected


@pytest.mark.parametrize(
    "value", [WHOLE, json.dumps(ENTRIES[:1]), "{" * 200, json.dumps({"k": "v" * 200}), "[]" + " " * 200]
)
def test_a_history_of_which_no_entry_fits_or_that_is_no_list_is_cut_by_digest(value: str) -> None:
    limit = len(NEWEST) - 1
    assert len(value) > limit
    assert fit_history(value, limit) == shorten(value, limit)
    assert len(fit_history(value, limit)) <= limit
