"""The registry of MCP servers."""

from __future__ import annotations

from typing import Final

from mlflow_archive.kinds.model import MCP_SERVER, WORKSPACE, Kind, integer, listing, made, text, uri

MCP_SERVERS: Final = Kind(
    name=MCP_SERVER,
    owner=(
        text("name", "mcp_servers.name", "Name of the MCP server."),
        text("workspace", "mcp_servers.workspace", "Workspace; `default` where the source has none."),
    ),
    refers=(WORKSPACE,),
    word="mcp-servers",
    lists=(listing("mcp-servers", "name display_name description created_at"),),
    keeps_blank_texts=True,
)

KINDS: Final = (MCP_SERVERS,)

TABLES: Final = (
    MCP_SERVERS.table(
        "mcp_servers",
        "MCP servers.",
        text("display_name", "mcp_servers.display_name", "Name shown.", null=True),
        text("description", "mcp_servers.description", "Description.", null=True),
        text("icons", "mcp_servers.icons", "JSON text.", null=True),
        *made("mcp_servers"),
    ),
    MCP_SERVERS.tags("mcp_server_tags", "Tags of MCP servers."),
    MCP_SERVERS.table(
        "mcp_server_versions",
        "Versions of MCP servers.",
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
        *made("mcp_server_versions"),
        key=("version",),
    ),
    MCP_SERVERS.tags(
        "mcp_server_version_tags",
        "Tags of versions of MCP servers.",
        text("version", "mcp_server_version_tags.version", "Version as text."),
    ),
    MCP_SERVERS.table(
        "mcp_server_aliases",
        "Aliases: names for one version.",
        text("alias", "mcp_server_aliases.alias", "Alias."),
        text("version", "mcp_server_aliases.version", "Version it stands for."),
        key=("alias",),
    ),
    MCP_SERVERS.table(
        "mcp_access_endpoints",
        "Where MCP servers are reached.",
        text("id", "mcp_access_endpoints.id", "Id at the source."),
        text("server_version", "mcp_access_endpoints.server_version", "Version.", null=True),
        text("server_alias", "mcp_access_endpoints.server_alias", "Alias.", null=True),
        uri("url", "mcp_access_endpoints.url", "URL, without user and password.", null=False),
        text("transport_type", "mcp_access_endpoints.transport_type", "Transport."),
        *made("mcp_access_endpoints"),
        owner=(
            text("name", "mcp_access_endpoints.server_name", "Name of the MCP server."),
            text("workspace", "mcp_access_endpoints.workspace", "Workspace; `default` where the source has none."),
        ),
        key=("id",),
    ),
)
