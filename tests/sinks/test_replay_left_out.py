"""What an import does not bring in is said, by kind and number."""

from __future__ import annotations

from pathlib import Path

from mlflow_archive.copy import copy
from mlflow_archive.format.refusals import KIND_REFUSED
from mlflow_archive.sinks.replay import ReplayOptions, ReplaySink, open_target
from tests.support.chunks import ChunkSource, chunk, experiment


def test_kinds_that_are_not_replayed_are_refused(tmp_path: Path) -> None:
    first = chunk(experiments=[experiment("7", "seven")], workspaces=[{"name": "default"}])
    servers = [{"name": name, "workspace": "default"} for name in ("a", "b")]
    source = ChunkSource((0, [first]), (1, [chunk(mcp_servers=servers)]))
    target = open_target(f"sqlite:///{tmp_path / 'mlflow.db'}", artifact_root=str(tmp_path))
    report = copy(source, ReplaySink(target, options=ReplayOptions(dry_run=True)))
    assert [(gap.owner_kind, gap.code, gap.reason[:13]) for gap in report.gaps] == [
        ("mcp_server", KIND_REFUSED, "2 mcp servers")
    ]
