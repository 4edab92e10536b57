"""Locations as an archive states them: without credentials (spec/format.md, threat model), and comparable."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from mlflow_archive.errors import SelectionError

_DRIVE: Final = re.compile(r"/*([A-Za-z]):(/.*)")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


BUCKETS: Final = ("s3", "gs", "az", "abfss")
"""Schemes of the buckets in which an archive may lie, in either form."""

_WEB: Final = ("https", "http")


@dataclass(frozen=True, slots=True, repr=False)
class RemotePlace:
    """A place in a bucket or on a web server; ``uri`` is as the user wrote it and may hold a credential.

    As a text it is the URI without user, password and query, as messages show it.
    """

    uri: str

    @property
    def scheme(self) -> str:
        """In lower case, without the colon."""
        return self.uri.partition(":")[0].lower()

    @property
    def name(self) -> str:
        """The last part of the path."""
        return str(self).rstrip("/").rpartition("/")[2]

    @property
    def is_bucket(self) -> bool:
        """Whether it can be written to and listed; a web server gives out one file."""
        return self.scheme in BUCKETS

    @property
    def is_web(self) -> bool:
        """Whether it is a file on a web server."""
        return self.scheme in _WEB

    def __repr__(self) -> str:
        return f"RemotePlace({str(self)!r})"

    def __str__(self) -> str:
        bare = without_password(self.uri)
        return bare if self.is_bucket else bare.partition("?")[0].partition("#")[0]


ArchivePlace = Path | RemotePlace
"""Where an archive lies."""

ArchivePath = str | os.PathLike[str] | RemotePlace
"""Where an archive lies, as callers say it: a path or a URI."""


def archive_place(text: ArchivePath) -> ArchivePlace:
    """Return where an archive lies that is read: a path, a bucket, or a web server. Raises SelectionError otherwise."""
    if isinstance(text, RemotePlace):
        return text
    match = _URL.match(os.fspath(text))
    if match is None:
        return Path(text)
    place = RemotePlace(os.fspath(text))
    if not (place.is_bucket or place.is_web) or "://" not in place.uri:
        raise SelectionError(
            f"{str(place)!r} is a URL, and {match[1]}:// is not supported here: give a path on this machine, "
            f"{'://, '.join((*BUCKETS, _WEB[0]))}://"
        )
    return place


def local_path(text: ArchivePath) -> Path:
    """Return a path to write to or read from. Raises SelectionError for a URL.

    As a path, a URL would be a folder with a colon in its name below the current one.
    """
    uri = text.uri if isinstance(text, RemotePlace) else os.fspath(text)
    if match := _URL.match(uri):
        raise SelectionError(
            f"{str(RemotePlace(uri))!r} is a URL, and {match[1]}:// is not supported here: give a path on this "
            "machine, and copy what lies there, or what is written, with the tools of that place"
        )
    return Path(uri)


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

    A user of http alone may be a token. Where a password holds a slash that is not encoded, so that the host is not
    where it should be, all before the last ``@`` goes.

    >>> without_password("ftp://ann:a/b#c@host/x"), without_password("sftp://ann@host:22/a@b")
    ('ftp://host/x', 'sftp://ann@host:22/a@b')
    """
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018 - raises where it is none
    except ValueError:
        scheme, _, rest = uri.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}" if "@" in rest else uri
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
