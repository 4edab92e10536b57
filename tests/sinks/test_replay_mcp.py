"""MCP servers with versions, tags, aliases and endpoints, from a real server's database into another real server."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mlflow_archive.format.refusals import MCP_SERVER_REFUSED
from tests.sinks.filled_servers import ICON, Both, Rows

P = "mlflow_export_import."
NAMES = ("io.example/empty", "io.example/full", "io.example/search")
OURS = ("tags", "created_by", "last_updated_by", "creation_timestamp", "last_updated_timestamp", "icons", "id")


def _get(both: Both, side: int, path: str) -> Any:
    return (both.source, both.target)[side].send("GET", f"3.0/mlflow/mcp-servers/{path}")


def _versions(both: Both, side: int, name: str) -> dict[str, dict[str, Any]]:
    found: Rows = _get(both, side, f"{name}/versions")["mcp_server_versions"]
    return {str(version["version"]): version for version in found}


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Return what must be equal on both sides."""
    return {key: held for key, held in value.items() if key not in OURS and key != "access_endpoints"}


def _tags(value: dict[str, Any]) -> dict[str, str]:
    return {key: held for key, held in value["tags"].items() if not key.startswith(P)}


@pytest.mark.parametrize("name", NAMES)
def test_servers_keep_their_fields(both: Both, name: str) -> None:
    source, target = (_get(both, side, name) for side in (0, 1))
    assert _plain(target) == _plain(source)
    assert _tags(target) == _tags(source)
    assert target["tags"][f"{P}mcp_server.created_at"] == str(source["creation_timestamp"])


@pytest.mark.parametrize("name", NAMES)
def test_versions_keep_their_fields(both: Both, name: str) -> None:
    source, target = (_versions(both, side, name) for side in (0, 1))
    assert target.keys() == source.keys()
    for number, version in source.items():
        version["server_json"].pop("icons", None)
        assert _plain(target[number]) == _plain(version)
        assert _tags(target[number]) == _tags(version)
        assert target[number]["tags"][f"{P}mcp_server_version.created_at"] == str(version["creation_timestamp"])


def test_a_deprecated_version_stays_so(both: Both) -> None:
    versions = _versions(both, 1, "io.example/full")
    assert {number: version["status"] for number, version in versions.items()} == {
        "1.0.0": "active",
        "1.1.0": "deprecated",
        "2.0.0-beta.1": "draft",
        "4.0.0": "draft",
    }


def test_a_deleted_version_keeps_its_number_taken(both: Both) -> None:
    described = {"name": "io.example/full", "version": "3.0.0"}
    with pytest.raises(AssertionError, match="already exists"):
        both.target.post("3.0/mlflow/mcp-servers/io.example/full/versions", server_json=described)


@pytest.mark.parametrize("name", NAMES)
def test_access_endpoints_keep_their_fields(both: Both, name: str) -> None:
    source, target = (_get(both, side, f"{name}/endpoints")["mcp_access_endpoints"] for side in (0, 1))
    fields = ("url", "transport_type", "server_version", "server_alias")
    clean = {row["id"]: re.sub("//.*@", "//", row["url"]) for row in source}  # no archive holds passwords
    ids = both.ids("mcp_access_endpoint")
    expected = {ids[row["id"]]: [clean[row["id"]], *(row[field] for field in fields[1:])] for row in source}
    assert {row["id"]: [row[field] for field in fields] for row in target} == expected


def test_icons_that_the_target_refuses_are_refused_alone(both: Both) -> None:
    refused = both.refusals(0, "mcp_server")
    assert [(code, path) for code, path, _ in refused] == [
        (MCP_SERVER_REFUSED, "icons"),
        (MCP_SERVER_REFUSED, "versions/4.0.0/icons"),
    ]
    assert all(ICON in reason or "127.0.0.1" in reason for _, _, reason in refused)


def test_another_import_changes_nothing(both: Both) -> None:
    assert both.outcomes(0, "mcp_server") == {"created": 3}
    assert both.outcomes(1, "mcp_server") == both.outcomes(2, "mcp_server") == {"skipped": 3}
