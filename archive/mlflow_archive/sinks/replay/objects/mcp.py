"""The registry of MCP servers: found by name, their versions by number, tags and aliases by key."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from mlflow_archive.errors import ServerError
from mlflow_archive.format import refusals
from mlflow_archive.kinds import MCP_SERVER
from mlflow_archive.sinks.replay.equals import Equals
from mlflow_archive.sinks.replay.object_writer import ObjectRows, Tags
from mlflow_archive.sinks.replay.objects.named import NamedObjectWriter
from mlflow_archive.sinks.replay.target.paging import entries
from mlflow_archive.sinks.replay.target.target import Api
from mlflow_archive.sinks.replay.writing.failures import get_or_none, once
from mlflow_archive.sinks.replay.writing.rows import Row, json_of

_VERSION: Final = "mcp_server_version"
_ENDPOINT: Final = "mcp_access_endpoint"
_ACTIVE, _DEPRECATED, _DELETED = "active", "deprecated", "deleted"
_PLACE: Final = ("url", "transport_type", "server_version", "server_alias")
_MADE: Final = ("created_by", "created_at", "last_updated_by", "last_updated_at")


class McpServerWriter(NamedObjectWriter):
    """Writes MCP servers with all that belongs to them."""

    kinds = (MCP_SERVER,)
    table, code = "mcp_servers", refusals.MCP_SERVER_REFUSED
    api = "/ajax-api/3.0/mlflow/mcp-servers"
    tag_limit = 5000

    def name(self, rows: ObjectRows) -> str:
        return self._context.prefixed(rows.row["name"])

    def body(self, rows: ObjectRows) -> dict[str, Any]:
        return {"name": self.name(rows), "description": rows.row["description"]}

    def facts(self, row: Row) -> Row:
        return {key: row[key] for key in ("name", "workspace", "version", "status", *_MADE) if key in row}

    def complete(self, rows: ObjectRows, existing: Any, *, is_new: bool) -> bool:
        if existing is None:
            return super().complete(rows, existing, is_new=is_new)
        base = self.base(rows)
        changed = self._display_name(rows, base, existing)
        changed |= self.add_tags(rows, base, self.tags_of_object(rows), existing.get("tags", {}))
        listed = entries(lambda page: self._context.api.get(f"{base}/versions", page), "mcp_server_versions")
        existing_versions = {version["version"]: version for version in listed}
        version_tags = rows.version_tags("mcp_server_version_tags")
        for version in rows.of("mcp_server_versions"):
            number = version["version"]
            write = partial(self._version, rows, version, version_tags[number], existing_versions.get(number))
            changed |= self.part(rows, f"versions/{version['version']}", write)
        changed |= self.add_aliases(rows, "mcp_server_aliases", existing)
        return self._endpoints(rows, base) or changed

    def _display_name(self, rows: ObjectRows, base: str, existing: Any) -> bool:
        """Set the name shown, which a server is not created with; return whether it was missing."""
        display_name = rows.row["display_name"]
        if display_name is None or existing.get("display_name") is not None or not _is_untouched(existing):
            return False
        return self.update(base, {"display_name": display_name})

    def _version(self, rows: ObjectRows, row: Row, tags: Tags, existing: Any) -> bool:
        """Write a version; return whether anything was missing."""
        base, status = self.base(rows), row["status"]
        path = f"{base}/versions/{quote(row['version'])}"
        changed = existing is None
        if existing is None:
            if self._context.options.dry_run:
                return bool(status != _DELETED)  # a deleted one may be there, which MLflow does not show
            existing = self._create_version(rows, row, base)
        if existing is None:
            return False
        changed |= self.add_tags(rows, path, self.tags_of_version(rows, row, tags), existing.get("tags", {}))
        return self._status(path, existing, status) or changed

    def _create_version(self, rows: ObjectRows, row: Row, base: str) -> Any:
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
            sent = {**_omit(described, icons), "name": self.name(rows)}
            with_tools = {} if tools is None else {"tools": [_omit(tool, icons) for tool in tools]}
            whole = {**body, **with_tools, "server_json": sent}
            return once(
                lambda: self._context.api.post(f"{base}/versions", whole, idempotent=False),
                lambda: get_or_none(self._context.api, f"{base}/versions/{quote(row['version'])}"),
                by_name=True,
            )

        try:
            return self.make_with(rows, f"versions/{row['version']}/icons", has_icons, create)
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

    def _endpoints(self, rows: ObjectRows, base: str) -> bool:
        """Make the access endpoints of which there is no equal one; return whether any was missing."""
        equals, changed = Equals(lambda: self._listed_endpoints(base)), False
        for row in rows.of("mcp_access_endpoints"):
            changed |= self.part(rows, f"endpoints/{row['id']}", partial(self._endpoint, row, base, equals))
            self._context.receipt.kept(_ENDPOINT, row["id"], {name: row[name] for name in _MADE})
        return changed

    def _listed_endpoints(self, base: str) -> Iterator[tuple[Hashable, str]]:
        listed = entries(lambda page: self._context.api.get(f"{base}/endpoints", page), "mcp_access_endpoints")
        return ((_place(endpoint), endpoint["id"]) for endpoint in listed)

    def _endpoint(self, row: Row, base: str, equals: Equals) -> bool:
        api = self._context.api
        body = {name: row[name] for name in _PLACE if row[name] is not None}
        create = None if self._context.options.dry_run else partial(_post_for_id, api, f"{base}/endpoints", body)
        endpoint_id, is_new = equals.take_or_create(_place(row), create)
        self._context.receipt.mapped(_ENDPOINT, row["id"], endpoint_id)
        return is_new


def _post_for_id(api: Api, path: str, body: Mapping[str, Any]) -> str:
    return str(api.post(path, body, idempotent=False)["id"])


def _is_untouched(existing: Any) -> bool:
    """Return whether a server or version is unchanged since it was made."""
    return bool(existing["creation_timestamp"] == existing["last_updated_timestamp"])


def _place(endpoint: Any) -> tuple[Any, ...]:
    return tuple(endpoint.get(name) for name in _PLACE)


def _omit(value: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in keys}
