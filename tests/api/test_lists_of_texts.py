"""One text where several are expected is a TypeError, in every public function: each letter would count as one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mlflow_archive as ma
from mlflow_archive.api.answer import Answer
from mlflow_archive.api.artifact_tree import ArtifactFolder, StoredArtifact
from mlflow_archive.api.objects import History, Run, StoredObject, Trace
from mlflow_archive.api.proof.evidence import Proof
from mlflow_archive.api.registry import ModelsByName, ModelVersion, RegisteredModel
from mlflow_archive.api.table_view import TableView
from mlflow_archive.verification.report import VerifyReport
from tests.support.churn import write_churn

CLASSES = (
    Answer, ArtifactFolder, History, ModelVersion, ModelsByName, Proof, RegisteredModel, Run, StoredArtifact,
    StoredObject, TableView, Trace, VerifyReport,
)  # fmt: skip
"""What a user gets hold of beside the public names."""
FILLED_BY_US = {"Diff", "Proof", "RepairReport", "Report", "ScanReport", "VerifyReport", "ArtifactFolder", "History"}
"""Classes whose constructor no user calls."""
SEVERAL = re.compile(r"(?:Sequence|Iterable|Collection|list|tuple|set)\[str\b")


def parameters() -> Iterator[tuple[str, Callable[..., Any], str]]:
    """Yield owner, callable and name of each parameter that takes several texts; who asks a selection is a source."""
    public = {getattr(ma, name): None for name in ma.__all__ if name not in ("MlflowArchiveError", "open")}
    for thing in (*public, *CLASSES):
        members = vars(thing).items() if inspect.isclass(thing) and thing is not ma.Selection else ()
        methods = [found for name, found in members if inspect.isfunction(found) and not name.startswith("_")]
        constructor = [] if thing.__name__ in FILLED_BY_US else [thing]
        for call in (*constructor, *methods):
            for parameter in inspect.signature(call).parameters.values():
                if SEVERAL.search(str(parameter.annotation)):
                    yield thing.__name__, call, parameter.name


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    path: Path = write_churn(tmp_path_factory.mktemp("lists") / "a.mlfa")
    with ma.open(path) as archive:
        yield {"OpenArchive": archive, "TableView": archive.runs}


def test_every_parameter_refuses_one_text(instances: dict[str, object]) -> None:
    refused = []
    for owner, call, name in parameters():
        bound: tuple[object, ...] = () if owner == call.__name__ else (instances[owner],)
        required = [each for each in inspect.signature(call).parameters.values() if each.default is each.empty]
        bound += ("x",) * (len(required) - len(bound))
        with pytest.raises(TypeError, match=f"^{name} takes (?:a list of texts; found the text 'abc'|pairs)"):
            run_through(call(*bound, **{name: "abc"}))
        refused.append(f"{owner}.{name}" if owner == call.__name__ else f"{owner}.{call.__name__}.{name}")
    assert sorted(refused) == [
        "ExportOptions.artifact_map",
        "OpenArchive.search_runs.experiment_ids",
        "OpenArchive.search_runs.experiment_names",
        "OpenArchive.search_runs.order_by",
        "OpenArchive.search_traces.experiment_ids",
        "OpenArchive.search_traces.experiment_names",
        "OpenArchive.search_traces.order_by",
        "PackOptions.recipients",
        "RetireOptions.artifact_map",
        "Selection.artifact_globs",
        "Selection.evaluation_datasets",
        "Selection.experiments",
        "Selection.kinds",
        "Selection.models",
        "Selection.runs",
        "Selection.stages",
        "Selection.traces",
        "Selection.versions",
        "TableView.to_batches.columns",
        "TableView.to_pandas.columns",
        "TableView.to_table.columns",
        "join.deltas",
        "repair.others",
        "unpack.identities",
    ]


def run_through(result: object) -> None:
    """Run through what is only done when it is asked for."""
    if isinstance(result, Iterator):
        list(result)


def test_pairs_are_no_texts() -> None:
    for value in ("ab", ("/old", "/new"), ["ab"]):
        with pytest.raises(TypeError, match=r"artifact_map takes pairs, as \[\('/old', '/new'\)\]"):
            ma.ExportOptions(artifact_map=value)  # type: ignore[arg-type]
