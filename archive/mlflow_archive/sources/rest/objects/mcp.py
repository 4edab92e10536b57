"""MCP servers of one workspace, with versions, tags, aliases and access endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from mlflow_archive.artifact_roots.proxy import quoted
from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.kinds import MCP_SERVER, named_owner
from mlflow_archive.sources.reading.fields import Fields, ValueMalformedError, row_of
from mlflow_archive.sources.reading.rows import pair_rows
from mlflow_archive.sources.rest.cells import Json, Row, json_text
from mlflow_archive.sources.rest.lists import asking, pages
from mlflow_archive.sources.rest.scope import Batch, Contents, Scope, TableRows, batches

PAGE: Final = 100
_SERVERS: Final = "/ajax-api/3.0/mlflow/mcp-servers"
_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII)
_RELEASE: Final = "2"
_TIMES: Final = {"created_at": "creation_timestamp", "last_updated_at": "last_updated_timestamp"}


def plan_mcp_servers(scope: Scope) -> Iterator[Batch]:
    """Yield the MCP servers in batches."""
    if not scope.everything:
        return
    ask = asking(scope, MCP_SERVER, _SERVERS, "mcp_servers")
    all_pages = pages(ask, "name", size=PAGE)
    yield from batches("mcp servers", MCP_SERVER, all_pages, partial(_read, scope))


def _read(scope: Scope, servers: Sequence[Json], gaps: Sequence[Gap], known: Known) -> Iterator[Chunk]:
    contents = Contents(scope, MCP_SERVER, gaps)
    for raw in servers:
        name = str(raw.get("name"))
        owner_id = named_owner(name, scope.workspace)
        if contents.add(owner_id, raw, partial(_server_rows, scope)) is None:
            continue
        parts = (
            ("versions", "mcp_server_versions", "version", _version_rows),
            ("endpoints", "mcp_access_endpoints", "id", _endpoint_rows),
        )
        for path, field, key, rows_of in parts:
            ask = asking(scope, MCP_SERVER, f"{_SERVERS}/{quoted(name)}/{path}", field)
            for part in contents.listed(pages(ask, key, size=PAGE), owner_id, path):
                contents.add(owner_id, part, partial(rows_of, scope, name), f"{path} {part.get(key)}")
    yield from contents.chunks()


def _server_rows(scope: Scope, server: Fields) -> TableRows:
    icons = json_text(_without_nulls(server.value("icons")))
    row = row_of("mcp_servers", server, _TIMES, workspace=_workspace(scope, server), icons=icons)
    own = {"name": row["name"], "workspace": row["workspace"]}
    server.known("access_endpoints", "latest_version", "status")  # of its versions and endpoints, which are asked for
    return {
        "mcp_servers": [row],
        "mcp_server_tags": pair_rows(server.pairs_with_nulls("tags"), **own),
        "mcp_server_aliases": [row_of("mcp_server_aliases", alias, **own) for alias in server.objects("aliases")],
    }


def _version_rows(scope: Scope, name: str, version: Fields) -> TableRows:
    own = {"name": name, "workspace": _workspace(scope, version), "version": version.required("version")}
    if "server_json" not in version:
        raise ValueMalformedError("server_json is missing")
    row = row_of(
        "mcp_server_versions",
        version,
        _TIMES,
        **own,
        **version_order(own["version"]),
        server_json=json_text(version.value("server_json")),
        # The server shows none as an empty list, and no options as an empty object.
        tools=json_text(_without_nulls(version.value("tools") or None)),
        connect_options=json_text(version.value("connect_options") or None),
    )
    version.known("aliases")  # those that the server names
    tags = pair_rows(version.pairs_with_nulls("tags"), **own)
    return {"mcp_server_versions": [row], "mcp_server_version_tags": tags}


def _endpoint_rows(scope: Scope, name: str, endpoint: Fields) -> TableRows:
    row = row_of("mcp_access_endpoints", endpoint, _TIMES, name=name, workspace=_workspace(scope, endpoint))
    endpoint.known("server_name", "resolved_version", "tools")  # of the server, and of the version it stands for
    return {"mcp_access_endpoints": [row]}


def _workspace(scope: Scope, fields: Fields) -> str:
    return fields.text("workspace") or scope.workspace


def version_order(version: str) -> Row:
    """Return the columns by which MLflow sorts versions (semver.org), as its SQL store fills them.

    >>> version_order("1.9.0-rc.1")["version_prerelease_sort_key"]
    '111409900000011'
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        return {}
    major, minor, patch, before = match.groups()
    key = "".join(map(_sort_key, before.split("."))) if before else _RELEASE
    numbers = {"version_major": int(major), "version_minor": int(minor), "version_patch": int(patch)}
    return {**numbers, "version_prerelease_sort_key": key}


def _sort_key(part: str) -> str:
    """Return digits that sort as a part of a pre-release does: numbers by size, before words by their characters."""
    if part.isdigit():
        return f"0{len(part):03d}{part}"
    return "1" + "".join(f"{ord(character):03d}" for character in part) + "000"


def _without_nulls(values: Any) -> Any:
    """Return a list of objects without the nulls that the server adds for what they do not say."""
    if not isinstance(values, list):
        return values
    return [
        {name: field for name, field in value.items() if field is not None} if isinstance(value, Mapping) else value
        for value in values
    ]
