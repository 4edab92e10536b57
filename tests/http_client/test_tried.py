"""An MLflow that is newer than what was tried is said in one sentence, and not refused."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.http import tried
from mlflow_archive.sinks.replay import ReplayOptions
from mlflow_archive.sinks.replay.locate import open_target
from mlflow_archive.sinks.replay.workspace_sink import WorkspaceSink
from tests.support.chunks import ChunkSource, chunk, experiment


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("3.18", False),
        ("3.18.9", False),
        ("2.22.0", False),
        ("1.99", False),
        (None, False),
        ("odd", False),
        ("3.19.0", True),
        ("3.19.0rc1", True),
        ("4.0", True),
        ("10.2", True),
    ],
)
def test_only_what_is_newer_is_said(version: str | None, said: bool) -> None:
    sentence = tried.untried(version)
    assert (sentence is not None) is said
    assert sentence is None or sentence.startswith(f"MLflow {version} is newer than 3.18")


def test_an_import_notes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tried, "NEWEST_TRIED", (1, 0))
    target = open_target(f"sqlite:///{tmp_path / 'm.db'}", artifact_root=str(tmp_path / "artifacts"))
    source = ChunkSource((0, [chunk(experiments=[experiment("5", "e")])]))
    report = copy(source, WorkspaceSink(target, options=ReplayOptions()))
    assert re.fullmatch(r"MLflow \S+ is newer than 1\.0, .*", str(report.details["notes"]).strip("[]'"))
    assert report.complete


def test_the_requirements_have_no_upper_bound_on_mlflow() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    requirements = [*project["dependencies"], *(each for extra in extras for each in extra)]
    of_mlflow = [text for text in requirements if re.match(r"mlflow\b", text)]
    assert of_mlflow
    assert not any("<" in text or "==" in text or "~" in text for text in of_mlflow)
