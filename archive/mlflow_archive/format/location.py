"""Locations as an archive may state them: credentials inside URIs never get in (spec/format.md, threat model)."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def without_password(uri: str) -> str:
    """Return a URI without user and password; the container of ``abfss://container@account`` stays."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri
    userinfo, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=host)) if at and ":" in userinfo else uri
