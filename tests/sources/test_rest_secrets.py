"""No secret gets into an archive, and none of the kinds that lie in no experiment is lost."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard

from mlflow_archive.flow.copy import copy
from mlflow_archive.kinds import TABLES
from mlflow_archive.reader.archive import open_archive
from mlflow_archive.sources.locate import locate_source
from mlflow_archive.writer.export import ArchiveSink
from tests.sources.rest_reading import read
from tests.support.bad_network import bad_network
from tests.support.databases import TABLES_HERE
from tests.support.everything import SECRETS, Filled
from tests.support.mlflow_server import MlflowServer

Everything = tuple[MlflowServer, Filled]
MASKED = "MAR..."  # how a server shows the key


@pytest.fixture(scope="module")
def archive(everything: Everything, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secrets") / "all.mlfa"
    copy(locate_source(everything[0].uri), ArchiveSink(path, tool="test 1", clock_ms=lambda: 0))
    return path


def every_byte(path: Path) -> dict[str, bytes]:
    """Return all that an archive holds: members as they are, packs and table parts also without compression."""
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as members:
        for name in members.namelist():
            found[name] = members.read(name)
            if name.endswith(".zst"):
                with members.open(name) as packed:
                    reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
                    found[name + " decompressed"] = reader.read()
            if name.endswith(".parquet"):
                with members.open(name) as part:
                    rows = pq.read_table(part).to_pylist()
                found[name + " decoded"] = repr(rows).encode()
    return found


def test_no_secret_is_in_the_archive(archive: Path) -> None:
    content = every_byte(archive)
    assert any(b"flavors: {}" in each for name, each in content.items() if "decompressed" in name)
    assert any(b"by hand" in each for each in content.values())
    for secret in (*SECRETS, MASKED):
        assert [name for name, each in content.items() if secret.encode() in each] == []


def test_every_table_has_rows(archive: Path) -> None:
    """But for workspaces, which this server does not have."""
    with open_archive(archive) as opened:
        empty = {name for name in TABLES_HERE if opened.table(name).num_rows == 0}
    assert empty == {"workspaces"}


def test_what_lies_in_no_experiment_is_left_out_with_a_selection(everything: Everything) -> None:
    server, _ = everything
    for selection in ({"experiments": ("*",)}, {"since_ms": 0}):
        found = read(server.uri, artifacts=False, **selection)
        for name in (
            "registered_models",
            "webhooks",
            "gateway_secrets",
            "gateway_endpoints",
            "mcp_servers",
            "guardrails",
        ):
            assert found.tables[name] == [], (name, selection)
        assert found.tables["traces"]


def test_a_server_without_any_of_the_newer_endpoints(everything: Everything) -> None:
    """No error and no gap: such a server has none of these objects."""
    server, filled = everything
    with bad_network(server.uri) as network:
        network.faults = {"/3.0/": ["no page"] * 1000, "logged-models": ["no page"] * 99, "webhooks": ["no page"] * 99}
        found = read(network.uri, artifacts=False)
    rows = {name for name in TABLES if found.tables[name]}
    assert rows == {
        "experiments", "experiment_tags", "runs", "params", "tags", "metrics", "datasets", "dataset_inputs",
        "dataset_input_tags", "model_inputs", "model_outputs", "spans", "traces", "trace_tags", "trace_metadata",
        "registered_models",
        "registered_model_tags", "registered_model_aliases", "model_versions", "model_version_tags", "gaps",
        "fingerprints",
    }  # fmt: skip
    old, linked = filled.traces.traces["old"], filled.traces.traces["linked"]
    assert {owner for owner, _, _ in found.gaps()} == {old, linked}  # values that may be cut
