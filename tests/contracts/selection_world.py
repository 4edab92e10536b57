"""One small world as a file store, as an export of mlflow-export-import, and as what follows from these.

It has what a selection can tell apart: runs of four experiments, one of them deleted, one run deleted and one below
another that is below a third; logged models that a run of another experiment takes, that no run made, and that are
deleted; a trace of a run of another experiment; versions in several stages that stand on a logged model, on a run, and
on a logged model without a run; a prompt. A file store has no evaluation datasets; whoever can hold them gets two.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from tests.sources.mlruns_objects import one_trace, registered, version
from tests.support.exim import run_body, write_document, write_exim
from tests.support.exim_objects import dataset, logged_model, registered_model, trace
from tests.support.exim_objects import version as exim_version
from tests.support.mlruns import PARENT_TAG, RUN_NAME_TAG, Experiment, Point, Run, Store, write_meta, write_store

PARENT, CHILD, ERASED, JUDGE, GHOST, LEAF = (letters * 16 for letters in ("aa", "bb", "cc", "dd", "ee", "0f"))
SHARED, OWN, LONELY, STALE, TRASHED = (f"m-{letter * 32}" for letter in "12345")
OF_PARENT, ALONE, CROSSED = (f"tr-{letter * 32}" for letter in "678")
RUN_NAMES: Final = {PARENT: "parent", CHILD: "child", ERASED: "erased", JUDGE: "judge", GHOST: "ghost", LEAF: "leaf"}
NAMES: Final = {
    **RUN_NAMES,
    SHARED: "shared",
    OWN: "own",
    LONELY: "lonely",
    STALE: "stale",
    TRASHED: "trashed",
    OF_PARENT: "of parent",
    ALONE: "alone",
    CROSSED: "crossed",
}
HIDDEN_OF_EXIM: Final = frozenset({"trashed"})
"""What mlflow-export-import does not export."""


def _run(run_id: str, start_time: int, tags: Mapping[str, str] | None = None, **fields: Any) -> Run:
    name = RUN_NAMES[run_id]
    return Run(run_id=run_id, name=name, start_time=start_time, tags={RUN_NAME_TAG: name, **(tags or {})}, **fields)


_RUNS: Final = {
    PARENT: _run(PARENT, 1_000_000, metrics=(Point(key="m", value=1.0),)),
    CHILD: _run(CHILD, 2_000_000, {PARENT_TAG: PARENT}),
    ERASED: _run(ERASED, 2_500_000, deleted=True),
    JUDGE: _run(JUDGE, 3_000_000, metrics=(Point(key="m", value=2.0),)),
    GHOST: _run(GHOST, 1_500_000),
    LEAF: _run(LEAF, 2_700_000, {PARENT_TAG: CHILD}),
}
_DELETED: Final = "Deleted_Internal"
_STORE: Final = Store(
    experiments=(
        Experiment(experiment_id="0", name="Default"),  # which a server would add
        Experiment(experiment_id="1", name="one", runs=(_RUNS[PARENT], _RUNS[CHILD], _RUNS[ERASED])),
        Experiment(experiment_id="2", name="two", runs=(_RUNS[JUDGE], _RUNS[LEAF])),
        Experiment(experiment_id="3", name="gone", deleted=True, runs=(_RUNS[GHOST],)),
        Experiment(experiment_id="4", name="of prompts"),
    )
)
_MODELS: Final = {
    SHARED: ("1", PARENT),
    OWN: ("2", JUDGE),
    LONELY: ("1", None),
    STALE: ("1", ERASED),
    TRASHED: ("1", CHILD),
}
"""Experiment and maker of each logged model."""
_TRACES: Final = {OF_PARENT: ("1", PARENT, 1_000_000), ALONE: ("2", None, 3_000_000), CROSSED: ("1", JUDGE, 2_200_000)}
"""Experiment, run and time of each trace."""
_VERSIONS: Final[Mapping[str, tuple[tuple[str, str | None, str], ...]]] = {
    "reg": (
        (f"models:/{SHARED}", PARENT, "Production"),
        (f"runs:/{JUDGE}/model", JUDGE, "Staging"),
        (f"runs:/{CHILD}/model", CHILD, _DELETED),
    ),
    "other": ((f"models:/{LONELY}", None, "None"),),
    "hello": (("dummy-source", None, "None"), ("dummy-source", None, "None")),
}
"""Source, run and stage of each version."""
_MARK: Final = {"mlflow.prompt.is_prompt": "true"}
_PROMPT: Final = {**_MARK, "_mlflow_experiment_ids": ",4,"}
DATASETS: Final = {"d-" + "a" * 32: ("quiz", ("1",)), "d-" + "b" * 32: ("exam", ("2", "3"))}
"""Name and experiments of each evaluation dataset."""


def write_mlruns(root: Path) -> Path:
    """Write the world as a file store, and return its folder."""
    write_store(_STORE, root)
    for model_id, (experiment, run_id) in _MODELS.items():
        place = f"{experiment}/models/{model_id}"
        document = {
            "artifact_location": (root / place / "artifacts").absolute().as_uri(),
            "creation_timestamp": 1_000,
            "last_updated_timestamp": 1_001,
            "experiment_id": experiment,
            "model_id": model_id,
            "name": NAMES[model_id],
            "status": 2,
            **({"source_run_id": run_id} if run_id else {}),
            **({"lifecycle_stage": "deleted"} if model_id == TRASHED else {}),
        }
        write_meta(root / place, document)
    edge = {"source_type": "MODEL", "source_id": SHARED, "destination_type": "RUN", "destination_id": JUDGE}
    write_meta(root / "2" / JUDGE / "inputs" / SHARED, {**edge, "tags": {}})
    edge = {"source_type": "RUN_OUTPUT", "source_id": CHILD, "destination_type": "MODEL_OUTPUT"}
    write_meta(root / "1" / CHILD / "outputs" / TRASHED, {**edge, "destination_id": TRASHED, "step": 0, "tags": {}})
    for trace_id, (experiment, run_id, time_ms) in _TRACES.items():
        location = {"mlflow_experiment": {"experiment_id": experiment}, "type": "MLFLOW_EXPERIMENT"}
        files = {"request_metadata/mlflow.sourceRun": run_id} if run_id else {}
        folder = one_trace(root, trace_id, request_time=time_ms, trace_location=location, files=files)
        if experiment != "1":
            (root / experiment / "traces").mkdir(exist_ok=True)
            folder.rename(root / experiment / "traces" / trace_id)
    for name, versions in _VERSIONS.items():
        tags, marks = (_PROMPT, _MARK) if name == "hello" else ({}, {})
        folder = registered(root, name, {f"tags/{key}": value for key, value in tags.items()})
        for number, (source, run_id, stage) in enumerate(versions, start=1):
            times = {"creation_timestamp": 1, "last_updated_timestamp": 2}
            written = version(folder, number, source=source, run_id=run_id, current_stage=stage, **times)
            for key, value in marks.items():
                (written / "tags").mkdir()
                (written / "tags" / key).write_text(value, "utf-8")
    return root


def write_exim_folder(root: Path) -> Path:
    """Write the same as mlflow-export-import does, and return its folder."""
    write_exim(_STORE, root)
    experiments = root / "experiments"
    for model_id, (experiment, run_id) in _MODELS.items():
        if NAMES[model_id] not in HIDDEN_OF_EXIM:
            body = logged_model(model_id, run_id or "", experiment_id=experiment, metrics=None)
            write_document(experiments / experiment / "logged_models" / model_id / "logged_model.json", body)
    taken = {"inputs": {"dataset_inputs": [], "model_inputs": [{"model_id": SHARED}]}}
    write_document(experiments / "2" / "runs" / JUDGE / "run.json", {**run_body(_RUNS[JUDGE], "2"), **taken})
    for trace_id, (experiment, run_id, time_ms) in _TRACES.items():
        body = trace(
            trace_id=trace_id,
            request_time=time_ms,
            trace_location={"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
            trace_metadata={"mlflow.sourceRun": run_id} if run_id else {},
        )
        write_document(experiments / experiment / "traces" / trace_id / "trace.json", body)
    for name, versions in _VERSIONS.items():
        tags, marks = (_PROMPT, _MARK) if name == "hello" else ({}, {})
        bodies = (
            exim_version(
                number,
                name=name,
                source=source,
                run_id=run_id,
                model_id=_model_in(source),
                current_stage=stage,
                tags=marks,
            )
            for number, (source, run_id, stage) in enumerate(versions, start=1)
            if stage != _DELETED
        )
        body = registered_model(*bodies, name=name, tags=tags, aliases=[])
        write_document(root / "models" / name / "model.json", body)
    for dataset_id, (name, experiment_ids) in DATASETS.items():
        body = dataset(dataset_id=dataset_id, name=name, experiment_ids=list(experiment_ids))
        write_document(root / "evaluation_datasets" / name / "evaluation_dataset.json", body)
    return root


def add_datasets(path: Path) -> None:
    """Add the evaluation datasets to the SQLite database of a server."""
    with closing(sqlite3.connect(path)) as database, database:
        for dataset_id, (name, experiment_ids) in DATASETS.items():
            database.execute(
                "INSERT INTO evaluation_datasets (dataset_id, name, workspace, digest, created_time, last_update_time) "
                "VALUES (?, ?, 'default', 'd', 1, 1)",
                (dataset_id, name),
            )
            for experiment_id in experiment_ids:
                database.execute(
                    "INSERT INTO entity_associations (association_id, source_type, source_id, destination_type, "
                    "destination_id, created_time) VALUES (?, 'evaluation_dataset', ?, 'experiment', ?, 1)",
                    (f"a-{dataset_id[2:]}{experiment_id}", dataset_id, experiment_id),
                )


def _model_in(source: str) -> str | None:
    return source.removeprefix("models:/") if source.startswith("models:/") else None
