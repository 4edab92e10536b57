"""The registry of MCP servers."""

from __future__ import annotations

from typing import Final

from mlflow_archive.kinds.model import (
    MCP_SERVER,
    NAME_IN_WORKSPACE,
    WORKSPACE,
    Column,
    Kind,
    Table,
    integer,
    listing,
    text,
    time,
    uri,
)

_NAME = text("name", "mcp_servers.name", "Name of the MCP server.")
_WORKSPACE = text("workspace", "mcp_servers.workspace", "Workspace; `default` where the source has none.")


def _made(table: str) -> tuple[Column, ...]:
    return (
        text("created_by", f"{table}.created_by", "Who made it.", null=True),
        time("created_at", f"{table}.created_at", "When it was made."),
        text("last_updated_by", f"{table}.last_updated_by", "Who changed it.", null=True),
        time("last_updated_at", f"{table}.last_updated_at", "When it last changed."),
    )


MCP_KINDS: Final = (
    Kind(
        name=MCP_SERVER,
        refers=(WORKSPACE,),
        word="mcp-servers",
        lists=(listing("mcp-servers", "name display_name description created_at"),),
    ),
)

MCP_TABLES: Final = (
    Table(
        name="mcp_servers",
        entity=MCP_SERVER,
        owner=NAME_IN_WORKSPACE,
        key=NAME_IN_WORKSPACE,
        description="MCP servers.",
        columns=(
            _NAME,
            _WORKSPACE,
            text("display_name", "mcp_servers.display_name", "Name shown.", null=True),
            text("description", "mcp_servers.description", "Description.", null=True),
            text("icons", "mcp_servers.icons", "JSON text.", null=True),
            *_made("mcp_servers"),
        ),
    ),
    Table(
        name="mcp_server_tags",
        entity=MCP_SERVER,
        owner=NAME_IN_WORKSPACE,
        key=(*NAME_IN_WORKSPACE, "key"),
        description="Tags of MCP servers.",
        columns=(
            _NAME,
            _WORKSPACE,
            text("key", "mcp_server_tags.key", "Tag key."),
            text("value", "mcp_server_tags.value", "Tag value.", null=True),
        ),
    ),
    Table(
        name="mcp_server_versions",
        entity=MCP_SERVER,
        owner=NAME_IN_WORKSPACE,
        key=(*NAME_IN_WORKSPACE, "version"),
        description="Versions of MCP servers.",
        columns=(
            _NAME,
            _WORKSPACE,
            text("version", "mcp_server_versions.version", "Version as text."),
            integer("version_major", "mcp_server_versions.version_major", "Of the version, to sort by.", null=True),
            integer("version_minor", "mcp_server_versions.version_minor", "Of the version, to sort by.", null=True),
            integer("version_patch", "mcp_server_versions.version_patch", "Of the version, to sort by.", null=True),
            text(
                "version_prerelease_sort_key",
                "mcp_server_versions.version_prerelease_sort_key",
                "Of the version, to sort by.",
                null=True,
            ),
            text("server_json", "mcp_server_versions.server_json", "JSON text."),
            text("status", "mcp_server_versions.status", "Status."),
            text("tools", "mcp_server_versions.tools", "JSON text.", null=True),
            text("source", "mcp_server_versions.source", "Where it comes from.", null=True),
            text("connect_options", "mcp_server_versions.connect_options", "JSON text.", null=True),
            *_made("mcp_server_versions"),
        ),
    ),
    Table(
        name="mcp_server_version_tags",
        entity=MCP_SERVER,
        owner=NAME_IN_WORKSPACE,
        key=(*NAME_IN_WORKSPACE, "version", "key"),
        description="Tags of versions of MCP servers.",
        columns=(
            _NAME,
            _WORKSPACE,
            text("version", "mcp_server_version_tags.version", "Version as text."),
            text("key", "mcp_server_version_tags.key", "Tag key."),
            text("value", "mcp_server_version_tags.value", "Tag value.", null=True),
        ),
    ),
    Table(
        name="mcp_server_aliases",
        entity=MCP_SERVER,
        owner=NAME_IN_WORKSPACE,
        key=(*NAME_IN_WORKSPACE, "alias"),
        description="Aliases: names for one version.",
        columns=(
            _NAME,
            _WORKSPACE,
            text("alias", "mcp_server_aliases.alias", "Alias."),
            text("version", "mcp_server_aliases.version", "Version it stands for."),
        ),
    ),
    Table(
        name="mcp_access_endpoints",
        entity=MCP_SERVER,
        owner=NAME_IN_WORKSPACE,
        key=(*NAME_IN_WORKSPACE, "id"),
        description="Where MCP servers are reached.",
        columns=(
            text("name", "mcp_access_endpoints.server_name", "Name of the MCP server."),
            text("workspace", "mcp_access_endpoints.workspace", "Workspace; `default` where the source has none."),
            text("id", "mcp_access_endpoints.id", "Id at the source."),
            text("server_version", "mcp_access_endpoints.server_version", "Version.", null=True),
            text("server_alias", "mcp_access_endpoints.server_alias", "Alias.", null=True),
            uri("url", "mcp_access_endpoints.url", "URL, without user and password.", null=False),
            text("transport_type", "mcp_access_endpoints.transport_type", "Transport."),
            *_made("mcp_access_endpoints"),
        ),
    ),
)
