"""Traces, models and prompts by name, and the search of traces."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pandas as pd
import pytest

import mlflow_archive as ma
from mlflow_archive.api.objects import Run, Trace
from mlflow_archive.api.registry import ModelVersion
from mlflow_archive.errors import SelectionError
from tests.support.churn import ASKED_MS, FILES, RUN, write_churn

ASKED = datetime.fromtimestamp(ASKED_MS / 1000, UTC)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ma.OpenArchive]:
    with ma.open(write_churn(tmp_path_factory.mktemp("churn") / "a.mlfa")) as archive:
        yield archive


def test_models_and_prompts_are_found_by_name(opened: ma.OpenArchive) -> None:
    assert (list(opened.models), list(opened.prompts)) == (["churn"], ["ask"])
    churn = opened.models["churn"]
    assert (list(churn.versions), dict(churn.aliases)) == ([3, 12], {"champion": 3})
    assert churn.versions[3].info["run_id"] == RUN
    assert [file.path for file in churn.versions[3].artifacts.files()] == ["model/MLmodel"]
    assert list(churn.versions[3].artifacts) == ["MLmodel"]
    assert list(churn.versions[12].artifacts) == ["data.csv"]
    assert list(opened.prompts["ask"].versions[1].artifacts) == []
    assert opened.prompts["ask"].versions[1].pairs == {"tags": {"mlflow.prompt.is_prompt": "true"}}
    with pytest.raises(KeyError, match="no registered model 'ask'; there are churn"):
        opened.models["ask"]
    with pytest.raises(KeyError, match="no prompt 'churn'; there are ask"):
        opened.prompts["churn"]


def test_mlflows_words_name_objects(opened: ma.OpenArchive) -> None:
    version = opened.get("models:/churn@champion")
    assert isinstance(version, ModelVersion)
    assert (version.id, version.info["version"]) == ("churn/3", 3)
    assert opened.get("models:/churn/12").info["version"] == 12
    assert opened.get(f"runs:/{RUN}").info["run_name"] == "first"


def test_a_table_of_objects_has_them_by_name(opened: ma.OpenArchive) -> None:
    assert opened.experiments["churn"].info["experiment_id"] == "1"
    assert opened.runs["first"].info["run_id"] == RUN
    assert isinstance(opened.runs["4b1f0c"], Run)
    traces = [opened.traces[name] for name in ("tr-1", "tr-2")]
    outputs = [[span.outputs for span in trace.spans] for trace in traces if isinstance(trace, Trace)]
    assert outputs == [['"because"'], ['"why not?"']]
    with pytest.raises(SelectionError, match=r"no trace of .* 'tr-3'"):
        opened.traces["tr-3"]
    with pytest.raises(TypeError, match="the rows of params have no names"):
        opened.params["lr"]
    with pytest.raises(TypeError, match="not iterable"):
        list(opened.runs)  # type: ignore[call-overload]


def test_search_traces(opened: ma.OpenArchive) -> None:
    """The columns are MLflow's but for its own object; the newest come first."""
    frame = opened.search_traces()
    assert list(frame.columns) == [
        "trace_id", "experiment_id", "trace_name", "session_id", "client_request_id", "state", "request_time",
        "execution_duration", "request", "response", "trace_metadata", "tags", "spans", "assessments",
    ]  # fmt: skip
    assert frame["trace_id"].tolist() == ["tr-2", "tr-1"]
    assert isinstance(frame["request_time"].dtype, pd.DatetimeTZDtype)
    failed, answered = (row for _, row in frame.iterrows())
    assert (failed["state"], failed["request"], failed["response"]) == ("ERROR", {"q": "why?"}, "why not?")
    assert (failed["trace_metadata"], failed["assessments"]) == ({}, [])
    assert failed["tags"] == {"mlflow.artifactLocation": FILES}
    assert answered["request_time"] == pd.Timestamp(ASKED)
    assert (answered["execution_duration"], answered["response"]) == (25, "because")
    assert (answered["trace_metadata"], answered["tags"]) == ({"mlflow.sourceRun": RUN}, {"team": "vision"})
    assert [span["name"] for span in answered["spans"]] == ["answer"]
    [assessment] = answered["assessments"]
    assert (assessment["value"], assessment["created_timestamp"]) == (True, ASKED)


def test_search_traces_takes_what_mlflows_does(opened: ma.OpenArchive) -> None:
    def found(**asked: object) -> list[str]:
        ids: list[str] = opened.search_traces(**asked)["trace_id"].tolist()  # type: ignore[arg-type]
        return ids

    assert found(filter_string="status = 'ERROR'") == ["tr-2"]
    assert found(filter_string="tags.team = 'vision'", experiment_names=["churn"]) == ["tr-1"]
    assert found(order_by=["timestamp_ms ASC"]) == ["tr-1", "tr-2"]
    assert found(max_results=1) == ["tr-2"]
    assert found(filter_string="trace_name = 'nothing'") == []
    frame = opened.search_traces(include_spans=False)
    assert "spans" not in frame.columns
    assert frame["request"].tolist() == [None, '{"q": …']
    assert frame["response"].tolist() == ["cut off", None]
    with pytest.raises(SelectionError):
        found(experiment_ids=["17"])
