"""Names of an archive that would meet in the target, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.api.replaying import check_names
from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.selecting.selection import Selection
from mlflow_archive.sinks.replay import ReplayOptions
from mlflow_archive.writer.export import ArchiveSink
from tests.replay.small import registered
from tests.support.chunks import ChunkSource, chunk, experiment


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("named") / "a.mlfa"
    experiments = [experiment("1", "a"), experiment("2", "b"), experiment("3", "c", lifecycle_stage="deleted")]
    models = [registered("m"), registered("n"), registered("m", workspace="team")]
    datasets = [{"dataset_id": number, "name": name} for number, name in (("d1", "q"), ("d2", "q"), ("d3", "r"))]
    first = chunk(experiments=experiments)
    rest = chunk(registered_models=models, evaluation_datasets=datasets)
    copy(ChunkSource((0, [first]), (1, [rest])), ArchiveSink(path, tool="t", clock_ms=lambda: 0), jobs=1)
    return path


def checked(archive: Path, selection: Selection | None = None, **options: Any) -> list[str]:
    with open_archive(archive) as opened:
        return check_names(opened, ReplayOptions(**options), selection or Selection())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rename_experiment": {"a": "b"}}, "the experiments 'a', 'b' of the archive would all be 'b'"),
        ({"rename_model": {"m": "n"}}, "the models 'm', 'n' of the archive would all be 'n'"),
        ({"rename_model": {"*": "one"}}, "the models 'm', 'n' of the archive would all be 'one'"),
        ({"rename_evaluation_dataset": {"q": "r"}}, "the evaluation datasets 'q', 'r' of the archive"),
    ],
)
def test_names_that_would_meet(options: dict[str, Any], message: str, archive: Path) -> None:
    with pytest.raises(SelectionError) as caught:
        checked(archive, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rename_experiment": {"a": "c"}},
        {"rename_experiment": {"a": "x", "b": "x"}},
        {"rename_model": {"m": "x", "n": "m"}},
        {"rename_model": {"team/m": "n"}},
        {"rename_evaluation_dataset": {"q": "x"}},
    ],
)
def test_names_that_do_not_meet(options: dict[str, Any], archive: Path) -> None:
    assert checked(archive, **options) == []


def test_what_is_left_out_meets_nothing(archive: Path) -> None:
    assert checked(archive, Selection(experiments=("a",)), rename_experiment={"a": "b"}) == []
    assert checked(archive, Selection(kinds=("run",)), rename_model={"m": "n"}) == [
        "no registered model of this name is imported, so that none is renamed: 'm'"
    ]


def test_names_that_nothing_has_are_told(archive: Path) -> None:
    assert checked(archive, rename_experiment={"a": "x", "zz": "y", "z*": "y*"}, rename_model={"team/n": "x"}) == [
        "no experiment of this name is imported, so that none is renamed: 'zz'",
        "no registered model of this name is imported, so that none is renamed: 'team/n'",
    ]
