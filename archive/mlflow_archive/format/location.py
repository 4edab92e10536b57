"""Locations as an archive states them: without credentials (spec/format.md, threat model), and comparable."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote, urlsplit, urlunsplit


def without_password(uri: str) -> str:
    """Return a URI without user and password; the container of ``abfss://container@account`` stays."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri
    userinfo, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=host)) if at and ":" in userinfo else uri


def canonical(uri: str) -> str:
    """Return a location in the one form in which it can be compared with others.

    >>> canonical("file:///data/my%20runs/"), canonical("mlflow-artifacts://host:5000/1/")
    ('/data/my runs', 'mlflow-artifacts:/1')
    """
    uri = without_password(uri)
    scheme, colon, rest = uri.partition(":")
    scheme = scheme.lower()
    if colon and scheme in ("file", "mlflow-artifacts"):
        if rest.startswith("//"):
            rest = "/" + rest[2:].partition("/")[2]
        rest = unquote(rest) if scheme == "file" else rest
        uri = posixpath.normpath(rest or "/") if scheme == "file" else f"{scheme}:{rest}"
    elif uri and (not colon or "/" in scheme or not scheme):
        uri = posixpath.normpath(uri)
    return uri.rstrip("/") or "/"


def below(uri: str, root: str) -> str | None:
    """Return the path of a location below another, empty for the same place; None for one that lies elsewhere.

    >>> below("file:///a/b/c", "/a/b/"), below("/a/bc", "/a/b")
    ('c', None)
    """
    place, base = canonical(uri), canonical(root)
    if place == base:
        return ""
    return place[len(base) :].strip("/") if place.startswith(base.rstrip("/") + "/") else None
