"""One server read in both ways: over its API and straight from its database. What both can see is equal."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from mlflow_archive.kinds import EXPERIMENT, RUN, TABLES
from mlflow_archive.reader.archive import open_archive
from tests.support.mlflow_server import running_server
from tests.support.reading import bits, plain_rows
from tests.support.restoring import export

REPOSITORY = Path(__file__).resolve().parents[2]

HIDDEN: Final = {
    # Not in the answers of the API.
    ("runs", "deleted_time"),
    ("runs", "source_type"),
    ("runs", "source_name"),
    ("runs", "entry_point_name"),
    ("runs", "source_version"),
    ("datasets", "dataset_uuid"),
    ("dataset_inputs", "input_uuid"),
    # The API states it beside run_id; a database has one column for both.
    ("runs", "run_uuid"),
}
COMPARED: Final = [
    name
    for name, table in TABLES.items()
    if table.entity in (EXPERIMENT, RUN, "dataset") and name not in ("model_inputs", "model_outputs")
]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An archive made over the API, and one of the database behind it."""
    folder = tmp_path_factory.mktemp("same")
    database, artifacts = folder / "mlflow.db", folder / "artifacts"
    command = [sys.executable, "-m", "bench.make_server", "--workload", "T", "--backend", f"sqlite:///{database}"]
    subprocess.run([*command, "--artifacts", str(artifacts)], cwd=REPOSITORY, check=True, capture_output=True)
    with running_server(folder / "server", backend=f"sqlite:///{database}", artifacts=artifacts) as server:
        over_api = export(server.uri, folder / "api.mlfa")
    direct = export(f"sqlite:///{database}", folder / "db.mlfa", artifacts_destination=str(artifacts))
    return over_api, direct


def rows(path: Path, name: str) -> Counter[Any]:
    with open_archive(path) as archive:
        return Counter(
            tuple(
                (column, bits(value) if isinstance(value, float) else value)
                for column, value in row.items()
                if (name, column) not in HIDDEN
            )
            for row in plain_rows(archive.table(name))
        )


@pytest.mark.parametrize("name", COMPARED)
def test_rows_are_equal(name: str, both: tuple[Path, Path]) -> None:
    over_api, direct = (rows(path, name) for path in both)
    assert over_api == direct
    assert direct


def test_artifacts_are_equal(both: tuple[Path, Path]) -> None:
    over_api, direct = (rows(path, "artifacts") for path in both)
    assert over_api == direct
    assert len(direct) > 50


def test_what_is_hidden_is_there_in_the_database(both: tuple[Path, Path]) -> None:
    """Each column that is left out of the comparison is null over the API and known from the database, or so said."""
    with open_archive(both[0]) as over_api, open_archive(both[1]) as direct:
        for name, column in HIDDEN:
            known = direct.table(name)[column]
            if (name, column) == ("runs", "run_uuid"):
                assert known.null_count == len(known)
                continue
            assert over_api.table(name)[column].null_count == len(over_api.table(name))
            assert known.null_count < len(known), (name, column)
