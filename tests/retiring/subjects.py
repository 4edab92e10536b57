"""A store with a run for each reason to go or to stay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Metric, Param

import mlflow_archive as ma
from tests.support.databases import empty_database

ENDED_MS = 1_700_000_009_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A store by its URI, with an archive of it; ``runs`` and ``models`` are ids by name."""

    uri: str
    client: MlflowClient
    folder: Path
    experiment: str
    runs: dict[str, str]
    models: dict[str, str]

    @property
    def archive(self) -> Path:
        return self.folder / "kept.mlfa"

    @property
    def receipt(self) -> Path:
        return self.folder / "receipt.json"

    @property
    def selection(self) -> ma.Selection:
        return ma.Selection(experiments=(self.experiment,))

    def retire(self, *, yes: bool = False, **options: object) -> ma.Report:
        manner = ma.RetireOptions(older_than="1d", **options)  # type: ignore[arg-type]
        receipt = self.receipt if yes else None
        return ma.retire(self.archive, self.uri, options=manner, selection=self.selection, receipt=receipt, yes=yes)

    def export(self, name: str) -> Path:
        ma.export(self.folder / name, self.uri, selection=self.selection)
        return self.folder / name

    def stages(self) -> dict[str, str]:
        return {name: self.client.get_run(run_id).info.lifecycle_stage for name, run_id in self.runs.items()}


NAMES = ("plain", "metrics", "held", "registered", "assessed", "changed", "replaced", "running")


def database_subject(folder: Path, names: tuple[str, ...] = NAMES) -> Subject:
    """Return a subject in a SQLite database of its own."""
    database = folder / "mlflow.db"
    database.write_bytes(empty_database().read_bytes())
    return fill(f"sqlite:///{database}", folder, artifacts=f"file://{folder}/store/1", names=names)


def fill(uri: str, folder: Path, *, artifacts: str | None = None, names: tuple[str, ...] = NAMES) -> Subject:
    """Make runs, and where all are made logged models, in an experiment of its own, and the archive."""
    client = MlflowClient(uri)
    experiment = client.create_experiment(f"retired {folder.name}", artifacts)
    runs = {name: make_run(client, experiment, name) for name in names}
    subject = Subject(uri=uri, client=client, folder=folder, experiment=experiment, runs=runs, models={})
    if names == NAMES:
        _give_reasons(subject)
    subject.export("kept.mlfa")
    return subject


def _give_reasons(subject: Subject) -> None:
    """Hold a run by a tag, another by a version; let one run on; make logged models."""
    client, folder, runs = subject.client, subject.folder, subject.runs
    client.set_tag(runs["held"], "mlflow_archive.hold", "")
    client.update_run(runs["running"], status="RUNNING")
    client.create_registered_model(f"retired {folder.name}")
    client.create_model_version(
        f"retired {folder.name}", f"runs:/{runs['registered']}/docs", runs["registered"], await_creation_for=0
    )
    give_models(subject, {"made": "plain", "of held": "held"})


def give_models(subject: Subject, makers: dict[str, str]) -> None:
    """Make logged models by name, of the runs with these names."""
    client, folder, models = subject.client, subject.folder, subject.models
    for name, maker in makers.items():
        models[name] = client.create_logged_model(
            subject.experiment, name.replace(" ", "-"), subject.runs[maker], params={"p": "1"}
        ).model_id
        (folder / "MLmodel").write_text("flavors: {}\n")
        client.log_model_artifact(models[name], str(folder / "MLmodel"))
        client.finalize_logged_model(models[name], LoggedModelStatus.READY)


def make_run(client: MlflowClient, experiment: str, name: str) -> str:
    """Make a run that ended long ago, with a file."""
    run_id: str = client.create_run(experiment, start_time=ENDED_MS - 9000, run_name=name).info.run_id
    points = [Metric("loss", value, ENDED_MS, step) for step, value in enumerate((0.5, math.nan, -0.0))]
    client.log_batch(run_id, metrics=points, params=[Param("lr", "0.1")])
    client.log_text(run_id, f"of {name}\n", "docs/notes.txt")
    client.set_terminated(run_id, end_time=ENDED_MS)
    return run_id


def change(subject: Subject) -> None:
    """Change what the archive holds: a tag, the bytes of a file that keeps its size, and a run that is new.

    Of a subject of few runs the tag only.
    """
    subject.client.set_tag(subject.runs["changed"], "later", "1")
    if "replaced" not in subject.runs:
        return
    subject.client.log_text(subject.runs["replaced"], "OF replaced\n", "docs/notes.txt")
    subject.runs["new"] = make_run(subject.client, subject.experiment, "new")


def reasons(report: ma.Report) -> dict[str, str]:
    """Return of each run that stays the code, or the reason where a rule holds it, by name."""
    objects: list[dict[str, str]] = report.details["objects"]  # type: ignore[assignment]
    return {each["name"]: each.get("code") or each["reason"] for each in objects if each["state"] in ("left", "held")}
