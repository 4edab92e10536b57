"""From one server straight into another place, without an archive between: the same happens as through an archive."""

from __future__ import annotations

from typing import Any

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.flow.source import Source
from mlflow_archive.format.refusals import SECRET_NEEDED
from mlflow_archive.kinds import SCORER
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.sinks.replay import ReplaySink, open_target
from mlflow_archive.sources.locate import locate_source
from tests.support.everything import Filled
from tests.support.mlflow_server import MlflowServer
from tests.support.restoring import export


@pytest.fixture(scope="module")
def reports(everything: tuple[MlflowServer, Filled], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """Of the copies of the same server, straight and through an archive."""
    server, _ = everything
    folder = tmp_path_factory.mktemp("server-to-server")

    def replayed(name: str, source: Source) -> Report:
        target = open_target(f"sqlite:///{folder / name}.db", artifact_root=str(folder / name))
        return copy(source, ReplaySink(target), jobs=4)

    with open_archive(export(server.uri, folder / "archive.mlfa")) as archive:
        return {
            "straight": replayed("straight", locate_source(server.uri)),
            "archive": replayed("archive", ArchiveSource(archive)),
        }


def test_a_scorer_waits_for_the_endpoint_that_it_asks(
    reports: dict[str, Report], everything: tuple[MlflowServer, Filled]
) -> None:
    """The endpoint waits for a secret that nothing carries; so must the scorer, whose text names its id."""
    refused = [gap for gap in reports["straight"].gaps if gap.owner_kind == SCORER and gap.code == SECRET_NEEDED]
    assert [gap.reason.partition(":")[0] for gap in refused] == ["2 scorers ('judge ü', 'other')"]
    outcomes: Any = reports["straight"].details["outcomes"]
    assert outcomes[SCORER].get("created", 0) == 0


def test_the_same_becomes_of_every_kind(reports: dict[str, Report]) -> None:
    straight, archived = (reports[name].details["outcomes"] for name in ("straight", "archive"))
    assert straight == archived
    records = {name: report.counts["evaluation_dataset_records"] for name, report in reports.items()}
    assert records["straight"] == records["archive"] > 1
    gaps = [{(gap.owner_kind, gap.owner_id, gap.path, gap.code) for gap in report.gaps} for report in reports.values()]
    assert gaps[0] == gaps[1]
