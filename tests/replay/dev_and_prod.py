"""A registry that is to be appended to another: a model with a copy of it, a prompt, and what names their versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mlflow_archive.flow.copy import copy
from mlflow_archive.writer.export import ArchiveSink
from tests.replay.conftest import Place
from tests.replay.small import logged_model, owned, registered, version
from tests.sinks.replayed_traces import trace
from tests.support.chunks import ChunkSource, artifact, chunk, experiment, run

LINKED: Final = "mlflow.linkedPrompts"
PROMPT: Final = "mlflow.prompt.is_prompt"


def linked(prompt: str, *numbers: int) -> str:
    """Return the tag of what used versions of a prompt."""
    return json.dumps([{"name": prompt, "version": str(number)} for number in numbers])


def ids(name: str) -> tuple[str, str, str]:
    """Return the ids of the experiment, the run and the logged model of a source, which no other has."""
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return str(int(digest[:8], 16)), digest, f"m-{digest}"


def dev(name: str, trace_id: str) -> ChunkSource:
    """Return a source whose names start with ``name``: of version 3 of its model only the number is taken."""
    (experiment_id, run_id, model_id), prompt = ids(name), f"{name}-ask"
    tag = {"key": LINKED, "value": linked(prompt, 1, 2)}
    first = chunk(experiments=[experiment(experiment_id, f"{name}/main")])
    runs = chunk(
        [artifact(run_id, "model/MLmodel", f"run_id: {run_id}\n".encode())],
        runs=[run(run_id, experiment_id, run_name="only")],
        tags=[{"run_id": run_id, **tag}],
    )
    models = chunk(
        logged_models=[logged_model(model_id, "made", experiment_id=experiment_id, source_run_id=run_id)],
        logged_model_tags=[{"model_id": model_id, **tag}],
    )
    link = {"destination_type": "prompt_version", "destination_id": f"{prompt}/2", "created_time": 1}
    traces = chunk(
        traces=[trace(trace_id, experiment_id)],
        trace_tags=[{"trace_id": trace_id, **tag}],
        trace_links=[{"trace_id": trace_id, **link}],
    )
    return ChunkSource((0, [first]), (1, [runs]), (2, [models]), (3, [traces]), (4, [registry(name, (1, 2, 4))]))


def registry(name: str, versions: Sequence[int]) -> Any:
    """Return the registry alone."""
    (experiment_id, run_id, model_id), copied = ids(name), f"{name}-a-copy"
    model, prompt = f"{name}-churn", f"{name}-ask"
    sources = {1: f"models:/{model_id}", 2: f"runs:/{run_id}/model", 4: "/nowhere"}
    rows = [
        version(model, number, source=sources[number], run_id=run_id, description=f"V{number}") for number in versions
    ]
    rows.append(version(model, 3, current_stage="Deleted_Internal", source="REDACTED-SOURCE-PATH"))
    rows.append(version(copied, 1, source=f"models:/{model}/2", run_id=run_id))
    rows += [version(prompt, number, source="dummy-source") for number in (1, 2)]
    of_prompts = {PROMPT: "true", "mlflow.prompt.text": "Hello"}
    return chunk(
        [owned("registered_model", model, "4/data", b"its own")],
        registered_models=[registered(model, description="Dev."), registered(prompt), registered(copied)],
        registered_model_tags=[
            registered(prompt, key=PROMPT, value="true"),
            registered(prompt, key="_mlflow_experiment_ids", value=f",{experiment_id},"),
            registered(model, key="team", value="dev"),
            registered(model, key="new", value="1"),
        ],
        registered_model_aliases=[
            registered(model, alias="champion", version=2),
            registered(model, alias="fresh", version=versions[-1]),
            registered(prompt, alias="production", version=2),
        ],
        model_versions=rows,
        model_version_tags=[
            {**version(prompt, number), "key": key, "value": value}
            for number in (1, 2)
            for key, value in of_prompts.items()
        ],
    )


def written(source: ChunkSource, path: Path) -> Path:
    """Return an archive of a source."""
    copy(source, ArchiveSink(path, tool="t 1", clock_ms=lambda: 0), jobs=1)
    return path


def make_prod(place: Place, name: str) -> None:
    """Give the target a model and a prompt of the same names: version 4 of the model has been there."""
    client, model, prompt = place.client, f"{name}-churn", f"{name}-ask"
    client.create_registered_model(model, {"team": "prod", "own": "1"}, "Prod.")
    for number in range(1, 5):
        client.create_model_version(model, f"s3://bucket/{number}", description=f"P{number}", await_creation_for=0)
    client.delete_model_version(model, "4")
    client.set_registered_model_alias(model, "champion", "1")
    client.set_registered_model_alias(model, "stable", "2")
    for number in range(1, 4):
        client.register_prompt(prompt, f"Prod {number}")
    client.set_prompt_alias(prompt, "production", 1)
    client.set_prompt_tag(prompt, "_mlflow_experiment_ids", ",0,")
