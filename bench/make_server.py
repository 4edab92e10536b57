"""Fill an MLflow tracking store with a workload, through MLflow's own stores in this process; always the same one.

    python -m bench.make_server --workload S --backend sqlite:////data/mlflow.db --artifacts /data/artifacts

It must be a database without rows; `mlflow server --artifacts-destination /data/artifacts` then serves it. Every run,
logged model, model version and trace has a tag `bench.uid`, by which a copy can be matched with its source.
Metric points are written in bulk, the rest as a client would.

Contents beside the counts, by number within an experiment: a run i with i%10 in 1..4 is a child of i-i%10, with i%10=5
a grandchild; i%20=7 is deleted; i%4=0 has two dataset inputs; i%3=0 has a tag of 8,000 and a param of 6,000
characters; i%5=0 has NaN, infinities, -0.0, a repeated and a negative step. Five runs of each made a logged model. The
registry has versions with a gap, aliases and tags; traces have five spans, a traces.json and some an assessment.
One more experiment is deleted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
import uuid
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import mlflow.store.model_registry.sqlalchemy_store as registry_module
import mlflow.store.tracking.sqlalchemy_store as tracking_module
from bench.workload import START_MS, WORKLOADS, Point, Workload, blob, points_of_run
from mlflow.entities import (
    AssessmentSource,
    Dataset,
    DatasetInput,
    ExperimentTag,
    Feedback,
    InputTag,
    LoggedModelOutput,
    LoggedModelParameter,
    LoggedModelStatus,
    LoggedModelTag,
    Metric,
    Param,
    RunStatus,
    RunTag,
    TraceInfo,
    TraceLocation,
    TraceState,
)
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.entities.span import Span
from numpy.random import Generator, default_rng
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

FLUSHED_AT: Final = 200_000
STATUSES: Final = ("FINISHED", "FINISHED", "FAILED", "FINISHED", "KILLED", "RUNNING")
SPAN_TYPES: Final = ("AGENT", "LLM", "TOOL", "RETRIEVER", "CHAIN")
FILES: Final = ("checkpoints/weights_{}.bin", "logs/out {}.txt", "plot_{}.png", "data/図{}.bin", "deep/a/b/c/{}.dat")
MLMODEL: Final = """\
artifact_path: {place}
flavors:
  python_function:
    loader_module: none
model_id: {model_id}
run_id: {run_id}
model_uuid: {uuid}
mlflow_version: 3.17.2
utc_time_created: '2025-10-09 08:00:00'
"""


class Metrics:
    """Metric points on their way into ``metrics`` and ``latest_metrics``, as MLflow's store writes them."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._all: list[tuple[object, ...]] = []
        self._latest: list[tuple[object, ...]] = []

    def add(self, run_id: str, points: list[Point]) -> int:
        """Take the points of a run; return how many are different."""
        latest: dict[str, tuple[int, int, float, bool]] = {}
        seen = set()
        for key, value, timestamp, step in points:
            is_nan, stored = self._store.sanitize_metric_value(value)
            row = (key, stored, timestamp, run_id, step, is_nan)
            if row in seen:
                continue
            seen.add(row)
            self._all.append(row)
            if key not in latest or (step, timestamp, stored) > latest[key][:3]:
                latest[key] = (step, timestamp, stored, is_nan)
        self._latest += [(key, value, at, run_id, step, nan) for key, (step, at, value, nan) in latest.items()]
        if len(self._all) > FLUSHED_AT:
            self.flush()
        return len(seen)

    def flush(self) -> None:
        """Write what was taken."""
        engine = self._store.engine
        mark = "?" if engine.dialect.paramstyle == "qmark" else "%s"
        marks = ", ".join([mark] * 6)
        with engine.begin() as connection:
            for table, rows in (("metrics", self._all), ("latest_metrics", self._latest)):
                columns = "key, value, timestamp, run_uuid, step, is_nan"
                if rows:
                    connection.exec_driver_sql(f"INSERT INTO {table}({columns}) VALUES ({marks})", rows)
                rows.clear()


class Filler:
    """Fills one store. ``counts`` says with how much."""

    def __init__(self, backend: str, artifacts: Path, workload: Workload, seed: int) -> None:
        self._store = tracking_module.SqlAlchemyStore(backend, "mlflow-artifacts:/")
        self._registry = registry_module.SqlAlchemyStore(backend)
        self._metrics = Metrics(self._store)
        self._artifacts, self._workload, self._seed = artifacts, workload, seed
        start = default_rng(seed)
        self._pool = [blob(number % 10, workload.art_size, start) for number in range(20)]
        self._models: list[tuple[Any, str]] = []
        self.counts: Counter[str] = Counter()

    def fill(self, name: str) -> None:
        """Make everything; ``name`` is that of the workload."""
        for number in range(self._workload.exps):
            self._experiment(number, f"bench-{name}-{number:03d}" + (" ünïcode/实验" if number == 1 else ""))
        for number in range(self._workload.models):
            self._registered_model(number)
        self._deleted_experiment()

    def _experiment(self, number: int, name: str) -> None:
        tags = {"team": f"t{number % 3}", "mlflow.note.content": "note " * 50, "ключ": "значение"}
        experiment = self._store.create_experiment(name, tags=[ExperimentTag(*pair) for pair in tags.items()])
        run_ids: list[str] = []
        for at in range(self._workload.runs):
            self._run(experiment, number, at, run_ids)
        self._metrics.flush()
        for run_id in run_ids[7::20]:
            self._store.delete_run(run_id)
            self.counts["deleted"] += 1
        for at in range(self._workload.traces):
            self._trace(experiment, f"{number}-{at}", at, run_ids[at % len(run_ids)])

    def _run(self, experiment: str, number: int, at: int, run_ids: list[str]) -> None:
        """Make run ``at`` of an experiment and add its id to those of the runs before it."""
        generator = default_rng([self._seed, number, at])
        start = START_MS + (number * self._workload.runs + at) * 60_000
        name = f"run-{number}-{at}"
        tags = {"mlflow.source.name": "train.py", "mlflow.source.type": "LOCAL", "mlflow.user": "alice"}
        tags["bench.uid"] = name
        if 1 <= at % 10 <= 5:
            tags["mlflow.parentRunId"] = run_ids[at - 4 if at % 10 == 5 else at - at % 10]
        shown = name + ("-名前" if at == 2 else "")
        of_start = [RunTag(*pair) for pair in tags.items()]
        info = self._store.create_run(experiment, "alice" if at % 2 else "bob", start, of_start, shown).info
        run_ids.append(info.run_id)
        self._texts(info.run_id, at, generator)
        points = points_of_run(at, start, self._workload, generator)
        self.counts["points"] += self._metrics.add(info.run_id, points)
        if at % 4 == 0:
            self._store.log_inputs(info.run_id, [_dataset_input(number, which) for which in range(2)])
        self._files(info.artifact_uri, generator)
        if at % max(1, self._workload.runs // 5) == 0:
            self._logged_model(experiment, info.run_id, f"lm-{number}-{at}", at, start, generator)
        status = STATUSES[at % 6]
        end = None if status == "RUNNING" else start + 50_000
        self._store.update_run_info(info.run_id, RunStatus.from_string(status), end, info.run_name)
        self.counts["runs"] += 1

    def _texts(self, run_id: str, at: int, generator: Generator) -> None:
        """Log params and tags; those of every third run are as long as MLflow takes them."""
        params = []
        for number in range(self._workload.params - 1):
            rate, size = f"{generator.random():.6g}", str(int(generator.integers(1, 4096)))
            value = (rate, size, "adamw", "models/llama-7b-hf", "True")[number % 5]
            params.append(Param(f"param_{number:02d}", value))
        params.append(Param("párâm/日本", "значение ☃ " + ("x" * 5900 if at % 3 == 0 else "")))
        numbers = range(self._workload.tags - 2)
        tags = [RunTag(f"tag_{n:02d}", f"value {n} {int(generator.integers(0, 1000))}") for n in numbers]
        tags += [RunTag("тег", "emoji 🎉"), RunTag("long", "L" * 8000 if at % 3 == 0 else "short")]
        self._store.log_batch(run_id, [], params, tags)

    def _files(self, uri: str, generator: Generator) -> None:
        for number in range(self._workload.arts):
            if generator.random() < self._workload.dup:
                data = self._pool[int(generator.integers(0, 20))]
                self.counts["dup_bytes"] += len(data)
            else:
                data = blob(int(generator.integers(0, 10)), self._workload.art_size, generator)
            self._put(uri, FILES[number % 5].format(number), data)

    def _put(self, uri: str, path: str, data: bytes) -> None:
        file = self._artifacts / uri.removeprefix("mlflow-artifacts:/").lstrip("/") / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        self.counts["art_files"] += 1
        self.counts["art_bytes"] += len(data)

    def _logged_model(self, experiment: str, run_id: str, name: str, at: int, start: int, generator: Generator) -> None:
        tags = [LoggedModelTag("bench.uid", name), LoggedModelTag("стадия", "кандидат")]
        params = [LoggedModelParameter("depth", str(at)), LoggedModelParameter("long", "p" * 1000)]
        model = self._store.create_logged_model(experiment, name, run_id, tags, params, "agent")
        place, model_id = model.artifact_location, model.model_id
        text = MLMODEL.format(place=place, model_id=model_id, run_id=run_id, uuid=model_id[2:])
        self._put(place, "MLmodel", text.encode())
        self._put(place, "data/weights.bin", blob(0, 20_000, generator))
        self._store.log_outputs(run_id, [LoggedModelOutput(model_id, self._workload.steps - 1)])
        self._store.finalize_logged_model(model_id, LoggedModelStatus.READY)
        scores = [Metric("lm_eval/f1", float(generator.random()), start + n, n, model_id) for n in range(3)]
        self._store.log_batch(run_id, scores, [], [])
        self._models.append((model, run_id))
        self.counts["models"] += 1
        self.counts["points"] += 3

    def _registered_model(self, number: int) -> None:
        name = f"bench-model-{number}" + ("-модель" if number == 1 else "")
        tags = [RegisteredModelTag("owner", "team"), RegisteredModelTag("ключ", "☃")]
        self._registry.create_registered_model(name, tags, "A model. " * 20)
        count = self._workload.versions
        for at in range(count):
            model, run_id = self._models[(number * count + at) % len(self._models)]
            of_version = [ModelVersionTag("bench.uid", f"mv-{number}-{at}"), ModelVersionTag("q", "v" * 500)]
            place, text = model.artifact_location, f"version {at}"
            self._registry.create_model_version(name, place, run_id, of_version, None, text, None, model.model_id)
        self._registry.set_registered_model_alias(name, "champion", str(count))
        self._registry.set_registered_model_alias(name, "challenger", "1")
        if count > 2:
            self._registry.delete_model_version(name, "2")  # a gap in the numbers

    def _deleted_experiment(self) -> None:
        experiment = self._store.create_experiment("bench-deleted-experiment")
        for number in range(2):
            tags = [RunTag("bench.uid", f"run-del-{number}")]
            run = self._store.create_run(experiment, "alice", START_MS, tags, f"del-{number}")
            metrics = [Metric("m", 1.0 + number, START_MS, 0)]
            self._store.log_batch(run.info.run_id, metrics, [Param("p", "1")], [])
        self._store.delete_experiment(experiment)

    def _trace(self, experiment: str, name: str, at: int, run_id: str) -> None:
        ids = random.Random(f"{self._seed}-{name}")  # noqa: S311 - the same ids each time
        number = ids.getrandbits(128)
        trace_id, start_ms = f"tr-{number:032x}", START_MS + at * 1000
        spans = _spans(number, trace_id, start_ms * 10**6, at, ids)
        said = {"source": AssessmentSource("HUMAN", "bob"), "create_time_ms": start_ms, "last_update_time_ms": start_ms}
        correct = [Feedback(name="correct", value=True, trace_id=trace_id, **said)] if at % 3 == 0 else []
        info = TraceInfo(
            trace_id,
            TraceLocation.from_experiment_id(experiment),
            start_ms,
            TraceState.ERROR if at % 4 == 3 else TraceState.OK,
            '{"q": "вопрос"}',
            '{"a": 1}',
            f"client-{name}",
            25,
            {"mlflow.sourceRun": run_id, "k": "v"},
            {"bench.uid": f"tr-{name}", "mlflow.traceName": f"trace {at}", "тег": "значение"},
            correct,
        )
        self._store.start_trace(info)
        self._store.log_spans(experiment, spans)
        file = json.dumps({"spans": [span.to_dict() for span in spans]}).encode()
        self._put(f"mlflow-artifacts:/{experiment}/traces/{trace_id}/artifacts", "traces.json", file)
        self.counts["traces"] += 1


def _dataset_input(experiment: int, number: int) -> DatasetInput:
    digest = hashlib.md5(f"{experiment}{number}".encode(), usedforsecurity=False).hexdigest()[:8]
    source = json.dumps({"uri": f"/data/{experiment}/{number}.parquet"})
    schema = json.dumps({"mlflow_colspec": [{"type": "double", "name": f"c{column}"} for column in range(8)]})
    profile = json.dumps({"num_rows": 1000 + number})
    dataset = Dataset(f"ds-{experiment}-{number}", digest, "local", source, schema, profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", ("training", "eval")[number])])


def _spans(trace: int, trace_id: str, start_ns: int, at: int, ids: random.Random) -> list[Span]:
    """Return a root and four children of it."""
    contexts = [SpanContext(trace, ids.getrandbits(64) | 1, False, TraceFlags(1)) for _ in SPAN_TYPES]
    spans = []
    for number, (kind, context) in enumerate(zip(SPAN_TYPES, contexts, strict=True)):
        attributes = {
            "mlflow.traceRequestId": trace_id,
            "mlflow.spanType": kind,
            "mlflow.spanInputs": {"q": "вопрос " * 30},
            "mlflow.spanOutputs": {"a": "answer " * 40, "n": at},
        }
        span = ReadableSpan(
            name=f"span-{number}",
            context=context,
            parent=contexts[0] if number else None,
            attributes={name: json.dumps(value) for name, value in attributes.items()},
            start_time=start_ns + number * 10**6,
            end_time=start_ns + (20 + number) * 10**6,
            status=Status(StatusCode.OK),
        )
        spans.append(Span(span))
    return spans


def _be_deterministic(seed: int) -> None:
    """Have the stores make the same ids and times in every run."""
    ids = random.Random(seed)  # noqa: S311 - as above
    clock = iter(range(START_MS + 7, sys.maxsize, 7))
    uuid.uuid4 = lambda: uuid.UUID(int=ids.getrandbits(128), version=4)
    for module in (tracking_module, registry_module):
        module.get_current_time_millis = lambda: next(clock)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", choices=WORKLOADS, default="S", help="how much (default: %(default)s)")
    parser.add_argument("--backend", required=True, help="the database: sqlite:////PATH or postgresql+psycopg2://…")
    parser.add_argument("--artifacts", required=True, type=Path, help="the server's --artifacts-destination, a folder")
    parser.add_argument("--seed", type=int, default=1, help="another one gives other ids and contents")
    for field in fields(Workload):
        option = f"--{field.name.replace('_', '-')}"
        kind = float if field.name == "dup" else int
        parser.add_argument(option, type=kind, metavar="N", help=f"instead of the workload's own {field.name}")
    return parser.parse_args()


def main() -> None:
    options = _options()
    changed = {field.name: getattr(options, field.name) for field in fields(Workload)}
    changed = {name: value for name, value in changed.items() if value is not None}
    workload = replace(WORKLOADS[options.workload], **changed)
    if options.backend.startswith("sqlite"):
        database = Path(options.backend.removeprefix("sqlite:///"))
        if database.exists():
            sys.exit(f"{database} exists; give the path of a new database")
        database.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    _be_deterministic(options.seed)
    filler = Filler(options.backend, options.artifacts, workload, options.seed)
    filler.fill(options.workload)
    print(json.dumps({**filler.counts, "seconds": round(time.monotonic() - started, 1)}))


if __name__ == "__main__":
    main()
