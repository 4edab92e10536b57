"""MLflow's search syntax on an archive: the same runs as MLflow itself finds."""

from __future__ import annotations

import math

import pytest

from mlflow_archive.errors import SelectionError
from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.archive import Archive, open_archive
from mlflow_archive.reader.inspection.listing import Query, list_objects
from mlflow_archive.reader.search import SEARCHABLE
from mlflow_archive.sources.filtering.run_filter import compile_filter
from mlflow_archive.writer.export import ArchiveSink
from tests.support.chunks import ChunkSource, chunk, experiment, pairs, points, run

RUNS = [f"{n:032x}" for n in range(6)]
ODD = "a b/c-d"


def source() -> ChunkSource:
    """Return runs that differ in everything a filter can ask for."""
    statuses = ["FINISHED", "FAILED", "RUNNING", "FINISHED", "KILLED", "SCHEDULED"]
    rows = [
        run(each, "1" if n < 4 else "2", run_name=f"Run {n}", status=statuses[n], start_time=1000 * n, user_id="ada")
        for n, each in enumerate(RUNS)
    ]
    params = [pair for n, each in enumerate(RUNS[:5]) for pair in pairs(each, {"lr": f"0.{n}", ODD: "it's"})]
    tags = [pair for n, each in enumerate(RUNS) for pair in pairs(each, {"team": ["Vision", "vision", "nlp"][n % 3]})]
    metrics = [
        *points(RUNS[0], "loss", [5.0, 0.5]),
        *points(RUNS[1], "loss", [0.1, 2.0]),
        *points(RUNS[2], "loss", [math.nan]),
        *points(RUNS[3], "loss", [-1.0]),
        *points(RUNS[4], ODD, [3.0]),
        *points(RUNS[5], "loss", [math.inf]),
    ]
    first = chunk(
        experiments=[experiment("1", "one"), experiment("2", "two")],
        datasets=[{"experiment_id": "1", "name": "iris", "digest": "d1", "source_type": "x", "source": ""}],
    )
    rest = chunk(
        runs=rows,
        params=params,
        tags=tags,
        metrics=metrics,
        dataset_inputs=[{"run_id": RUNS[0], "dataset_name": "iris", "dataset_digest": "d1"}],
        dataset_input_tags=[
            {"run_id": RUNS[0], "dataset_name": "iris", "dataset_digest": "d1"}
            | {"key": "mlflow.data.context", "value": "t"}
        ],
        trace_tags=[{"trace_id": "tr-1", "key": "k", "value": "v"}],
        traces=[
            {"trace_id": f"tr-{n}", "experiment_id": "1", "request_time": n, "state": "OK", "execution_duration_ms": n}
            for n in (1, 2)
        ],
        assessments=[
            {
                "trace_id": "tr-2", "assessment_id": "a", "name": "score", "assessment_type": "feedback",
                "value": "0.9", "created_timestamp": 1, "last_updated_timestamp": 1, "source_type": "HUMAN",
                "valid": True,
            }
        ],
    )  # fmt: skip
    return ChunkSource((0, [first]), (1, [rest]))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    path = tmp_path_factory.mktemp("search") / "a.mlfa"
    copy(source(), ArchiveSink(path, tool="test", clock_ms=lambda: 0), jobs=1)
    return open_archive(path)


def found(archive: Archive, filter_string: str, kind: str = "run") -> list[str]:
    name = SEARCHABLE[kind].owner[0]
    return [row[name] for row in list_objects(archive, kind, Query(filter_string=filter_string), columns=[name])]


FILTERS = [
    "metrics.loss < 1",
    "metric.loss >= 0.5",
    "metrics.loss != 2.0",
    "metrics.loss > -1e3",
    "metrics.`a b/c-d` = 3",
    'params."a b/c-d" = "it\'s"',
    "params.lr = '0.1'",
    "param.lr != '0.1'",
    "parameters.lr LIKE '0._'",
    "tags.team = 'vision'",
    "tags.team ILIKE 'VIS%'",
    "tags.team LIKE 'vis%'",
    "tag.nothing != 'x'",
    "params.lr IS NULL",
    "params.lr IS NOT NULL AND tags.team = 'nlp'",
    "attributes.status = 'FAILED'",
    "status != 'FINISHED'",
    "run_id IN ('00000000000000000000000000000001', '00000000000000000000000000000003')",
    "attributes.run_id NOT IN ('00000000000000000000000000000001')",
    "start_time >= 2000 and attr.start_time < 4000",
    "run_name LIKE 'Run%'",
    "attributes.`Run name` = 'Run 2'",
    "datasets.name = 'iris'",
    "dataset.digest = 'd2'",
    "datasets.context = 't'",
    "metrics.loss < 1 and params.lr = '0.3' and tags.team = 'Vision'",
]


@pytest.mark.parametrize("filter_string", FILTERS)
def test_the_same_runs_as_mlflow_finds(archive: Archive, filter_string: str) -> None:
    """MLflow's own SearchUtils judges the same runs."""
    from tests.support.searching import mlflow_runs  # noqa: PLC0415 - MLflow takes seconds

    matches = compile_filter(filter_string)
    expected = [each.run_id for each in mlflow_runs(archive) if matches(each, each.latest)]
    assert found(archive, filter_string) == expected


@pytest.mark.parametrize(
    ("filter_string", "expected"),
    [
        ("metrics.loss = nan", None),
        ("execution_time > 1", ["tr-2"]),
        ("tags.k = 'v'", ["tr-1"]),
        ("timestamp_ms <= 1", ["tr-1"]),
        ("feedback.score > 0.5", ["tr-2"]),
        ("feedback.score = '0.9'", ["tr-2"]),
        ("expectation.score = '0.9'", []),
        ("feedback.score IS NULL", ["tr-1"]),
    ],
)
def test_traces(archive: Archive, filter_string: str, expected: list[str] | None) -> None:
    if expected is None:
        with pytest.raises(SelectionError):
            found(archive, filter_string, "trace")
    else:
        assert found(archive, filter_string, "trace") == expected
