"""Shards travel: other sources of the same place read each of them, and nothing is lost or doubled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.flow.source import SharedSource
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sources.locate import locate_source
from tests.contracts.source_contract import example
from tests.support.everything import Filled
from tests.support.exim import write_exim
from tests.support.lent import ReadByOthers
from tests.support.mlflow_server import MlflowServer
from tests.support.mlruns import write_store
from tests.support.reading import Read, bits, read_source


def rows_of(read: Read) -> dict[str, Counter[Any]]:
    """Return all rows by table, and the files."""
    rows: dict[str, Counter[Any]] = {
        name: Counter(tuple((k, bits(v) if isinstance(v, float) else v) for k, v in row.items()) for row in table)
        for name, table in read.tables.items()
    }
    rows["files"] = Counter((file.owner_kind, file.owner_id, file.path, file.size) for file in read.artifacts)
    return rows


def assert_others_read_it(uri: str, selection: Selection, **options: Any) -> dict[str, Counter[Any]]:
    def make() -> SharedSource:
        return locate_source(uri, **options)

    expected = rows_of(read_source(make(), selection))
    assert rows_of(read_source(ReadByOthers(make), selection)) == expected
    return expected


Choose = Callable[[Filled], Selection]
SELECTIONS: dict[str, Choose] = {
    "all": lambda filled: Selection(),
    "named runs": lambda filled: Selection(runs=tuple(filled.runs.runs.values())),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_server_is_read_by_others(everything: tuple[MlflowServer, Filled], name: str) -> None:
    server, filled = everything
    expected = assert_others_read_it(server.uri, SELECTIONS[name](filled))
    assert expected["runs"]
    assert expected["logged_models"]
    assert expected["trace_links"]


def test_a_database_is_read_by_others(everything: tuple[MlflowServer, Filled]) -> None:
    server, _ = everything
    expected = assert_others_read_it(server.backend, Selection(), artifacts_destination=str(server.artifacts))
    assert expected["model_versions"]
    assert expected["files"]


@pytest.mark.parametrize("form", ["mlruns", "exim"])
def test_folders_are_read_by_others(tmp_path: Path, form: str) -> None:
    write_store(example(""), tmp_path / "mlruns")
    uri = str(tmp_path / "mlruns") if form == "mlruns" else f"exim:{write_exim(example(''), tmp_path / 'exim')}"
    expected = assert_others_read_it(uri, Selection())
    assert len(expected["runs"]) == 4
    assert sum(expected["files"].values()) == 3
