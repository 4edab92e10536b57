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
from mlflow_archive.sinks.replay.object_writer import ObjectRows, ObjectWriter, Tags
from mlflow_archive.sinks.replay.target.paging import entries
from mlflow_archive.sinks.replay.target.target import Api
from mlflow_archive.sinks.replay.writing.failures import get_or_none, once
from mlflow_archive.sinks.replay.writing.rows import Row, json_of

_VERSION: Final = "mcp_server_version"
_ENDPOINT: Final = "mcp_access_endpoint"
_TAG: Final = 5000
_ACTIVE, _DEPRECATED, _DELETED = "active", "deprecated", "deleted"
_PLACE: Final = ("url", "transport_type", "server_version", "server_alias")
_MADE: Final = ("created_by", "created_at", "last_updated_by", "last_updated_at")


class McpServerWriter(ObjectWriter):
    """Writes MCP servers with all that belongs to them."""

    kinds = (MCP_SERVER,)
    table, code = "mcp_servers", refusals.MCP_SERVER_REFUSED
    api, id_field = "/ajax-api/3.0/mlflow/mcp-servers", "name"

    def _base(self, rows: ObjectRows) -> str:
        """Return the path of a server in the target."""
        return f"{self.api}/{quote(self._context.prefixed(rows.row['name']), safe='/')}"

    def find(self, rows: ObjectRows) -> Any:
        return get_or_none(self._context.api, self._base(rows))

    def make(self, rows: ObjectRows) -> Any:
        row, post = rows.row, self._context.api.post
        body = {"name": self._context.prefixed(row["name"]), "description": row["description"]}

        def create(icons: Any) -> Any:
            make = partial(post, self.api, {**body, "icons": icons}, idempotent=False)
            return once(make, lambda: self.find(rows), by_name=True)

        return self.make_with(rows, "icons", json_of(row, "icons"), create)

    def complete(self, rows: ObjectRows, existing: Any, *, is_new: bool) -> bool:
        if existing is None:
            return super().complete(rows, existing, is_new=is_new)
        base = self._base(rows)
        changed = self._display_name(rows, base, existing)
        changed |= self._set_tags(base, self.server_tags(rows), existing.get("tags", {}))
        listed = entries(lambda page: self._context.api.get(f"{base}/versions", page), "mcp_server_versions")
        existing_versions = {version["version"]: version for version in listed}
        for version in rows.of("mcp_server_versions"):
            write = partial(self._version, rows, base, version, existing_versions.get(version["version"]))
            changed |= self.part(rows, f"versions/{version['version']}", write)
        aliases = {entry["alias"] for entry in existing.get("aliases", [])}
        for alias in rows.of("mcp_server_aliases"):
            if alias["alias"] not in aliases:
                body = {"alias": alias["alias"], "version": alias["version"]}
                changed |= self.part(rows, f"aliases/{alias['alias']}", partial(self.send, f"{base}/aliases", body))
        return self._endpoints(rows, base) or changed

    def _display_name(self, rows: ObjectRows, base: str, existing: Any) -> bool:
        """Set the name shown, which a server is not created with; return whether it was missing."""
        display_name = rows.row["display_name"]
        if display_name is None or existing.get("display_name") is not None or not _is_untouched(existing):
            return False
        if not self._context.options.dry_run:
            self._context.api.patch(base, {"display_name": display_name})
        return True

    def _version(self, rows: ObjectRows, base: str, row: Row, existing: Any) -> bool:
        """Write a version; return whether anything was missing."""
        status = row["status"]
        path = f"{base}/versions/{quote(row['version'])}"
        changed = existing is None
        if existing is None:
            if self._context.options.dry_run:
                return bool(status != _DELETED)  # a deleted one may be there, which MLflow does not show
            existing = self._create_version(rows, row, base)
        if existing is None:
            return False
        changed |= self._set_tags(path, self.version_tags(rows, row), existing.get("tags", {}))
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
            sent = {**_omit(described, icons), "name": self._context.prefixed(rows.row["name"])}
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

    def server_tags(self, rows: ObjectRows) -> dict[str, str]:
        """Return the tags that a server gets."""
        facts = {key: rows.row[key] for key in ("name", "workspace", *_MADE)}
        return self.target_tags(rows, rows.tags("mcp_server_tags"), facts, group=MCP_SERVER, limit=_TAG)

    def version_tags(self, rows: ObjectRows, row: Row) -> dict[str, str]:
        """Return the tags that a version gets."""
        all_tags = rows.of("mcp_server_version_tags")
        tags = {tag["key"]: tag["value"] for tag in all_tags if tag["version"] == row["version"]}
        facts = {key: row[key] for key in ("name", "workspace", "version", "status", *_MADE)}
        return self.target_tags(rows, tags, facts, group=_VERSION, limit=_TAG)

    def _set_tags(self, path: str, tags: Mapping[str, str], existing: Tags) -> bool:
        """Set the tags that are not there; return whether there were any."""
        missing = {key: value for key, value in tags.items() if key not in existing}
        for key, value in missing.items():
            self.send(f"{path}/tags", {"key": key, "value": value})
        return bool(missing)

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
