"""The registry of MCP servers: found by name, their versions by number, tags and aliases by key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from mlflow_archive.errors import ServerError
from mlflow_archive.flow.chunk import Chunk
from mlflow_archive.format import refusals
from mlflow_archive.format.source_tags import left_by_import, object_source_tags
from mlflow_archive.kinds import MCP_SERVER, named_owner
from mlflow_archive.sinks.replay.context import ReplayContext
from mlflow_archive.sinks.replay.target.paging import entries
from mlflow_archive.sinks.replay.writing.failures import get_or_none, is_about_one_item, once
from mlflow_archive.sinks.replay.writing.fitting import Fitter
from mlflow_archive.sinks.replay.writing.kind_writer import KindWriter
from mlflow_archive.sinks.replay.writing.rows import Row, json_of, rows_of

_API: Final = "/ajax-api/3.0/mlflow/mcp-servers"
_VERSION: Final = "mcp_server_version"
_ENDPOINT: Final = "mcp_access_endpoint"
_TAG: Final = 5000
_ACTIVE, _DEPRECATED, _DELETED = "active", "deprecated", "deleted"
_MADE: Final = ("created_by", "created_at", "last_updated_by", "last_updated_at")

Tags = dict[str, str | None]


@dataclass(slots=True, kw_only=True)
class _Server:
    row: Row
    tags: Tags = field(default_factory=dict)
    versions: list[Row] = field(default_factory=list)
    version_tags: dict[str, Tags] = field(default_factory=dict)
    aliases: list[Row] = field(default_factory=list)
    endpoints: list[Row] = field(default_factory=list)

    @property
    def source_id(self) -> str:
        return named_owner(str(self.row["name"]), self.row["workspace"])


class McpServerWriter(KindWriter):
    """Writes MCP servers with all that belongs to them."""

    kinds = (MCP_SERVER,)

    def __init__(self, context: ReplayContext) -> None:
        self._context = context

    def write(self, chunk: Chunk) -> None:
        for server in _servers(chunk):
            with self._context.refusing(MCP_SERVER, server.source_id, refusals.MCP_SERVER_REFUSED):
                self._write_one(server)

    def _write_one(self, server: _Server) -> None:
        context, row = self._context, server.row
        name = context.prefixed(row["name"])
        base = f"{_API}/{quote(name, safe='/')}"
        existing = get_or_none(context.api, base)
        outcome = "created" if existing is None else "skipped"
        if existing is None and not context.options.dry_run:
            existing = self._create(server, name, base)
        context.receipt.mapped(MCP_SERVER, server.source_id, name if existing is not None else None)
        changed = existing is not None and self._complete(server, base, name, existing)
        context.receipt.done("updated" if changed and outcome == "skipped" else outcome, MCP_SERVER)

    def _create(self, server: _Server, name: str, base: str) -> Any:
        row, api = server.row, self._context.api
        body = {"name": name, "description": row["description"]}

        def create(icons: Any) -> Any:
            return once(
                lambda: api.post(_API, {**body, "icons": icons}, idempotent=False),
                lambda: get_or_none(api, base),
                by_name=True,
            )

        return self._without_icons(server, "icons", json_of(row, "icons"), create)

    def _without_icons(self, server: _Server, path: str, icons: Any, create: Callable[[Any], Any]) -> Any:
        """Create with icons, or where these are refused, as MLflow looks up their hosts, without."""
        try:
            return create(icons)
        except ServerError as exc:
            if not icons or not is_about_one_item(exc):
                raise
            created = create(None)
            self._context.refuse(MCP_SERVER, server.source_id, refusals.MCP_SERVER_REFUSED, exc, path=path)
            return created

    def _complete(self, server: _Server, base: str, name: str, existing: Any) -> bool:
        """Add what is not there; return whether there was anything."""
        row = {key: server.row[key] for key in ("name", "workspace", *_MADE)}
        changed = self._display_name(server, base, existing)
        changed |= self._tags(server, base, MCP_SERVER, row, server.tags, existing.get("tags", {}))
        listed = entries(lambda page: self._context.api.get(f"{base}/versions", page), "mcp_server_versions")
        existing_versions = {version["version"]: version for version in listed}
        for version in server.versions:
            write = partial(self._version, server, base, name, version, existing_versions)
            changed |= self._guarded(server, f"versions/{version['version']}", write)
        aliases = {entry["alias"] for entry in existing.get("aliases", [])}
        for alias in server.aliases:
            if alias["alias"] not in aliases:
                body = {"alias": alias["alias"], "version": alias["version"]}
                write = partial(self._post, f"{base}/aliases", body)
                changed |= self._guarded(server, f"aliases/{alias['alias']}", write)
        return self._endpoints(server, base) or changed

    def _display_name(self, server: _Server, base: str, existing: Any) -> bool:
        """Set the name shown, which a server is not created with; return whether it was missing."""
        display_name = server.row["display_name"]
        if display_name is None or existing.get("display_name") is not None or not _is_untouched(existing):
            return False
        if not self._context.options.dry_run:
            self._context.api.patch(base, {"display_name": display_name})
        return True

    def _guarded(self, server: _Server, path: str, write: Callable[[], bool]) -> bool:
        """Write a part of a server, or refuse it alone; return whether anything was missing."""
        changed = False
        with self._context.refusing(MCP_SERVER, server.source_id, refusals.MCP_SERVER_REFUSED, path=path):
            changed |= write()
        return changed

    def _post(self, path: str, body: dict[str, Any]) -> bool:
        if not self._context.options.dry_run:
            self._context.api.post(path, body)
        return True

    def _version(self, server: _Server, base: str, name: str, row: Row, existing_versions: dict[str, Any]) -> bool:
        """Write a version; return whether anything was missing."""
        status, existing = row["status"], existing_versions.get(row["version"])
        path = f"{base}/versions/{quote(row['version'])}"
        changed = existing is None
        if existing is None:
            if self._context.options.dry_run:
                return bool(status != _DELETED)  # a deleted one may be there, which MLflow does not show
            existing = self._create_version(server, name, row, base)
        if existing is None:
            return False
        tags = server.version_tags.get(row["version"], {})
        facts = {key: row[key] for key in ("name", "workspace", "version", "status", *_MADE)}
        changed |= self._tags(server, path, _VERSION, facts, tags, existing.get("tags", {}))
        return self._status(path, existing, status) or changed

    def _create_version(self, server: _Server, name: str, row: Row, base: str) -> Any:
        """Create a version and return it; None where it is there, deleted."""
        described = json_of(row, "server_json")
        tools = json_of(row, "tools")
        body: dict[str, Any] = {
            "status": _ACTIVE if row["status"] in (_ACTIVE, _DEPRECATED) else "draft",
            "source": row["source"],
            "connect_options": json_of(row, "connect_options"),
        }
        has_icons = "icons" in described or any("icons" in tool for tool in tools or [])

        def create(with_icons: Any) -> Any:
            icons = () if with_icons else ("icons",)
            sent = {**_omit(described, icons), "name": name}
            with_tools = {} if tools is None else {"tools": [_omit(tool, icons) for tool in tools]}
            return once(
                lambda: self._context.api.post(
                    f"{base}/versions", {**body, **with_tools, "server_json": sent}, idempotent=False
                ),
                lambda: get_or_none(self._context.api, f"{base}/versions/{quote(row['version'])}"),
                by_name=True,
            )

        try:
            return self._without_icons(server, f"versions/{row['version']}/icons", has_icons, create)
        except ServerError as exc:
            if row["status"] != _DELETED or exc.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return None

    def _status(self, path: str, existing: Any, status: str) -> bool:
        """Deprecate or delete a version that this import, or one that was cut off, has made."""
        must_change = status in (_DEPRECATED, _DELETED) and existing["status"] != status
        if not must_change or not _is_untouched(existing):
            return False
        if not self._context.options.dry_run:
            try:
                if status == _DELETED:
                    self._context.api.delete(path)
                else:
                    self._context.api.patch(path, {"status": status})
            except ServerError:
                # A request that was repeated after it was carried out is refused, as then there is nothing to change.
                now = get_or_none(self._context.api, path)
                if (_DELETED if now is None else now["status"]) != status:
                    raise
        return True

    def _tags(self, server: _Server, path: str, group: str, row: Row, tags: Tags, existing: dict[str, str]) -> bool:
        """Set the tags that are not there; return whether there were any."""
        context = self._context
        all_tags = {key: value for key, value in tags.items() if not left_by_import(key)}
        if context.options.source_tags:
            all_tags |= object_source_tags(group, row, tags, export=context.export_of(server.row))
        fitted = Fitter(context.options.limits, context.receipt, server.source_id).tags(f"{group} tag", all_tags, _TAG)
        missing = {key: value for key, value in fitted.items() if key not in existing}
        for key, value in missing.items():
            self._post(f"{path}/tags", {"key": key, "value": value})
        return bool(missing)

    def _endpoints(self, server: _Server, base: str) -> bool:
        context = self._context
        if not server.endpoints:
            return False
        existing = self._listed_endpoints(base)
        changed = False
        for row in server.endpoints:
            place = _place(row)
            equal = next((entry for entry in existing if entry[0] == place), None)
            if equal is not None:
                existing.remove(equal)
                context.receipt.mapped(_ENDPOINT, row["id"], equal[1])
            else:
                write = partial(self._create_endpoint, row, base, {endpoint_id for _, endpoint_id in existing})
                changed |= self._guarded(server, f"endpoints/{row['id']}", write)
            context.receipt.kept(_ENDPOINT, row["id"], {name: row[name] for name in _MADE})
        return changed

    def _listed_endpoints(self, base: str) -> list[tuple[Any, str]]:
        listed = entries(lambda page: self._context.api.get(f"{base}/endpoints", page), "mcp_access_endpoints")
        return [(_place(endpoint), endpoint["id"]) for endpoint in listed]

    def _create_endpoint(self, row: Row, base: str, known: set[str]) -> bool:
        """Create an access endpoint; ``known`` are those that are something else."""
        names = ("url", "transport_type", "server_version", "server_alias")
        body = {name: row[name] for name in names if row[name] is not None}

        def look() -> str | None:
            existing = self._listed_endpoints(base)
            equal = [candidate for place, candidate in existing if place == _place(row) and candidate not in known]
            return equal[0] if equal else None

        endpoint_id = None
        if not self._context.options.dry_run:
            endpoint_id = once(lambda: self._context.api.post(f"{base}/endpoints", body, idempotent=False)["id"], look)
        self._context.receipt.mapped(_ENDPOINT, row["id"], endpoint_id)
        return True


def _is_untouched(existing: Any) -> bool:
    """Return whether a server or version is unchanged since it was made."""
    return bool(existing["creation_timestamp"] == existing["last_updated_timestamp"])


def _place(endpoint: Any) -> tuple[Any, ...]:
    return tuple(endpoint.get(name) for name in ("url", "transport_type", "server_version", "server_alias"))


def _omit(value: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in keys}


def _servers(chunk: Chunk) -> list[_Server]:
    servers = {(row["workspace"], row["name"]): _Server(row=row) for row in rows_of(chunk, "mcp_servers")}

    def owned(table: str) -> Any:
        return ((servers[row["workspace"], row["name"]], row) for row in rows_of(chunk, table))

    for server, row in owned("mcp_server_tags"):
        server.tags[row["key"]] = row["value"]
    for server, row in owned("mcp_server_versions"):
        server.versions.append(row)
    for server, row in owned("mcp_server_version_tags"):
        server.version_tags.setdefault(row["version"], {})[row["key"]] = row["value"]
    for server, row in owned("mcp_server_aliases"):
        server.aliases.append(row)
    for server, row in owned("mcp_access_endpoints"):
        server.endpoints.append(row)
    return list(servers.values())
