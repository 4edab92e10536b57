"""Made-up logged models, traces and registered models are read back as they were written."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlflow_archive.sources.mlruns import MlrunsSource
from tests.support.mlruns import keyed_values, one_run, values, write_meta, write_values
from tests.support.reading import Read, bits, read_source

TIMES = st.integers(0, 4_000_000_000_000)
TEXTS = st.none() | values()
MODEL_ID, TRACE_ID = "m-" + "a" * 32, "tr-" + "b" * 32
Point = tuple[int, int, str, float, tuple[str, str] | None]
NAMES = st.text("aZ0_-. éß漢", min_size=1, max_size=12).filter(lambda name: name == name.strip() and name.strip("."))
_DATASETS = st.tuples(NAMES, st.text("0123456789abcdef", min_size=1, max_size=8))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | values(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """One of each kind: the scalars of its meta.yaml, and what lies in files beside it."""

    model: dict[str, Any]
    params: dict[str, str]
    model_tags: dict[str, str]
    points: dict[str, list[Point]]
    trace: dict[str, Any]
    tags: dict[str, str]
    metadata: dict[str, str]
    assessments: dict[str, tuple[str, Any, str | None]]
    name: str
    registered: dict[str, Any]
    registered_tags: dict[str, str]
    versions: dict[int, tuple[dict[str, Any], dict[str, str]]]
    aliases: dict[str, int] = field(default_factory=dict)


def _points() -> st.SearchStrategy[dict[str, list[Point]]]:
    point = st.tuples(
        TIMES, st.integers(-5, 5), st.sampled_from(["a" * 32, "b" * 32]), st.floats(), st.none() | _DATASETS
    )
    history = st.lists(point, min_size=1, max_size=4, unique_by=lambda each: each[:3])
    return st.dictionaries(NAMES, history, max_size=2)


def objects() -> st.SearchStrategy[Objects]:
    return st.builds(
        Objects,
        model=st.fixed_dictionaries(
            {
                "name": values(),
                "creation_timestamp": TIMES,
                "last_updated_timestamp": TIMES,
                "status": st.integers(0, 3),
                "model_type": TEXTS,
                "source_run_id": TEXTS,
                "status_message": TEXTS,
            }
        ),
        params=keyed_values(),
        model_tags=keyed_values(),
        points=_points(),
        trace=st.fixed_dictionaries(
            {
                "request_preview": TEXTS,
                "response_preview": TEXTS,
                "client_request_id": TEXTS,
                "execution_duration_ms": st.none() | TIMES,
                "state": st.sampled_from(["OK", "ERROR", "IN_PROGRESS", "STATE_UNSPECIFIED"]),
                "timestamp_ms": TIMES,
            }
        ),
        tags=keyed_values(),
        metadata=keyed_values(),
        assessments=st.dictionaries(
            st.text("0123456789abcdef", min_size=1, max_size=8).map("a-{}".format),
            st.tuples(values(), _JSON, TEXTS),
            max_size=3,
        ),
        name=NAMES,
        registered=st.fixed_dictionaries(
            {"creation_timestamp": TIMES, "last_updated_timestamp": TIMES, "description": TEXTS}
        ),
        registered_tags=keyed_values(),
        versions=st.dictionaries(
            st.integers(1, 200),
            st.tuples(
                st.fixed_dictionaries(
                    {
                        "description": TEXTS,
                        "run_link": TEXTS,
                        "status": st.sampled_from(["READY", "PENDING_REGISTRATION"]),
                        "current_stage": st.sampled_from(["None", "Production", "Deleted_Internal"]),
                        "user_id": TEXTS,
                    }
                ),
                keyed_values(2),
            ),
            max_size=4,
        ),
        aliases=st.dictionaries(NAMES, st.integers(1, 200), max_size=2),
    )


def write(each: Objects, root: Path) -> None:
    one_run(root)
    model = root / "1" / "models" / MODEL_ID
    write_meta(model, {**each.model, "model_id": MODEL_ID, "experiment_id": "1"})
    write_values(model / "params", each.params)
    write_values(model / "tags", each.model_tags)
    for key, points in each.points.items():
        lines = [
            f"{time} {value} {step} {run_id}" + ("" if dataset is None else " {} {}".format(*dataset))
            for time, step, run_id, value, dataset in points
        ]
        write_values(model / "metrics", {key: "".join(f"{line}\n" for line in lines)})
    trace = root / "1" / "traces" / TRACE_ID
    write_meta(trace, {**each.trace, "trace_id": TRACE_ID})
    (trace / "meta.yaml").rename(trace / "trace_info.yaml")
    write_values(trace / "tags", each.tags)
    write_values(trace / "request_metadata", each.metadata)
    for assessment_id, (name, value, rationale) in each.assessments.items():
        document = {
            "assessment_name": name,
            "create_time": "2026-01-01T00:00:00.25Z",
            "feedback": {"value": value},
            "rationale": rationale,
            "source": {"source_type": "CODE"},
        }
        write_meta(trace / "assessments", document)
        (trace / "assessments" / "meta.yaml").rename(trace / "assessments" / f"{assessment_id}.yaml")
    folder = root / "models" / each.name
    write_meta(folder, {**each.registered, "name": each.name})
    write_values(folder / "tags", each.registered_tags)
    write_values(folder / "aliases", {alias: str(number) for alias, number in each.aliases.items()})
    for number, (fields, tags) in each.versions.items():
        write_meta(folder / f"version-{number}", {**fields, "version": number, "name": each.name})
        write_values(folder / f"version-{number}" / "tags", tags)


def canonical(value: Any) -> str:
    """Return JSON in which 1 and 1.0 differ, as keys of a YAML mapping are sorted."""
    return json.dumps(value, sort_keys=True)


def check(each: Objects, found: Read) -> None:
    (model,) = found.tables["logged_models"]
    status = ("UNSPECIFIED", "PENDING", "READY", "FAILED")[each.model["status"]]
    assert {name: model[name] for name in each.model} == {**each.model, "status": status}
    for table, pairs in (
        ("logged_model_params", each.params),
        ("logged_model_tags", each.model_tags),
        ("trace_tags", each.tags),
        ("trace_metadata", each.metadata),
        ("registered_model_tags", each.registered_tags),
    ):
        assert {row["key"]: row["value"] for row in found.tables[table]} == pairs
    assert sorted(
        (
            r["key"],
            r["timestamp"],
            r["step"],
            r["run_id"],
            bits(r["value"]),
            r["dataset_name"] or "",
            r["dataset_digest"] or "",
        )
        for r in found.tables["logged_model_metrics"]
    ) == sorted(
        (key, time, step, run_id, bits(value), *(dataset or ("", "")))
        for key, points in each.points.items()
        for time, step, run_id, value, dataset in points
    )
    (trace,) = found.tables["traces"]
    assert trace["request_time"] == each.trace["timestamp_ms"]
    assert {name: trace[name] for name in each.trace if name != "timestamp_ms"} == {
        name: value for name, value in each.trace.items() if name != "timestamp_ms"
    }
    assert {
        row["assessment_id"]: (row["name"], canonical(json.loads(row["value"])), row["rationale"])
        for row in found.tables["assessments"]
    } == {key: (name, canonical(value), rationale) for key, (name, value, rationale) in each.assessments.items()}
    (registered,) = found.tables["registered_models"]
    times = {"creation_timestamp": "creation_time", "last_updated_timestamp": "last_updated_time"}
    assert registered["name"] == each.name
    assert {name: registered[times.get(name, name)] for name in each.registered} == each.registered
    assert {row["alias"]: row["version"] for row in found.tables["registered_model_aliases"]} == each.aliases
    assert {
        row["version"]: {name: row[name] for name in each.versions[row["version"]][0]}
        for row in found.tables["model_versions"]
    } == {number: fields for number, (fields, _) in each.versions.items()}
    assert sorted((row["version"], row["key"], row["value"]) for row in found.tables["model_version_tags"]) == sorted(
        (number, *tag) for number, (_, tags) in each.versions.items() for tag in tags.items()
    )
    assert found.tables["gaps"] == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(each=objects())
def test_what_was_written_is_read(each: Objects) -> None:
    """Every field, key, point, version and assessment comes back; what is read twice has the same fingerprints."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "mlruns")
        write(each, root)
        found = read_source(MlrunsSource(root))
        check(each, found)
        assert found.tables["fingerprints"] == read_source(MlrunsSource(root)).tables["fingerprints"]
