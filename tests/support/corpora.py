"""Real MLflow stores from public repositories (``tests/corpora.md``), with independently counted facts.

They lie packed in ``tests/corpora.tar.zst``, which is unpacked once a test run, outside of the checkout.
"""

from __future__ import annotations

import json
import tarfile
from functools import cache
from pathlib import Path
from typing import Any, Final

from zstandard import ZstdDecompressor

from tests.support.session_folder import made_once

PACKED: Final = Path(__file__).resolve().parents[1] / "corpora.tar.zst"

FILE_STORES = (
    ("PacktPublishing__Hyperparameter-Tuning-with-Python", "data/mlruns"),
    ("LostPetInitiative__TextIntelligenceResearch", "data/mlruns"),
    ("Addisu22__Credit-Risk-Probability-Model", "data/mlruns"),
    ("gyasis__PromptChain", "data/examples/mlruns"),
)

DATABASES = (
    ("Yuzhouboat__mlflow_forMySQL5.6", "data/tests/resources/db/db_version_7ac759974ad8_with_metrics.sql"),
    ("dominodatalab__AutoDocumentation_Extension", "data/auto_model_docs/mlflow.db"),
    ("dominodatalab__AutoDocumentation_Extension", "data/mlflow_data/mlflow.db"),
    ("dominodatalab__AutoDocumentation_Extension", "data/sample_projects/01_customer_churn/mlflow.db"),
    ("dominodatalab__AutoDocumentation_Extension", "data/sample_projects/02_price_prediction/mlflow.db"),
    ("dominodatalab__AutoDocumentation_Extension", "data/sample_projects/03_fraud_detection/mlflow.db"),
)

EXIM_CORPUS = "mlflow__mlflow-export-import"
EXIM_SAMPLES = (
    "databricks/bulk",
    "databricks/bulk/experiments",
    "databricks/bulk/models",
    "databricks/single/experiments/notebook_experiments/repo_notebook",
    "databricks/single/experiments/notebook_experiments/workspace_notebook",
    "databricks/single/experiments/workspace_experiments/automl_workspace_notebook",
    "databricks/single/experiments/workspace_experiments/job_repo_notebook",
    "databricks/single/experiments/workspace_experiments/repo_notebook",
    "databricks/single/experiments/workspace_experiments/workspace_notebook",
    "databricks/single/experiments/workspace_experiments/workspace_notebook_src_tags",
    "databricks/single/models/basic",
    "databricks/single/models/deleted_runs",
    "databricks/single/models/src_tags",
    "databricks/single/versions/sklearn_wine",
    "oss_mlflow/bulk",
    "oss_mlflow/bulk/evaluation_datasets",
    "oss_mlflow/bulk/experiments",
    "oss_mlflow/bulk/models",
    "oss_mlflow/bulk/prompts",
    "oss_mlflow/single/experiments/basic",
    "oss_mlflow/single/experiments/src_tags",
    "oss_mlflow/single/models/basic",
    "oss_mlflow/single/models/src_tags",
)
"""Folders that mlflow-export-import wrote, each one export or the inner part of one."""


@cache
def corpora() -> Path:
    """Return the folder of the unpacked corpora; it must not be written to."""
    return made_once("corpora", _unpack)


def _unpack(folder: Path) -> None:
    with (
        PACKED.open("rb") as packed,
        ZstdDecompressor().stream_reader(packed) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        tar.extractall(folder, filter="data")


def exim_sample(name: str) -> Path:
    """Return the folder of a sample of mlflow-export-import; it must not be written to."""
    return store_path(EXIM_CORPUS, f"data/samples/{name}")


def store_path(corpus: str, store: str) -> Path:
    """Return the folder of a store; it must not be written to."""
    return corpora() / corpus / store


def store_facts(corpus: str, store: str) -> dict[str, Any]:
    """Return the counts of FACTS.json for a store."""
    facts: dict[str, Any] = json.loads((corpora() / corpus / "FACTS.json").read_text("utf-8"))
    counts: dict[str, Any] = facts["stores"][store]
    return counts
