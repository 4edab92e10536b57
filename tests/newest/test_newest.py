"""What the newest MLflow has that this version does not know is named, so that a release is seen the day it comes.

``routes.txt`` lists the routes of the newest that was looked at: ``python -m tests.newest`` writes it anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_archive.http.tried import untried
from mlflow_archive.mlflow_database.known_schema import ACCOUNTS, KNOWN_COLUMNS, REVISIONS
from mlflow_archive.mlflow_database.mapping import DERIVED, LEFT_OUT
from tests.newest.environment import Described, newest

ROUTES = Path(__file__).with_name("routes.txt")


@pytest.fixture(scope="module")
def mlflow() -> Described:
    return newest()


def test_it_was_tried(mlflow: Described) -> None:
    assert untried(mlflow.version) is None


def test_every_table_and_column_is_known(mlflow: Described) -> None:
    known = {*KNOWN_COLUMNS, *DERIVED, *LEFT_OUT}
    new = {f"table {name}" for name in mlflow.columns.keys() - known}
    for name in mlflow.columns.keys() & KNOWN_COLUMNS.keys():
        new |= {f"column {name}.{column}" for column in set(mlflow.columns[name]) - KNOWN_COLUMNS[name]}
    assert new == set(), f"MLflow {mlflow.version} keeps more than this version knows"


def test_every_table_of_the_log_in_is_known(mlflow: Described) -> None:
    assert set(mlflow.accounts) <= ACCOUNTS


def test_every_revision_is_known(mlflow: Described) -> None:
    assert set(mlflow.revisions) <= REVISIONS


def test_every_route_was_looked_at(mlflow: Described) -> None:
    looked_at = set(ROUTES.read_text("utf-8").splitlines())
    assert set(mlflow.routes) - looked_at == set(), f"MLflow {mlflow.version} has new routes"
    assert looked_at - set(mlflow.routes) == set(), f"MLflow {mlflow.version} has these routes no more"
