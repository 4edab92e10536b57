"""What an object refers to comes before it."""

from __future__ import annotations

import pytest

from mlflow_archive import kinds as t
from mlflow_archive.kinds import IDENTITIES
from mlflow_archive.reader.source import AFTER_RUNS

REFERS = {
    t.TRACE: (t.LOGGED_MODEL, t.ISSUE),
    t.MODEL_DEFINITION: (t.GATEWAY_SECRET,),
    t.GATEWAY_ENDPOINT: (t.MODEL_DEFINITION,),
    t.SCORER: (t.GATEWAY_ENDPOINT,),
    t.GUARDRAIL: (t.SCORER, t.GATEWAY_ENDPOINT),
    t.BUDGET_POLICY: (t.GATEWAY_ENDPOINT,),
    t.EVALUATION_DATASET: (t.TRACE,),
    t.REVIEW_QUEUE: (t.TRACE, t.LABEL_SCHEMA),
    t.REGISTERED_MODEL: (t.LOGGED_MODEL,),
}


@pytest.mark.parametrize("kind", REFERS)
def test_what_it_refers_to_comes_first(kind: str) -> None:
    for other in REFERS[kind]:
        assert AFTER_RUNS.index(other) < AFTER_RUNS.index(kind)


def test_no_kind_is_missing() -> None:
    first = {t.WORKSPACE, t.EXPERIMENT, t.DATASET, t.RUN}
    assert set(AFTER_RUNS) | first == set(IDENTITIES)
    assert len(set(AFTER_RUNS)) == len(AFTER_RUNS)
