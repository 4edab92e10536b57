"""Traces and evaluation datasets of a real server, made with MLflow's client, replayed and read back field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.flow.report import Report
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.sinks.replay import ReplayOptions
from mlflow_archive.sinks.replay.locate import locate_replay
from tests.support.everything import Filled, filled_server
from tests.support.mlflow_server import MlflowServer, running_server
from tests.support.restoring import export
from tests.support.trace_views import TracePlace, client_of

PLACES = {"mlflow.artifactLocation", "mlflow.trace.spansLocation", "mlflow.trace.archiveLocation"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """A filled server, what was put into it, its archived payloads, and an archive of all of it."""

    place: TracePlace
    filled: Filled
    archived: dict[str, bytes]
    archive: Path


def place_of(server: MlflowServer) -> TracePlace:
    return TracePlace(uri=server.uri, database=server.database, artifacts=server.artifacts)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    folder = tmp_path_factory.mktemp("source")
    with filled_server(folder / "server") as (server, filled):
        archived = {path.parent.parent.name: path.read_bytes() for path in server.artifacts.rglob("traces.pb")}
        assert list(archived) == [filled.traces.traces["archived"]]
        archive = export(server.backend, folder / "a.mlfa", artifacts_destination=str(server.artifacts))
        yield Real(place=place_of(server), filled=filled, archived=archived, archive=archive)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    place: TracePlace
    report: Report
    target: str
    artifact_root: str | None

    def ids(self, kind: str) -> dict[str, str]:
        details = cast("dict[str, Any]", self.report.details)
        found = details[f"{kind}s"] if kind in ("run", "experiment") else details["ids"].get(kind, {})
        return dict(found)


def replay(real: Real, target: str, artifact_root: str | None) -> Report:
    with open_archive(real.archive) as archive:
        sink = locate_replay(target, archive, options=ReplayOptions(artifact_root=artifact_root))
        return copy(ArchiveSource(archive), sink, jobs=2)


@pytest.fixture(scope="module", params=["server", "store"])
def replayed(
    request: pytest.FixtureRequest, real: Real, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replayed]:
    folder = tmp_path_factory.mktemp("target")
    if request.param == "server":
        with running_server(folder) as server:
            report = replay(real, server.uri, None)
            yield Replayed(place=place_of(server), report=report, target=server.uri, artifact_root=None)
        return
    uri, root = f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts"
    report = replay(real, uri, str(root))
    place = TracePlace(uri=uri, database=folder / "mlflow.db", artifacts=root)
    yield Replayed(place=place, report=report, target=uri, artifact_root=str(root))


def test_nothing_of_them_is_refused(real: Real, replayed: Replayed) -> None:
    ours = ("trace", "evaluation_dataset")
    assert [gap for gap in replayed.report.gaps if gap.owner_kind in ours] == []
    assert replayed.place.trace_ids() == real.place.trace_ids()
    assert set(replayed.ids("trace").items()) == {(each, each) for each in real.place.trace_ids()}


def test_infos_tags_and_metadata_are_kept_at_full_length(real: Real, replayed: Replayed) -> None:
    experiments, runs = replayed.ids("experiment"), replayed.ids("run")
    for trace_id in real.place.trace_ids():
        [before], [after] = (place.rows("trace_info", trace_id) for place in (real.place, replayed.place))
        assert after.pop("experiment_id") == int(experiments[str(before.pop("experiment_id"))])
        assert {**after, "db_payload_generation": 0} == {**before, "db_payload_generation": 0}
        tags = replayed.place.pairs("trace_tags", trace_id)
        plain = {key: value for key, value in tags.items() if not key.startswith("mlflow_export_import.")}
        wanted = real.place.pairs("trace_tags", trace_id)
        assert _without(plain, PLACES) == _without(wanted, PLACES)
        assert {tags[f"mlflow_export_import.{key}"] for key in PLACES & wanted.keys()} == {
            wanted[key] for key in PLACES & wanted.keys()
        }
        metadata = real.place.pairs("trace_request_metadata", trace_id)
        if run_id := metadata.get("mlflow.sourceRun"):
            metadata["mlflow.sourceRun"] = runs[run_id]
        assert replayed.place.pairs("trace_request_metadata", trace_id) == {
            **metadata,
            "mlflow.trace.infoFinalized": "true",
        }


def _without(values: dict[str, str], keys: set[str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if key not in keys}


def test_assessments_keep_ids_times_and_validity(real: Real, replayed: Replayed) -> None:
    runs, issues, experiments = (replayed.ids(kind) for kind in ("run", "issue", "experiment"))
    seen = 0
    for trace_id in real.place.trace_ids():
        wanted = {row["assessment_id"]: row for row in real.place.rows("assessments", trace_id)}
        for row in wanted.values():
            row["experiment_id"] = int(experiments[str(row["experiment_id"])])
            row["name"] = issues.get(row["name"], row["name"])
            row["run_id"] = runs.get(row["run_id"], row["run_id"])
            for source, target in runs.items():
                row["assessment_metadata"] = (row["assessment_metadata"] or "").replace(source, target) or None
        found = {row["assessment_id"]: row for row in replayed.place.rows("assessments", trace_id)}
        assert found == wanted
        seen += len(found)
    assert seen >= 15


def test_spans_are_the_same_to_the_nanosecond(real: Real, replayed: Replayed) -> None:
    from mlflow.tracing.otel.otel_archival import traces_data_pb_to_spans  # noqa: PLC0415 - takes seconds

    for name, trace_id in real.filled.traces.traces.items():
        if name == "running":
            continue
        if name == "archived":  # by a job of the server, of whose result clients see nothing here
            wanted = traces_data_pb_to_spans(real.archived[trace_id])
        else:
            wanted = real.place.trace(trace_id).data.spans
        found = replayed.place.trace(trace_id).data.spans
        assert [span.to_dict() for span in found] == [span.to_dict() for span in wanted], name
        assert wanted, name


def test_spans_of_the_database_are_rows_again(real: Real, replayed: Replayed) -> None:
    experiments = replayed.ids("experiment")
    in_table = 0
    for trace_id in real.place.trace_ids():
        wanted = {row["span_id"]: row for row in real.place.rows("spans", trace_id)}
        for row in wanted.values():
            row["experiment_id"] = int(experiments[str(row["experiment_id"])])
        assert {row["span_id"]: row for row in replayed.place.rows("spans", trace_id)} == wanted
        in_table += bool(wanted)
    assert in_table == 3
    assert "traces_with_spans_as_artifact" not in replayed.report.details["changed"]  # type: ignore[operator]


def test_files_are_the_same_byte_for_byte(real: Real, replayed: Replayed) -> None:
    for name, trace_id in real.filled.traces.traces.items():
        found = replayed.place.files(trace_id)
        if name == "archived":
            assert found.pop("traces.pb") == real.archived[trace_id]
            assert len(json.loads(found.pop("traces.json"))["spans"]) == 2
        assert found == real.place.files(trace_id), name


def test_links_lead_to_the_runs_and_prompts_of_the_target(real: Real, replayed: Replayed) -> None:
    runs = replayed.ids("run")
    seen = 0
    for trace_id in real.place.trace_ids():
        wanted = {
            (row["destination_type"], runs.get(row["destination_id"], row["destination_id"]))
            for row in real.place.rows("entity_associations", trace_id)
        }
        found = replayed.place.rows("entity_associations", trace_id)
        assert {(row["destination_type"], row["destination_id"]) for row in found} == wanted
        seen += len(wanted)
    assert seen == 4


def test_mlflows_client_shows_the_same_info(real: Real, replayed: Replayed) -> None:
    trace_id = real.filled.traces.traces["agent"]
    before, after = (place.trace(trace_id).info for place in (real.place, replayed.place))
    for field in (
        "trace_id",
        "client_request_id",
        "request_time",
        "execution_duration",
        "state",
        "token_usage",
        "cost",
    ):
        assert getattr(after, field) == getattr(before, field), field
    assert (after.request_preview, after.response_preview) == (before.request_preview, before.response_preview)
    assert _shown(after.assessments) == _shown(before.assessments)


def _shown(assessments: list[Any]) -> dict[str, Any]:
    shown = {each.assessment_id: each.to_dictionary() for each in assessments}
    for each in shown.values():
        if "feedback" not in each:
            each.pop("valid", None)  # shown by a store, but not over HTTP
    return shown


def test_evaluation_datasets_keep_their_content(real: Real, replayed: Replayed) -> None:
    experiments, datasets = replayed.ids("experiment"), replayed.ids("evaluation_dataset")
    assert set(datasets) == set(real.filled.evaluation.datasets.values())
    numbers = []
    for source_id, target_id in datasets.items():
        one, two = _dataset(real.place, source_id), _dataset(replayed.place, target_id)
        own = {key: two.tags.pop(key) for key in list(two.tags) if key.startswith("mlflow_export_import.")}
        assert (two.name, two.tags, two.created_by) == (one.name, one.tags, one.created_by)
        assert [json.loads(each or "null") for each in (two.schema, two.profile)] == [
            json.loads(each or "null") for each in (one.schema, one.profile)
        ]
        assert sorted(two.experiment_ids) == sorted(experiments[each] for each in one.experiment_ids)
        assert own["mlflow_export_import.evaluation_dataset.created_time"] == str(one.created_time)
        assert _records(two) == _records(one)
        numbers.append((len(one.records), len(one.experiment_ids)))
    assert sorted(numbers) == [(0, 0), (4, 2)]


def _dataset(place: TracePlace, dataset_id: str) -> Any:
    with client_of(place.uri) as client:
        found = client.get_dataset(dataset_id)
        assert (found.records, found.experiment_ids) is not None, "read now, from this place"
        return found


def _records(dataset: Any) -> list[str]:
    own = ("dataset_record_id", "dataset_id", "created_time", "last_update_time")
    return sorted(
        json.dumps({name: value for name, value in record.to_dict().items() if name not in own}, sort_keys=True)
        for record in dataset.records
    )


def test_a_second_import_changes_nothing(real: Real, replayed: Replayed) -> None:
    before = {trace_id: replayed.place.state(trace_id) for trace_id in replayed.place.trace_ids()}
    report = replay(real, replayed.target, replayed.artifact_root)
    outcomes = report.details["outcomes"]
    expected = {"created": 0, "updated": 0, "skipped": len(before)}
    assert outcomes["trace"] == expected  # type: ignore[index]
    assert outcomes["evaluation_dataset"] == {"created": 0, "updated": 0, "skipped": 2}  # type: ignore[index]
    assert {trace_id: replayed.place.state(trace_id) for trace_id in replayed.place.trace_ids()} == before
