"""The archive from Python, and the database that `serve` puts the pages of MLflow on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pyarrow.compute as pc

import mlflow_archive as ma
from mlflow_archive.api.serving.database import _prepare, _restore
from mlflow_archive.api.serving.location import State
from mlflow_archive.errors import MlflowArchiveError
from mlflow_archive.flow.report import Quiet
from mlflow_archive.reader.archive import open_archive
from tests.hostile.base import TRACE
from tests.spec.drafts import RUN_A
from tests.support.databases import empty_database


def _objects(path: Path, folder: Path) -> None:
    with ma.open(path) as archive:
        archive._repr_html_()
        archive.search_runs(filter_string="metrics.loss < 100", order_by=["params.depth DESC"])
        run = archive.run(RUN_A)
        run.history("loss").to_pandas()
        for file in run.artifacts.files():
            file.read_bytes()
        archive.get(TRACE)._repr_html_()


def _tables(path: Path, folder: Path) -> None:
    with ma.open(path) as archive:
        for table in archive.tables.values():
            table.to_pandas()
            table.to_table(filter=pc.field(table.schema.names[0]) >= "a")
            len(table)


def _served(path: Path, folder: Path) -> None:
    """Make the database of `serve` as it does, but out of a copy: MLflow takes seconds to make an empty one."""
    database = folder / "served.db"
    shutil.copyfile(empty_database(), database)
    with open_archive(path) as archive:
        _restore(archive, State(path), database, Quiet())
    _prepare(database)


LOOKS: Final[Mapping[str, Callable[[Path, Path], None]]] = {"objects": _objects, "tables": _tables, "served": _served}


def look(name: str, path: Path, folder: Path) -> int:
    """Do one of these things and return the exit code that the command would end with."""
    try:
        LOOKS[name](path, folder)
    except MlflowArchiveError as error:
        return error.exit_code
    except KeyError:  # what Python says of an artifact or metric that is not there
        return 2
    return 0
