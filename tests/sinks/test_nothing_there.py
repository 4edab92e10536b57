"""A dry run into a store or workspace that is not there yet names all that would be created."""

from __future__ import annotations

from typing import Any

from mlflow_archive.flow.copy import copy
from mlflow_archive.sinks.replay import ReplayOptions, ReplaySink
from mlflow_archive.sinks.replay.target.nothing_there import nothing_there
from tests.support.chunks import ChunkSource, chunk, experiment


def test_kinds_that_are_looked_up_in_bulk_or_by_names_that_read_like_paths() -> None:
    names = [{"name": name, "workspace": "default"} for name in ("io.example/list", "io.example/search", "webhooks")]
    source = ChunkSource(
        (0, [chunk(experiments=[experiment("1", "main")])]),
        (1, [chunk(traces=[{"trace_id": "tr-1", "experiment_id": "1", "request_time": 1, "state": "OK"}])]),
        (2, [chunk(webhooks=[{"webhook_id": "w", "name": "w", "url": "https://example.org", "status": "ACTIVE"}])]),
        (3, [chunk(mcp_servers=names)]),
        (4, [chunk(skills=[{"name": "list", "workspace": "default", "organization": ""}])]),
    )
    report = copy(source, ReplaySink(nothing_there("sqlite:///new.db"), options=ReplayOptions(dry_run=True)))
    assert report.gaps == []
    created = {"traces": 1, "webhooks": 1, "mcp_servers": 3, "skills": 1, "experiments": 1}
    assert {name: report.counts[name] for name in created} == created
    changed: Any = report.details["changed"]
    assert changed["webhooks_switched_off"] == 1
