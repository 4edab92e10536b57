"""Fingerprints of what stays are those that a source of it would state, whatever the chunks are."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mlflow_archive.flow.chunk import ArtifactFile
from mlflow_archive.format.fingerprint import Fingerprint, LatestMetric, entity_fingerprint, run_fingerprint
from mlflow_archive.redacting.fingerprints import Fingerprints
from tests.support.chunks import artifact, pairs, points, run, table

A, B = "a" * 32, "b" * 32
NAN = math.nan


def both(fingerprint: Fingerprint) -> tuple[str, str | None]:
    return str(fingerprint), fingerprint.contents


def of_runs(*chunks: dict[str, list[dict[str, Any]]], files: tuple[ArtifactFile, ...] = ()) -> Fingerprints:
    fingerprints = Fingerprints("run")
    for number, rows in enumerate(chunks):
        tables = {name: table(name, values) for name, values in rows.items()}
        fingerprints.add(tables, files if number == 0 else ())
    return fingerprints


def test_of_runs_in_several_chunks() -> None:
    infos = {A: run(A, "1", run_name=None), B: run(B, "1")}
    params, tags = {"lr": "0.1", "depth": "3"}, {"note": "x", "none": None}
    files = (artifact(A, "a/x", b"12"), artifact(B, "y", b"345"))
    loss, other = points(A, "loss", [3.0, 2.0, 1.0]), points(A, "acc", [0.5])
    found = of_runs(
        {
            "runs": [*infos.values()],
            "params": pairs(A, params),
            "tags": [*pairs(A, tags), *pairs(B, {"b": "1"})],
            "metrics": [*other, *loss[:2]],
        },
        {"metrics": [*loss[2:], *points(B, "loss", [7.0])]},
        files=files,
    )
    latest = [(row["key"], row["step"], row["timestamp"], row["value"]) for row in (loss[2], other[0])]
    assert both(found.of(A)) == both(run_fingerprint(infos[A], params, tags, latest, files[:1], {"loss": 3, "acc": 1}))
    [point] = points(B, "loss", [7.0])
    latest_of_b = [("loss", 0, point["timestamp"], 7.0)]
    assert both(found.of(B)) == both(run_fingerprint(infos[B], {}, {"b": "1"}, latest_of_b, files[1:], {"loss": 1}))


@pytest.mark.parametrize(
    ("points_of_metric", "latest"),
    [
        ([(0, 0, 1.0), (0, 0, 2.0)], 2.0),
        ([(0, 0, 2.0), (0, 0, 1.0)], 2.0),
        ([(0, 1, 1.0), (0, 0, 2.0)], 1.0),
        ([(1, 0, 1.0), (0, 9, 2.0)], 1.0),
        ([(0, 0, 1.0), (0, 0, NAN)], 1.0),
        ([(0, 0, NAN), (0, 0, -1.0)], NAN),
    ],
)
def test_the_latest_point_is_that_of_the_highest_step_time_and_value(
    points_of_metric: list[tuple[int, int, float]], latest: float
) -> None:
    """MUST: of equal steps and times the highest value, a NaN counting as 0; in one chunk and in two."""
    rows = [{"run_id": A, "key": "m", "step": s, "timestamp": t, "value": v} for s, t, v in points_of_metric]
    info = run(A, "1")
    [(step, time)] = [(step, time) for step, time, value in points_of_metric if repr(value) == repr(latest)]
    expected: list[LatestMetric] = [("m", step, time, latest)]
    for chunks in ([rows], [rows[:1], rows[1:]]):
        found = of_runs({"runs": [info], "metrics": chunks[0]}, *({"metrics": rest} for rest in chunks[1:]))
        assert both(found.of(A)) == both(run_fingerprint(info, {}, {}, expected, [], {"m": 2}))


def test_of_traces_without_their_spans() -> None:
    trace = {"trace_id": "t", "experiment_id": "1", "request_time": 5, "state": "OK"}
    tags = [{"trace_id": "t", "key": "k", "value": "v"}, {"trace_id": "u", "key": "k", "value": "w"}]
    span = {"trace_id": "t", "span_id": "s", "status": "OK", "start_time_unix_nano": 1, "content": "{}"}
    files = [artifact("t", "x", b"1", kind="trace")]
    found = Fingerprints("trace")
    found.add({name: table(name, rows) for name, rows in (("traces", [trace]), ("spans", [span]))}, files)
    found.add({"trace_tags": table("trace_tags", tags), "params": table("params", pairs("t", {"a": "b"}))}, [])
    expected = entity_fingerprint({"traces": [trace], "trace_tags": tags[:1]}, files)
    assert both(found.of("t")) == both(expected)
    assert both(found.of("u")) == both(entity_fingerprint({"trace_tags": tags[1:]}, []))
