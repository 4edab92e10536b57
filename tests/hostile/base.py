"""The sound archive that mutants are made of: a few objects of the kinds people look at, in every table of theirs."""

from __future__ import annotations

import json
from typing import Any, Final

from mlflow_archive.kinds import TABLES
from tests.spec.carried_tables import FIRST, GIZMOS, stated
from tests.spec.drafts import RUN_A, RUN_B, Draft, Files, Frame, Row, build, build_second, sha

MODEL, TRACE, SPAN = "m-" + "1" * 32, "tr-" + "2" * 32, "3" * 16
TIME: Final = 1_700_000_000_000
LARGE: Final = bytes(range(256)) * 1000
IMAGE: Final = b"\x89PNG\r\n\x1a\n" + bytes(40)

_MODEL_FILE: Final = b"flavors: {}\nrun_id: " + RUN_A.encode() + b"\n"
_VERSION: Final = {"name": "churn", "workspace": "default", "version": 1}
_DATASET: Final = {"dataset_name": "iris", "dataset_digest": "d1"}
_CONTENT: Final[Row] = {
    "trace_id": "AAAAAAAAAAAAAAAAAAAAAA==",
    "span_id": "AAAAAAAAAAE=",
    "parent_span_id": None,
    "name": "ask",
    "start_time_unix_nano": TIME * 1_000_000,
    "end_time_unix_nano": TIME * 1_000_000 + 5,
    "events": [],
    "status": {"code": "STATUS_CODE_OK", "message": ""},
    "attributes": {"mlflow.spanType": '"LLM"', "mlflow.traceRequestId": f'"{TRACE}"'},
    "links": [],
}


def _runs(rows: dict[str, list[Row]]) -> None:
    rows["experiments"][0].update(artifact_location="s3://old/1", creation_time=TIME, last_update_time=TIME)
    rows["experiment_tags"] = [{"experiment_id": "1", "key": "team", "value": "Größe"}]
    rows["tags"] = [
        {"run_id": RUN_A, "key": "mlflow.note.content", "value": "a\nb"},
        {"run_id": RUN_A, "key": "mlflow.user", "value": "ada"},
        {"run_id": RUN_B, "key": "mlflow.parentRunId", "value": RUN_A},
    ]
    rows["datasets"] = [{"experiment_id": "1", "name": "iris", "digest": "d1", "source_type": "local", "source": "{}"}]
    rows["dataset_inputs"] = [{"run_id": RUN_A, **_DATASET}]
    rows["dataset_input_tags"] = [{"run_id": RUN_A, **_DATASET, "key": "mlflow.data.context", "value": "training"}]
    rows["gaps"] = [{"owner_id": "d" * 32, "owner_kind": "run", "path": "", "code": "G201", "reason": "cut off"}]
    rows["fingerprints"] = [{"owner_id": RUN_A, "owner_kind": "run", "fingerprint": "0" * 64}]


def _logged_model(rows: dict[str, list[Row]]) -> None:
    model = {"model_id": MODEL, "experiment_id": "1"}
    stamps = {"creation_timestamp": TIME, "last_updated_timestamp": TIME}
    rows["logged_models"] = [
        {**model, **stamps, "name": "net", "status": "READY", "lifecycle_stage": "active", "source_run_id": RUN_A}
    ]
    rows["logged_model_params"] = [{**model, "key": "depth", "value": "3"}]
    rows["logged_model_tags"] = [{**model, "key": "kind", "value": "tree"}]
    rows["logged_model_metrics"] = [
        {**model, "key": "auc", "timestamp": TIME, "step": 0, "run_id": RUN_A, "value": 0.5}
    ]
    rows["model_outputs"] = [{"run_id": RUN_A, "model_id": MODEL, "step": 0}]


def _trace(rows: dict[str, list[Row]]) -> None:
    trace = {"trace_id": TRACE, "experiment_id": "1"}
    rows["traces"] = [{**trace, "request_time": TIME, "execution_duration_ms": 5, "state": "OK", "trace_name": "ask"}]
    rows["trace_tags"] = [
        {"trace_id": TRACE, "key": "mlflow.traceName", "value": "ask"},
        {"trace_id": TRACE, "key": "topic", "value": "x"},
    ]
    rows["trace_metadata"] = [{"trace_id": TRACE, "key": "mlflow.trace_schema.version", "value": "3"}]
    rows["assessments"] = [
        {
            "trace_id": TRACE,
            "assessment_id": "a-" + "4" * 32,
            "name": "good",
            "assessment_type": "feedback",
            "value": "true",
            "created_timestamp": TIME,
            "last_updated_timestamp": TIME,
            "source_type": "HUMAN",
            "source_id": "ada",
            "valid": True,
        }
    ]
    rows["spans"] = [
        {
            **trace,
            "span_id": SPAN,
            "name": "ask",
            "type": "LLM",
            "status": "OK",
            "start_time_unix_nano": TIME * 1_000_000,
            "end_time_unix_nano": TIME * 1_000_000 + 5,
            "content": json.dumps(_CONTENT),
        }
    ]


def _registry(rows: dict[str, list[Row]]) -> None:
    model = {"name": "churn", "workspace": "default"}
    rows["registered_models"] = [{**model, "creation_time": TIME, "last_updated_time": TIME, "description": "who?"}]
    rows["registered_model_tags"] = [{**model, "key": "team", "value": "x"}]
    rows["registered_model_aliases"] = [{**model, "alias": "best", "version": 1}]
    version = {"current_stage": "None", "source": f"runs:/{RUN_A}/model", "run_id": RUN_A, "status": "READY"}
    rows["model_versions"] = [{**_VERSION, **version, "creation_time": TIME, "last_updated_time": TIME}]
    rows["model_version_tags"] = [{**_VERSION, "key": "checked", "value": "yes"}]


def _files(rows: dict[str, list[Row]]) -> None:
    rows["artifacts"] += [
        {"owner_id": RUN_A, "owner_kind": "run", "path": "model/MLmodel", "size": len(_MODEL_FILE)},
        {"owner_id": RUN_B, "owner_kind": "run", "path": "large.bin", "size": len(LARGE)},
        {"owner_id": RUN_A, "owner_kind": "run", "path": "plot.png", "size": len(IMAGE)},
        {"owner_id": MODEL, "owner_kind": "logged_model", "path": "MLmodel", "size": len(_MODEL_FILE)},
    ]
    digests = {len(data): sha(data) for data in (_MODEL_FILE, LARGE, IMAGE)}
    for row in rows["artifacts"]:
        row.setdefault("digest", digests.get(row["size"]))


def _frames(frames: list[Frame]) -> None:
    cut, whole = 100_000, LARGE
    digest = bytes.fromhex(sha(whole))
    frames += [Frame(blobs=[_MODEL_FILE, IMAGE])]
    frames += [Frame(extents=[(digest, at, whole[at : at + cut])]) for at in range(0, len(whole), cut)]


def _rows(rows: dict[str, list[Row]]) -> None:
    for add in (_runs, _logged_model, _trace, _registry, _files):
        add(rows)
    for name, of_table in rows.items():
        of_table.sort(key=lambda row: _place(name, row))


def _place(name: str, row: Row) -> list[tuple[bool, Any]]:
    return [(row.get(column) is None, row.get(column)) for column in TABLES[name].key]


def sound() -> Files:
    """Return the files of the archive."""
    return build(Draft(frames=_frames, rows=_rows))


_AGAIN: Final[Row] = {"run_id": "c" * 32, "experiment_id": "1", "status": "FAILED", "lifecycle_stage": "active"}
_SKILL: Final = {"name": "review", "workspace": "default"}
_STAMPS: Final = {"created_at": TIME, "last_updated_at": TIME + 1}
_SKILL_VERSION: Final = {**_SKILL, "organization": "acme", "version": 1}


def sound_twice() -> Files:
    """Return the files of an archive of two exports: of format 1.1, with skills and a table that nobody knows."""
    draft = Draft(frames=_frames, rows=_more_rows, tables=_with_gizmos, manifest=stated())
    print_of_run = {"owner_id": _AGAIN["run_id"], "owner_kind": "run", "fingerprint": "1" * 64, "contents": "2" * 64}
    return build_second(
        draft,
        {
            "experiments": [{"experiment_id": "1", "name": "renamed", "lifecycle_stage": "active"}],
            "runs": [{**_AGAIN, "run_name": "again", "start_time": TIME}],
            "params": [{"run_id": _AGAIN["run_id"], "key": "lr", "value": "0.2"}],
            "skills": [{**_SKILL, "organization": "", "description": "newer", **_STAMPS}],
            "fingerprints": [print_of_run],
        },
    )


def _more_rows(rows: dict[str, list[Row]]) -> None:
    version = {"source_type": "git", "source": "https://example.com/x.git", "status": "active", **_STAMPS}
    rows["runs"].append({**_AGAIN, "run_name": "before"})
    rows["params"].append({"run_id": _AGAIN["run_id"], "key": "gone", "value": "1"})
    rows["skills"] = [{**_SKILL, "organization": organization, **_STAMPS} for organization in ("", "acme")]
    rows["skill_versions"] = [{**_SKILL_VERSION, **version}]
    rows["skill_tags"] = [{**_SKILL, "organization": "", "key": "team", "value": "x"}]
    rows["skill_version_tags"] = [{**_SKILL_VERSION, "key": "ok", "value": None}]
    rows["skill_aliases"] = [{**_SKILL, "organization": "acme", "alias": "live", "version": 1}]
    _rows(rows)


def _with_gizmos(tables: dict[str, Any]) -> None:
    tables[FIRST] = GIZMOS


def bases() -> tuple[Files, ...]:
    """Return the sound archives that mutants are made of."""
    return sound(), sound_twice()
