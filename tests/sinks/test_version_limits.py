"""How long texts may be in older MLflow versions."""

from __future__ import annotations

import pytest

from mlflow_archive.sinks.replay import Limits, ReplayOptions
from mlflow_archive.sinks.replay.options import fitted_to, limits_of


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.7.1", (500, 5000, 5000, 65535, 5000)),
        ("2.9.2", (6000, 5000, 5000, 65535, 5000)),
        ("2.16.2", (6000, 5000, 5000, 1048575, 5000)),
        ("2.22.5", (6000, 8000, 5000, 1048575, 5000)),
        ("3.1.4", (6000, 8000, 5000, 1048575, 100_000)),
        ("3.16.0rc1", (6000, 8000, 20000, 1048575, 100_000)),
        ("4.0.0", (6000, 8000, 20000, 1048575, 100_000)),
        (None, (6000, 8000, 20000, 1048575, 100_000)),
    ],
)
def test_limits_of_a_version(version: str | None, expected: tuple[int, ...]) -> None:
    limits = limits_of(version)
    found = (limits.param, limits.tag, limits.experiment_tag, limits.dataset_schema, limits.model_version_tag)
    assert found == expected


def test_tags_of_model_versions_were_shorter_before_31() -> None:
    assert [limits_of(version).model_version_tag for version in ("3.0.1", "3.1.0")] == [5000, 100_000]


def test_limits_of_the_caller_stay() -> None:
    own = ReplayOptions(limits=Limits(tag=9))
    assert fitted_to(own, "2.9.2") is own
