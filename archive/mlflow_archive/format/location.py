"""Locations as an archive may state them: credentials inside URIs never get in (spec/format.md, threat model)."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit, urlunsplit

LOCATIONS: Final = frozenset(
    {
        ("experiments", "artifact_location"),
        ("runs", "artifact_uri"),
        ("logged_models", "artifact_location"),
        ("model_versions", "source"),
        ("model_versions", "storage_location"),
        ("model_versions", "run_link"),
        ("webhooks", "url"),
        ("workspaces", "default_artifact_root"),
        ("workspaces", "trace_archival_location"),
        ("mcp_access_endpoints", "url"),
    }
)
"""(table, column) of all that holds a URI."""


def without_password(uri: str) -> str:
    """Return a URI without user and password; the container of ``abfss://container@account`` stays."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri
    userinfo, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=host)) if at and ":" in userinfo else uri
