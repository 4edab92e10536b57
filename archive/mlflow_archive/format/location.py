"""Locations as an archive states them: without credentials (spec/format.md, threat model), and comparable."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from mlflow_archive.errors import SelectionError

_DRIVE: Final = re.compile(r"/*([A-Za-z]):(/.*)")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def local_path(text: str | os.PathLike[str]) -> Path:
    """Return a path to write to or read from. Raises SelectionError for a URL.

    As a path, a URL would be a folder with a colon in its name below the current one.
    """
    if match := _URL.match(os.fspath(text)):
        raise SelectionError(
            f"{without_password(os.fspath(text))!r} is a URL, and {match[1]}:// is not supported here: give a path on "
            "this machine, and copy what is written"
        )
    return Path(text)


def windows_path(uri: str) -> str | None:
    """Return the path with a drive that a URI or path names, in one spelling; None where it names none.

    >>> windows_path("file:///c:/X/my%20runs"), windows_path("file:C:/X"), windows_path(r"C:\\X"), windows_path("/C")
    ('C:/X/my runs', 'C:/X', 'C:/X', None)
    """
    scheme, colon, rest = uri.partition(":")
    text = unquote(rest) if colon and scheme.lower() == "file" else uri
    match = _DRIVE.fullmatch(text.removeprefix("//localhost").replace("\\", "/"))
    return None if match is None else f"{match[1].upper()}:{match[2]}"


def without_password(uri: str) -> str:
    """Return a URI without user and password; the container of ``abfss://container@account`` stays.

    A user of http alone may be a token.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri
    userinfo, _, host = parts.netloc.rpartition("@")
    is_secret = ":" in userinfo or parts.scheme in ("http", "https")
    return urlunsplit(parts._replace(netloc=host)) if userinfo and is_secret else uri


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
        uri = posixpath.normpath(unquote(rest) or "/") if scheme == "file" else f"{scheme}:{rest}"
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
