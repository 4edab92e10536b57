"""Kinds and tables are said once, and what is said goes together."""

from __future__ import annotations

import pytest

from mlflow_archive.kinds import (
    AFTER_RUNS,
    DATASET,
    EXPERIMENT,
    IDENTITIES,
    KINDS,
    LOGGED_MODEL,
    RUN,
    TABLES,
    WORKSPACE,
    Kind,
    Table,
)
from mlflow_archive.sources.rest.source import PLANS


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_what_a_kind_refers_to_comes_first(kind: Kind) -> None:
    order = list(KINDS)
    assert all(order.index(other) < order.index(kind.name) for other in kind.refers)


def test_no_kind_is_missing() -> None:
    assert set(KINDS) == set(IDENTITIES) == {table.entity for table in TABLES.values()} - {"*", None}
    assert {WORKSPACE, EXPERIMENT, DATASET, RUN} | set(AFTER_RUNS) == set(KINDS)
    assert set(PLANS) == set(AFTER_RUNS)


def behind(kind: str) -> set[str]:
    """Return what a kind refers to, and what that refers to."""
    return set(KINDS[kind].refers).union(*(behind(other) for other in KINDS[kind].refers))


@pytest.mark.parametrize("table", [table for table in TABLES.values() if table.entity in KINDS], ids=lambda t: t.name)
def test_no_column_names_an_object_of_a_kind_that_comes_later(table: Table) -> None:
    named = {identity.owner[0]: kind for kind, identity in IDENTITIES.items() if len(identity.owner) == 1}
    del named["name"]
    others = {named[column] for column in table.column_names if column in named} - {table.entity}
    kept_until_the_end = {(RUN, LOGGED_MODEL)}
    assert {(table.entity, other) for other in others - behind(str(table.entity))} <= kept_until_the_end
