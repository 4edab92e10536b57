"""A small store with everything a campaign must bring over whole, on a server that can be set back to a moment.

    with store_server(folder) as store:
        store.fill()
        store.keep("full")
        store.go_to("empty")

To start a server takes seconds; to set its database and its artifacts back takes none.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.databases import copy_database
from tests.support.filling.runs import Runs, fill_runs
from tests.support.mlflow_server import MlflowServer, running_server
from tests.support.tracking_uri import tracking_to

EMPTY: Final = "empty"
FULL: Final = "full"
_POINTS: Final = 1500
_T0: Final = 1_700_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A server and the folder in which its moments are kept."""

    server: MlflowServer
    folder: Path

    def keep(self, moment: str) -> None:
        """Keep what the server holds now under a name."""
        place = self.folder / moment
        shutil.copytree(self.server.artifacts, place / "artifacts")
        copy_database(self.server.database, place / "mlflow.db")

    def go_to(self, moment: str) -> None:
        """Have the server hold what it held then; nobody may talk to it meanwhile."""
        place = self.folder / moment
        shutil.rmtree(self.server.artifacts)
        shutil.copytree(place / "artifacts", self.server.artifacts)
        copy_database(place / "mlflow.db", self.server.database)

    def copy_full(self, database: Path, artifacts: Path) -> None:
        """Copy the database and the artifacts of the moment FULL to other places."""
        shutil.copytree(self.folder / FULL / "artifacts", artifacts)
        copy_database(self.folder / FULL / "mlflow.db", database)

    def fill(self, *, extra_runs: int = 0) -> None:
        """Put the store into the server."""
        fill(self.server.uri, self.folder / "files", extra_runs=extra_runs)


@contextmanager
def store_server(folder: Path) -> Iterator[Store]:
    """Run a server with one moment, EMPTY."""
    with running_server(folder / "server") as server:
        store = Store(server=server, folder=folder / "moments")
        store.keep(EMPTY)
        yield store


def fill(uri: str, folder: Path, *, extra_runs: int = 0) -> None:
    """Make runs with histories and files, nested and deleted ones, logged models, a registered model, a prompt, traces.

    ``extra_runs`` are more runs of the kind that most stores are full of.
    """
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

    with tracking_to(uri):
        client = MlflowClient(uri)
        runs = fill_runs(client, folder, "")
        _history(client, runs.runs["parent"])
        _files(client, runs.runs["child"], folder)
        _registry(client, runs)
        _traces(client, runs)
        for number in range(extra_runs):
            _extra_run(client, runs.experiments["elsewhere"], number)
        client.delete_experiment(runs.experiments["gone"])


def _history(client: Any, run_id: str) -> None:
    from mlflow.entities import Metric  # noqa: PLC0415

    points = [Metric("accuracy", 1 - 1 / (step + 1), _T0 + step, step) for step in range(_POINTS)]
    for start in range(0, _POINTS, 1000):
        client.log_batch(run_id, metrics=points[start : start + 1000])


def _files(client: Any, run_id: str, folder: Path) -> None:
    """Log files of several sizes, an empty one among them, in folders."""
    chance = random.Random(1)  # noqa: S311
    for name, size in {"empty": 0, "a b.txt": 10, "deep/er/weights ü.bin": 300_000, "deep/notes.txt": 2000}.items():
        path = folder / "of child" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(size))
    client.log_artifacts(run_id, str(folder / "of child"), "files")


def _registry(client: Any, runs: Runs) -> None:
    client.create_registered_model("churn", tags={"owner": "ü"}, description="Who leaves.")
    shared, parent = runs.models["shared"], runs.runs["parent"]
    sources: list[dict[str, Any]] = [
        {"source": f"models:/{shared}", "model_id": shared},
        {"source": f"runs:/{parent}/old-model", "run_id": parent},
        {"source": f"runs:/{parent}/old-model", "run_id": parent},
    ]
    for number, source in enumerate(sources, start=1):
        tags = {"number": str(number)}
        client.create_model_version("churn", **source, tags=tags, description=f"No. {number}", await_creation_for=0)
    client.delete_model_version("churn", "2")
    client.set_registered_model_alias("churn", "champion", "3")
    client.register_prompt("greeting", "Hello {{name}}", "first", tags={"k": "v"})
    client.register_prompt("greeting", "Hi {{name}}", "second")
    client.set_prompt_alias("greeting", "live", 2)


def _traces(client: Any, runs: Runs) -> None:
    import mlflow  # noqa: PLC0415 - takes seconds
    from mlflow.entities import AssessmentSource, SpanType  # noqa: PLC0415
    from mlflow.tracing.attachments import Attachment  # noqa: PLC0415

    mlflow.set_experiment(experiment_id=runs.experiments["main"])
    ids = []
    for name in ("agent", "plain"):
        picture = Attachment(content_type="image/png", content_bytes=b"\x89PNG " + bytes(range(256)))
        inputs: dict[str, Any] = {"q": "ü", "picture": picture} if name == "agent" else {"q": 1}
        root = mlflow.start_span_no_context(name, SpanType.AGENT, inputs=inputs, tags={"team": "ü"})
        child = mlflow.start_span_no_context("llm", SpanType.LLM, parent_span=root)
        child.end(outputs={"a": 42})
        root.end(outputs="done")
        ids.append(root.trace_id)
    mlflow.flush_trace_async_logging()
    human = AssessmentSource(source_type="HUMAN", source_id="ada")
    mlflow.log_feedback(trace_id=ids[0], name="good", value=True, source=human, rationale="so")
    client.link_traces_to_run(ids, runs.runs["evaluation"])


def _extra_run(client: Any, experiment_id: str, number: int) -> None:
    from mlflow.entities import Metric, Param  # noqa: PLC0415

    run_id = client.create_run(experiment_id, start_time=_T0 + number, run_name=f"extra {number}").info.run_id
    points = [Metric("loss", 1 / (step + 1), _T0 + step, step) for step in range(20)]
    client.log_batch(run_id, metrics=points, params=[Param("lr", str(number))])
    client.log_text(run_id, f"notes of {number}\n", "notes.txt")
    client.set_terminated(run_id, end_time=_T0 + 1000)
