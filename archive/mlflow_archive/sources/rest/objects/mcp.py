"""MCP servers of one workspace, with versions, tags, aliases and access endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from mlflow_archive.flow.chunk import Chunk, Gap, Known
from mlflow_archive.kinds import MCP_SERVER, named_owner
from mlflow_archive.sources.rest.artifacts import quoted
from mlflow_archive.sources.rest.cells import (
    UNREADABLE_ROW,
    Json,
    Row,
    integer,
    json_text,
    location,
    text,
    unexpected_shape,
)
from mlflow_archive.sources.rest.lists import asking, pages
from mlflow_archive.sources.rest.scope import Batch, Scope, add_rows, batches, chunk_of, gap_of

PAGE: Final = 100
_SERVERS: Final = "/ajax-api/3.0/mlflow/mcp-servers"
_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII)
_RELEASE: Final = "2"


def plan_mcp_servers(scope: Scope) -> Iterator[Batch]:
    """Yield the MCP servers in batches."""
    if not scope.everything:
        return
    ask = asking(scope.session, _SERVERS, "mcp_servers")
    all_pages = pages(ask, lambda row: row.get("name"), size=PAGE)
    yield from batches("mcp servers", MCP_SERVER, all_pages, partial(_read, scope))


def _read(scope: Scope, servers: Sequence[Json], gaps: Sequence[Gap], known: Known) -> Iterator[Chunk]:
    rows: dict[str, list[Row]] = {}
    gaps = list(gaps)
    for raw in servers:
        name = str(raw.get("name"))
        try:
            add_rows(rows, _server_rows(scope, raw))
        except UNREADABLE_ROW as exc:
            gaps.append(_gap(scope, name, "", unexpected_shape(exc)))
            continue
        parts = (("versions", "mcp_server_versions", "version"), ("endpoints", "mcp_access_endpoints", "id"))
        for path, field, key in parts:
            ask = asking(scope.session, f"{_SERVERS}/{quoted(name)}/{path}", field)
            for page in pages(ask, lambda row, key=key: row.get(key), size=PAGE):  # type: ignore[misc]
                gaps += [_gap(scope, name, f"{path} {loss.place}".strip(), loss.reason) for loss in page.losses]
                for part in page.rows:
                    make = _version_rows if path == "versions" else _endpoint_rows
                    try:
                        add_rows(rows, make(scope, name, part))
                    except UNREADABLE_ROW as exc:
                        gaps.append(_gap(scope, name, f"{path} {part.get(key)}", unexpected_shape(exc)))
    yield chunk_of(rows, gaps)


def _server_rows(scope: Scope, raw: Json) -> dict[str, list[Row]]:
    own = {"name": str(raw["name"]), "workspace": str(raw.get("workspace") or scope.workspace)}
    return {
        "mcp_servers": [
            {
                **own,
                "display_name": text(raw.get("display_name")),
                "description": text(raw.get("description")),
                "icons": json_text(_without_nulls(raw.get("icons"))),
                **_created_and_changed(raw),
            }
        ],
        "mcp_server_tags": [
            {**own, "key": str(key), "value": text(value)} for key, value in (raw.get("tags") or {}).items()
        ],
        "mcp_server_aliases": [
            {**own, "alias": str(alias["alias"]), "version": str(alias["version"])}
            for alias in raw.get("aliases") or []
        ],
    }


def _version_rows(scope: Scope, name: str, raw: Json) -> dict[str, list[Row]]:
    own = {"name": name, "workspace": str(raw.get("workspace") or scope.workspace), "version": str(raw["version"])}
    return {
        "mcp_server_versions": [
            {
                **own,
                **version_order(own["version"]),
                "server_json": json_text(raw["server_json"]),
                "status": str(raw["status"]),
                # The server shows none as an empty list, and no options as an empty object.
                "tools": json_text(_without_nulls(raw.get("tools") or None)),
                "source": text(raw.get("source")),
                "connect_options": json_text(raw.get("connect_options") or None),
                **_created_and_changed(raw),
            }
        ],
        "mcp_server_version_tags": [
            {**own, "key": str(key), "value": text(value)} for key, value in (raw.get("tags") or {}).items()
        ],
    }


def _endpoint_rows(scope: Scope, name: str, raw: Json) -> dict[str, list[Row]]:
    row = {
        "name": name,
        "workspace": str(raw.get("workspace") or scope.workspace),
        "id": str(raw["id"]),
        "server_version": text(raw.get("server_version")),
        "server_alias": text(raw.get("server_alias")),
        "url": location(raw["url"]),
        "transport_type": str(raw["transport_type"]),
        **_created_and_changed(raw),
    }
    return {"mcp_access_endpoints": [row]}


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


def _created_and_changed(raw: Json) -> Row:
    return {
        "created_by": text(raw.get("created_by")),
        "created_at": integer(raw.get("creation_timestamp")),
        "last_updated_by": text(raw.get("last_updated_by")),
        "last_updated_at": integer(raw.get("last_updated_timestamp")),
    }


def _without_nulls(values: Any) -> Any:
    """Return a list of objects without the nulls that the server adds for what they do not say."""
    if not isinstance(values, list):
        return values
    return [
        {name: field for name, field in value.items() if field is not None} if isinstance(value, Mapping) else value
        for value in values
    ]


def _gap(scope: Scope, name: str, path: str, reason: str) -> Gap:
    return gap_of(MCP_SERVER, named_owner(name, scope.workspace), path, reason)
