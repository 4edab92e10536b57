"""Real exports of mlflow-export-import: every value in their JSON, counted and compared by a reader of a few lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflow_archive.flow.copy import copy
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.reader.source import ArchiveSource
from mlflow_archive.sources.exim import EximSource
from mlflow_archive.verification.checks import verify
from mlflow_archive.writer.export import ArchiveSink
from tests.support.corpora import EXIM_SAMPLES, exim_sample
from tests.support.reading import Read, content, plain_rows, read_source

BROKEN = "oss_mlflow/bulk/experiments/2/experiment.json"
Json = dict[str, Any]


def documents(root: Path, name: str) -> Iterator[tuple[Path, Json]]:
    """Yield the documents with a name, the newest first."""
    found = []
    for path in root.rglob(name):
        if "artifacts" not in path.relative_to(root).parts and not path.as_posix().endswith(BROKEN):
            document = json.loads(path.read_text("utf-8"))
            found.append((-document["system"]["export_time"], path.relative_to(root).as_posix(), path, document))
    yield from ((path, document) for _, _, path, document in sorted(found, key=lambda each: each[:2]))


def runs_of(root: Path) -> dict[str, Json]:
    runs: dict[str, Json] = {}
    for _, document in documents(root, "run.json"):
        runs.setdefault(document["mlflow"]["info"]["run_id"], document["mlflow"])
    return runs


def experiments_of(root: Path) -> dict[str, Json | None]:
    found: dict[str, Json | None] = {}
    for _, document in documents(root, "experiment.json"):
        experiment = document["mlflow"]["experiment"]
        found.setdefault(experiment["experiment_id"], experiment)
    for run in runs_of(root).values():
        found.setdefault(run["info"]["experiment_id"], None)
    return found


def versions_of(root: Path) -> dict[tuple[str, int], Json]:
    found: dict[tuple[str, int], Json] = {}
    for name in ("model.json", "version.json"):
        for _, document in documents(root, name):
            body = document["mlflow"]
            model = body.get("registered_model", {})
            listed = model.get("versions", model.get("latest_versions", []))
            for version in [body["model_version"]] if "model_version" in body else listed:
                found.setdefault((version["name"], int(version["version"])), version)
    return found


def models_of(root: Path) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for _, document in documents(root, "model.json"):
        found.setdefault(document["mlflow"]["registered_model"]["name"], document["mlflow"]["registered_model"])
    return found


def artifacts_of(root: Path) -> dict[str, int]:
    return {
        path.relative_to(root).as_posix(): path.stat().st_size
        for path in root.rglob("*")
        if path.is_file() and "artifacts" in path.relative_to(root).parts
    }


def pairs(tags: Any) -> dict[str, str]:
    return tags if isinstance(tags, dict) else {tag["key"]: tag["value"] for tag in tags or ()}


@pytest.mark.parametrize("sample", EXIM_SAMPLES)
def test_counts(sample: str) -> None:
    root = exim_sample(sample)
    found = read_source(EximSource(root))
    runs, experiments, versions, models = runs_of(root), experiments_of(root), versions_of(root), models_of(root)
    prompts = [document["mlflow"]["prompt"] for _, document in documents(root, "prompt.json")]
    datasets = [d["mlflow"]["evaluation_dataset"] for _, d in documents(root, "evaluation_dataset.json")]
    assert {name: len(rows) for name, rows in found.tables.items() if name not in ("gaps", "fingerprints")} == {
        **dict.fromkeys((name for name in found.tables if name not in ("gaps", "fingerprints")), 0),
        "experiments": len(experiments),
        "experiment_tags": sum(len(pairs(each["tags"])) for each in experiments.values() if each),
        "runs": len(runs),
        "params": sum(len(run["params"]) for run in runs.values()),
        "tags": sum(len(run["tags"]) for run in runs.values()),
        "metrics": sum(len(points) for run in runs.values() for points in run["metrics"].values()),
        "datasets": sum(len(run.get("inputs", ())) for run in runs.values()),
        "dataset_inputs": sum(len(run.get("inputs", ())) for run in runs.values()),
        "dataset_input_tags": sum(len(each["tags"]) for run in runs.values() for each in run.get("inputs", ())),
        "registered_models": len(models) + len({prompt["name"] for prompt in prompts}),
        "registered_model_tags": sum(len(pairs(model.get("tags"))) for model in models.values()) + len(prompts),
        "registered_model_aliases": sum(len(model.get("aliases", ())) for model in models.values()),
        "model_versions": len(versions) + len(prompts),
        # Three of MLflow's own keep what a prompt consists of.
        "model_version_tags": sum(len(pairs(version["tags"])) for version in versions.values())
        + sum(len(prompt["tags"]) + 3 for prompt in prompts),
        "evaluation_datasets": len(datasets),
        "evaluation_dataset_tags": sum(len(each["tags"]) for each in datasets),
        "evaluation_dataset_records": sum(len(each["records"]) for each in datasets),
        "evaluation_dataset_experiments": sum(len(each["experiment_ids"]) for each in datasets),
    }
    assert Counter(content(file) for file in found.artifacts) == Counter(
        (root / path).read_bytes() for path in artifacts_of(root)
    )
    clean = {row["run_id"] for row in found.tables["runs"]} - {row["owner_id"] for row in found.tables["gaps"]}
    assert {row["owner_id"] for row in found.rows("fingerprints", owner_kind="run")} == clean


@pytest.mark.parametrize("sample", EXIM_SAMPLES)
def test_every_value_is_that_of_the_json(sample: str) -> None:
    root = exim_sample(sample)
    found = read_source(EximSource(root))
    for run_id, run in runs_of(root).items():
        assert_run(found, run_id, run)
    for experiment_id, experiment in experiments_of(root).items():
        (row,) = found.rows("experiments", experiment_id=experiment_id)
        if experiment is not None:
            names = ("name", "artifact_location", "lifecycle_stage", "creation_time", "last_update_time")
            assert {name: row[name] for name in names} == {name: experiment[name] for name in names}
            tags = found.rows("experiment_tags", experiment_id=experiment_id)
            assert {tag["key"]: tag["value"] for tag in tags} == pairs(experiment["tags"])
    for (name, number), version in versions_of(root).items():
        assert_version(found, name, number, version)
    for name, model in models_of(root).items():
        (row,) = found.rows("registered_models", name=name)
        assert (row["creation_time"], row["last_updated_time"], row["description"], row["workspace"]) == (
            model["creation_timestamp"],
            model["last_updated_timestamp"],
            model.get("description"),
            "default",
        )
        tags = found.rows("registered_model_tags", name=name)
        assert {tag["key"]: tag["value"] for tag in tags} == pairs(model.get("tags"))
        aliases = found.rows("registered_model_aliases", name=name)
        assert {(row["alias"], row["version"]) for row in aliases} == {
            (alias["alias"], int(alias["version"])) for alias in model.get("aliases", ())
        }


def assert_run(found: Read, run_id: str, run: Json) -> None:
    (row,) = found.rows("runs", run_id=run_id)
    info = {name: value for name, value in run["info"].items() if not name.startswith("_")}
    assert {name: row[name] for name in info} == info
    for table in ("params", "tags"):
        assert {each["key"]: each["value"] for each in found.rows(table, run_id=run_id)} == run[table]
    points = [(p["key"], p["step"], p["timestamp"], p["value"]) for p in found.rows("metrics", run_id=run_id)]
    assert points == [
        (key, point["step"], point["timestamp"], point["value"])
        for key, history in run["metrics"].items()
        for point in history
    ]
    inputs = found.rows("dataset_inputs", run_id=run_id)
    wanted = [each["dataset"] for each in run.get("inputs", ())]
    assert [(each["dataset_name"], each["dataset_digest"]) for each in inputs] == [
        (each["name"], each["digest"]) for each in wanted
    ]
    for each in wanted:
        (dataset,) = found.rows("datasets", name=each["name"], digest=each["digest"])
        assert {name: dataset[name] for name in each} == each


def assert_version(found: Read, name: str, number: int, version: Json) -> None:
    (row,) = found.rows("model_versions", name=name, version=number)
    same = ("description", "user_id", "current_stage", "source", "run_id", "run_link", "status", "status_message")
    assert {field: row[field] for field in same} == {field: version[field] for field in same}
    assert row["creation_time"] == version["creation_timestamp"]
    assert row["last_updated_time"] == version["last_updated_timestamp"]
    assert row["storage_location"] == version.get("_download_uri")
    tags = found.rows("model_version_tags", name=name, version=number)
    assert {tag["key"]: tag["value"] for tag in tags} == pairs(version["tags"])


def test_one_is_broken_json_and_is_told_the_rest_is_read() -> None:
    found = read_source(EximSource(exim_sample("oss_mlflow/bulk/experiments")))
    gaps = {(row["owner_kind"], row["owner_id"], row["path"], row["code"]): row["reason"] for row in found.rows("gaps")}
    models = {(owner, "sklearn-model") for owner in (row["run_id"] for row in found.tables["runs"])}
    run = "d057cae15f27465988e72c6212e1f226"
    assert set(gaps) == {
        ("experiment", "2", "", "G301"),
        ("run", run, "", "G201"),
        *(("run", owner, path, "G101") for owner, path in models),
    }
    assert gaps["experiment", "2", "", "G301"].startswith("2/experiment.json is not valid JSON")
    assert f"1/runs/{run}/run.json is that of run a83cebbccbca41299360c695c5ea72f3" in gaps["run", run, "", "G201"]
    # Its name is in the list of what was exported; its two runs are there.
    assert [row["name"] for row in found.rows("experiments", experiment_id="2")] == ["sklearn_iris"]
    assert len(found.rows("runs", experiment_id="2")) == 2


@pytest.mark.parametrize(
    ("sample", "gaps"),
    [
        pytest.param("oss_mlflow/single/models/src_tags", [("run", "G201")] * 3, id="runs of versions not exported"),
        pytest.param(
            "databricks/single/models/deleted_runs",
            [("registered_model", "G203"), *[("registered_model", "G403")] * 4],
            id="permissions, and versions whose runs are deleted",
        ),
        pytest.param("databricks/single/versions/sklearn_wine", [("registered_model", "G203")], id="permissions"),
        pytest.param("oss_mlflow/bulk/prompts", [], id="prompt"),
        pytest.param(
            "databricks/bulk/models",
            [
                *[("experiment", "G203")],
                *[("registered_model", "G203")] * 2,
                *[("run", "G101")] * 2,
                ("run", "G201"),
            ],
            id="a run that failed",
        ),
        pytest.param(
            "oss_mlflow/bulk/evaluation_datasets",
            [*[("evaluation_dataset", "G203")] * 2, ("source", "G404")],
            id="fields MLflow has not",
        ),
    ],
)
def test_what_is_not_there_is_told(sample: str, gaps: list[tuple[str, str]]) -> None:
    found = read_source(EximSource(exim_sample(sample)))
    assert sorted((row["owner_kind"], row["code"]) for row in found.rows("gaps")) == sorted(gaps)


def test_tags_of_both_dialects_stay_tags() -> None:
    found = read_source(EximSource(exim_sample("oss_mlflow")))
    keys = {row["key"] for row in found.tables["tags"]}
    for key in (
        "mlflow_exim.run_info.run_id",
        "mlflow_exim.mlflow_tag.source.name",
        "mlflow_export_import.run_info.run_id",
        "mlflow_export_import.mlflow.runName",
        "mlflow_export_import.metadata.tracking_uri",
        "run.info.start_time",
    ):
        assert key in keys
    assert "mlflow_exim.field.experiment_id" in {row["key"] for row in found.tables["experiment_tags"]}


@pytest.mark.parametrize("sample", ["databricks/bulk", "databricks/single/versions/sklearn_wine", "oss_mlflow/bulk"])
def test_through_an_archive(sample: str, tmp_path: Path) -> None:
    """All of it, gaps too, and the archive is sound."""
    path = tmp_path / "x.mlfa"
    report = copy(EximSource(exim_sample(sample)), ArchiveSink(path, tool="test 1", clock_ms=lambda: 1))
    assert not report.complete
    assert verify(path).problems == []
    direct = read_source(EximSource(exim_sample(sample)))
    with open_archive(path) as archive:
        found = read_source(ArchiveSource(archive))
        # Gaps of what is not there belong to no entity that an archive could give as a source.
        found.tables["gaps"] = plain_rows(archive.table("gaps"))
        assert sorted(map(content, found.artifacts)) == sorted(map(content, direct.artifacts))
        source = archive.newest_export.source
    assert {name: sorted(map(repr, rows)) for name, rows in found.tables.items()} == {
        name: sorted(map(repr, rows)) for name, rows in direct.tables.items()
    }
    assert source["kind"] == "exim"
    assert set(source["extra"]) == {"exported_ms", "package_version", "tracking_uri"}


def test_facts_are_those_of_the_newest_document() -> None:
    facts = EximSource(exim_sample("databricks/single/versions/sklearn_wine")).facts()
    assert (facts.kind, facts.mlflow_version) == ("exim", "2.14.3")
    assert facts.uri.endswith("/databricks/single/versions/sklearn_wine")
    assert facts.extra == {
        "package_version": "1.2.0",
        "tracking_uri": "databricks://e2_demo_fieldeng",
        "exported_ms": "1721364374000",
    }
