"""Proofs of transfers into a store in this process: workspaces that it has not, files of versions, spans as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mlflow_archive as ma
from mlflow_archive.sinks.replay import ReplayOptions
from tests.support.full_database import make_everything
from tests.support.restoring import export

NEED_A_SECRET = {"gateway_secret", "model_definition", "gateway_endpoint", "guardrail"}

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "asked": {
        "experiment_prefix": "old/",
        "model_prefix": "old-",
        "spans_in_table": False,
        "source_tags": False,
        "user": "importer",
    },
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("everything")
    everything = make_everything(f"sqlite:///{folder / 's.db'}", folder / "artifacts")
    return export(everything.uri, folder / "a.mlfa")


@pytest.mark.parametrize("name", OPTIONS)
def test_a_transfer_is_proved_but_for_what_needs_a_secret(name: str, archive: Path, tmp_path: Path) -> None:
    uri, root = f"sqlite:///{tmp_path / 't.db'}", tmp_path / "root"
    report = ma.import_archive(archive, uri, options=ReplayOptions(artifact_root=str(root), **OPTIONS[name]))
    proof = ma.diff(archive, uri, imported=True, receipt=report)
    assert proof.same, proof.changes
    assert {entry["kind"] for entry in proof.refused} == NEED_A_SECRET
    assert proof.objects["trace"] == 5
    counts = {(entry["rule"], entry["place"]): entry["count"] for entry in proof.not_counted}
    assert counts["left out", "workspaces"] == 1
    assert counts["spans elsewhere", "spans"] == 9
    assert (("source tag", "tags") in counts) == (name == "plain")

    for path in (*root.glob("*/models/*/artifacts/double.py"), next(root.glob("*/traces/*/artifacts/traces.json"))):
        data = bytearray(path.read_bytes())
        data[-3] ^= 1
        path.write_bytes(data)
    changes = ma.diff(archive, uri, imported=True, receipt=report).changes
    paths = {(change.kind, field.key["path"]) for change in changes for field in change.fields}
    own_files = {("registered_model", "4/double.py"), ("registered_model", "5/double.py")}
    assert paths >= {("trace", "traces.json"), ("logged_model", "double.py"), *own_files}
