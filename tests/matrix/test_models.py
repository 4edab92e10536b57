"""Numbers of versions, and files that lie in no run, in servers of each MLflow version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.format.refusals import KIND_REFUSED
from mlflow_archive.sinks.replay import ReplaySink, open_target
from tests.matrix.environments import VERSIONS, environment
from tests.replay.small import small
from tests.support.mlflow_server import running_server

API = "/api/2.0/mlflow/"


def replay(uri: str) -> Report:
    return copy(small(), ReplaySink(open_target(uri)), jobs=2)


def prompts(uri: str) -> list[dict[str, Any]]:
    """Return the versions of the prompt: a server that knows prompts hides them from who does not ask for them."""
    found: list[dict[str, Any]] = []
    for condition in ("name='prompt'", "name='prompt' AND tags.`mlflow.prompt.is_prompt` = 'true'"):
        params = {"filter": condition, "max_results": "100"}
        found = found or requests.get(f"{uri}{API}model-versions/search", params=params, timeout=60).json().get(
            "model_versions", []
        )
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_and_files_arrive(version: str, tmp_path: Path) -> None:
    with running_server(tmp_path, python=environment(version)) as server:

        def get(path: str, **params: str) -> Any:
            answer = requests.get(server.uri + API + path, params=params, timeout=60)
            answer.raise_for_status()
            return answer.json()

        first, second = replay(server.uri), replay(server.uri)
        assert all(not done["created"] and not done["updated"] for done in second.details["outcomes"].values())  # type: ignore[attr-defined]
        gaps = [(gap.owner_kind, gap.code) for gap in first.gaps]
        assert gaps == ([] if version.startswith("3") else [("logged_model", KIND_REFUSED)])
        found = get("model-versions/search", filter="name='model'", max_results="100")["model_versions"]
        assert sorted(int(v["version"]) for v in found) == [1, 3, 4]
        assert [v["version"] for v in prompts(server.uri)] == ["2"]
        [three] = [v for v in found if v["version"] == "3"]
        assert three["description"] == "Third."
        assert get("registered-models/alias", name="model", alias="best")["model_version"]["version"] == "3"
        uri = get("model-versions/get-download-uri", name="model", version="3")["artifact_uri"]
        assert (server.artifacts / uri.removeprefix("mlflow-artifacts:/") / "MLmodel").is_file()
        body = {"name": "model", "source": "s3://bucket/new"}
        made = requests.post(f"{server.uri}{API}model-versions/create", json=body, timeout=60).json()
        assert made["model_version"]["version"] == "6", "5 is one that was deleted at the source"
