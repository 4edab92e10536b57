"""One archive to look into."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlflow_archive.reader.archive import Archive
from tests.inspection.world import written


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    with written(tmp_path_factory.mktemp("world") / "a") as archive:
        yield archive
