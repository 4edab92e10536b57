"""Nothing that the format has is forgotten by the replay."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

import mlflow_archive.sinks.replay
from mlflow_archive.format.refusals import KIND_REFUSED
from mlflow_archive.kinds import MCP_SERVER, SKILL, TABLES, WORKSPACE, is_identity
from mlflow_archive.sinks.replay import ReplaySink
from mlflow_archive.sinks.replay.target.nothing_there import nothing_there
from tests.sinks.filled_servers import Both

OF_THE_ARCHIVE: Final = {"blobs", "fingerprints"}
"""Tables that say something of the archive, not of MLflow."""
SOURCES: Final = "".join(
    path.read_text("utf-8") for path in Path(mlflow_archive.sinks.replay.__path__[0]).rglob("*.py")
)


def test_every_kind_has_a_writer() -> None:
    """So that no kind of this version is ever refused for being unknown here."""
    kinds = {table.entity for table in TABLES.values() if is_identity(table)}
    assert ReplaySink(nothing_there("http://nowhere")).kinds == kinds - {WORKSPACE}


@pytest.mark.parametrize("name", sorted(TABLES.keys() - OF_THE_ARCHIVE))
def test_every_table_is_read_by_some_writer(name: str) -> None:
    of_named_objects = {f"{kind}_tags" for kind in (MCP_SERVER, SKILL)}  # objects/named.py
    assert f'"{name}"' in SOURCES or (name in of_named_objects and '"{kind}_tags"' in SOURCES)


def test_a_server_of_this_version_takes_every_kind(both: Both) -> None:
    """With one of everything in the archive, and the gateway's secret entered again before the second import."""
    for report in both.reports:
        assert [gap for gap in report.gaps if gap.code == KIND_REFUSED] == []
    # An icon and what goes with it: the target's network does not allow the source's address.
    assert {gap.owner_kind for gap in both.reports[-1].gaps} <= {"mcp_server", "gateway_secret"}


def test_webhooks_keep_all_but_their_secret(both: Both) -> None:
    """Made by MLflow's client on one server, read by it on the other."""
    source, target = (
        {hook["name"]: hook for hook in server.send("GET", "2.0/mlflow/webhooks?max_results=100")["webhooks"]}
        for server in (both.source, both.target)
    )
    assert source.keys() == target.keys() == {"active", "disabled"}
    ids = both.ids("webhook")
    for name, hook in source.items():
        there = target[name]
        assert there["webhook_id"] == ids[hook["webhook_id"]]
        assert there["status"] == "DISABLED"
        assert there.get("description") == hook.get("description")
        assert there["url"] == hook["url"].replace("ada:MARKER-url-password-19bc@", "")
        assert sorted(map(str, there["events"])) == sorted(map(str, hook["events"]))
        assert "secret" not in there
    assert both.outcomes(2, "webhook") == {"skipped": 2}
